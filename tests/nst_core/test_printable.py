"""printable: text on one line, with invisible characters escaped."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nst_core.errors import BadImage, NstError
from nst_core.printable import is_visible, printable

UNSEEN = (
    *("\0", "\a", "\b", "\t", "\n", "\v", "\f", "\r", "\x1b", "\x1c", "\x7f", "\x85", "\x91", "\x9b"),  # controls
    *("\u202a", "\u202b", "\u202c", "\u202d", "\u202e", "\u2066", "\u2067", "\u2068", "\u2069"),  # text direction
    *("\u200e", "\u200f", "\u061c", "\u2028", "\u2029"),  # direction marks, line ends
    *("\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\xad", "\u034f", "\u180e", "\u3164", "\uffa0"),  # no width
    *("\ufe0f", "\U000e0100", "\U000e0041", "\U000e007f"),  # selectors, tags
    *("\xa0", "\u2003", "\u202f", "\u3000", "\u2800"),  # blanks
    *("\ud800", "\udcff", "\ue000", "\ufdd0", "\U0010ffff"),  # surrogate halves, private use, unassigned
)
SEEN = ("a", "~", " ", "é", "e\u0301", "ß", "猫", "Ω", "א", "ب", "ก", "क्षि", "한", "😀", "＝", "–", "“", "€", "\\", "𝒳")


@pytest.mark.parametrize("letter", UNSEEN, ids=ascii)
def test_an_invisible_character_is_escaped(letter: str) -> None:
    """An invisible character becomes an escape in printable ASCII, which decodes to the character."""
    shown = printable(f"p/a{letter}b.png")

    assert shown.isascii()
    assert shown.isprintable()
    assert shown.encode().decode("unicode_escape") == f"p/a{letter}b.png"


@pytest.mark.parametrize("text", SEEN)
def test_visible_characters_of_every_script_are_kept(text: str) -> None:
    """Visible characters are not escaped."""
    assert printable(text) == text


@given(st.text(st.characters(), max_size=30))
def test_no_text_keeps_an_invisible_character(text: str) -> None:
    """In any text every character of an invisible category is escaped, and escaping twice changes nothing more."""
    shown = printable(text)

    assert {unicodedata.category(letter) for letter in shown}.isdisjoint({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
    assert printable(shown) == shown
    assert [letter for letter in text if is_visible(letter)] == [
        letter for letter in text if printable(letter) == letter
    ]


def test_an_errors_message_is_one_line() -> None:
    """Names in an error's message are escaped, so that it stays on one line; the error's attributes are not."""
    assert str(NstError("a\u202egnp\nb: no such file")) == "a\\u202egnp\\nb: no such file"
    error = BadImage("a\u2028.png", "truncated", "it ends early")
    assert (str(error), error.name) == ("a\\u2028.png: it ends early", "a\u2028.png")
