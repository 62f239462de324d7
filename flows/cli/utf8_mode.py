"""Restarting the command in Python's UTF-8 mode if the locale is not UTF-8, so that file names are their bytes.

Under `LANG=en_US.ISO-8859-1` Python encodes file names in Latin-1, which cannot encode most names in manifests. UTF-8
mode (PEP 540) can only be set when the interpreter starts. Printed text stays in the terminal's encoding.
"""

import os
import sys


def name_files_by_their_bytes() -> None:
    """Restart this process in UTF-8 mode, unless file names are in UTF-8 already or the user has set `PYTHONUTF8`."""
    if os.name != "posix" or sys.getfilesystemencoding() == "utf-8" or "PYTHONUTF8" in os.environ:
        return
    os.environ["PYTHONUTF8"] = "1"
    os.environ.setdefault("PYTHONIOENCODING", f"{sys.stdout.encoding}:backslashreplace")
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  # the same command again
