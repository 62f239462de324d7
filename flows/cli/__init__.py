"""The command `nst`."""

from flows.cli.run import app, main

__all__ = ["app", "main"]
