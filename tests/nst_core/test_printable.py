"""nst_core.printable: text as one line that reads as what it is."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nst_core.errors import BadImage, NstError
from nst_core.printable import is_visible, printable

UNSEEN = (
    *("\0", "\a", "\b", "\t", "\n", "\v", "\f", "\r", "\x1b", "\x1c", "\x7f", "\x85", "\x91", "\x9b"),  # controls
    *("\u202a", "\u202b", "\u202c", "\u202d", "\u202e", "\u2066", "\u2067", "\u2068", "\u2069"),  # they turn the line
    *("\u200e", "\u200f", "\u061c", "\u2028", "\u2029"),  # marks of direction, ends of lines
    *("\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\xad", "\u034f", "\u180e", "\u3164", "\uffa0"),  # of no width
    *("\ufe0f", "\U000e0100", "\U000e0041", "\U000e007f"),  # selectors, tags
    *("\xa0", "\u2003", "\u202f", "\u3000", "\u2800"),  # blanks
    *("\ud800", "\udcff", "\ue000", "\ufdd0", "\U0010ffff"),  # halves of pairs, private, no letters
)
SEEN = ("a", "~", " ", "é", "e\u0301", "ß", "猫", "Ω", "א", "ب", "ก", "क्षि", "한", "😀", "＝", "–", "“", "€", "\\", "𝒳")


@pytest.mark.parametrize("letter", UNSEEN, ids=ascii)
def test_what_is_not_seen_is_written_out(letter: str) -> None:
    """An escape of printable ASCII stands in its place, and gives it back."""
    shown = printable(f"p/a{letter}b.png")

    assert shown.isascii()
    assert shown.isprintable()
    assert shown.encode().decode("unicode_escape") == f"p/a{letter}b.png"


@pytest.mark.parametrize("text", SEEN)
def test_letters_of_every_script_stay(text: str) -> None:
    """What shows, shows as it is."""
    assert printable(text) == text


@given(st.text(st.characters(), max_size=30))
def test_no_text_turns_or_ends_a_line(text: str) -> None:
    """Whatever the text: no letter of a kind that is not drawn is left, and a second time changes nothing."""
    shown = printable(text)

    assert {unicodedata.category(letter) for letter in shown}.isdisjoint({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
    assert printable(shown) == shown
    assert [letter for letter in text if is_visible(letter)] == [
        letter for letter in text if printable(letter) == letter
    ]


def test_an_error_s_message_is_one_line() -> None:
    """Names that an error quotes neither end nor turn the line it is printed on; its parts stay as they were."""
    assert str(NstError("a\u202egnp\nb: no such file")) == "a\\u202egnp\\nb: no such file"
    error = BadImage("a\u2028.png", "truncated", "it ends early")
    assert (str(error), error.name) == ("a\\u2028.png: it ends early", "a\u2028.png")
