"""Escape control, bidirectional and invisible characters, so that a text stays on one line and reads as what it is."""

import re

_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Fillers, joiners and variation selectors that `str.isprintable` accepts but no font draws."""


def is_visible(letter: str) -> bool:
    """Return whether a character is visible and has no other effect; of all blanks only the plain space qualifies."""
    return letter.isprintable() and not _UNSEEN.match(letter)


def printable(text: str) -> str:
    r"""Return the text with every character that is not plainly visible escaped, so that it stays on one line.

    These are control characters including tab and line ends, characters that change the text direction, joiners, blanks
    of zero or unusual width, surrogate halves, and unassigned code points.

    >>> print(printable("a\u202egnp.b\n\x1b[1mc\ufeff"))
    a\u202egnp.b\n\x1b[1mc\ufeff
    """
    if text.isprintable() and not _UNSEEN.search(text):
        return text
    return "".join(letter if is_visible(letter) else letter.encode("unicode_escape").decode() for letter in text)
