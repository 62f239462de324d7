"""File names are their bytes, whatever the locale: where it is not of UTF-8, the command starts again in UTF-8 mode.

Under `LANG=en_US.ISO-8859-1` Python spells names in Latin-1, in which most that a manifest has cannot be spelled. The
mode is Python's own, of its start alone (PEP 540); what is printed stays in the terminal's encoding.
"""

import os
import sys


def name_files_by_their_bytes() -> None:
    """Go on in UTF-8 mode; comes back where names are in UTF-8 already, or the user has chosen by `PYTHONUTF8`."""
    if os.name != "posix" or sys.getfilesystemencoding() == "utf-8" or "PYTHONUTF8" in os.environ:
        return
    os.environ["PYTHONUTF8"] = "1"
    os.environ.setdefault("PYTHONIOENCODING", f"{sys.stdout.encoding if sys.stdout else 'utf-8'}:backslashreplace")
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  # this very command
