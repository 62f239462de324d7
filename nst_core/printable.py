"""Text as one line that reads as what it is: letters that turn a line around, end it or are not seen, written out."""

import re

_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Fillers, joiners and selectors that Python takes for printable, and that no font draws."""


def is_seen(letter: str) -> bool:
    """Whether a letter shows, and does nothing but show; of all blanks the plain one alone."""
    return letter.isprintable() and not _UNSEEN.match(letter)


def printable(text: str) -> str:
    r"""The text with every letter that is not seen written as an escape: it stays on its line, in its order.

    Those are control characters with tab and line ends, what turns the direction of text, joiners, blanks of no or odd
    width, halves of surrogate pairs, and what has no meaning yet.

    >>> print(printable("a\u202egnp.b\n\x1b[1mc\ufeff"))
    a\u202egnp.b\n\x1b[1mc\ufeff
    """
    if text.isprintable() and not _UNSEEN.search(text):
        return text
    return "".join(letter if is_seen(letter) else letter.encode("unicode_escape").decode() for letter in text)
