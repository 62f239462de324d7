"""flows.output.conditions and selection: filters and sorts the rows of the results table."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.output.conditions import LONGEST, filter_rows
from flows.output.selection import sorted_rows
from nst_core.errors import OptionsError

COLUMNS = ("row", "pair_id", "status", "style_loss", "seconds", "note", "code", "my column", "empty", "missing")


def row(number: int, **cells: Any) -> dict[str, Any]:
    return dict.fromkeys(COLUMNS) | {"row": number, "pair_id": f"p{number}", "empty": ""} | cells


ROWS = [
    row(2, status="succeeded", style_loss=0.01, seconds=9.0, note="oil", code="10", **{"my column": "a b"}),
    row(3, status="succeeded", style_loss=0.2, seconds=7.0, note="Oil and ink", code="9", **{"my column": "it's"}),
    row(4, status="failed", seconds=0.5, note="", code="007"),
    row(5, status="rejected", note="ink", code=""),
    row(6, status="succeeded", style_loss=0.05, seconds=7.0, note="oil", code="1e1", **{"my column": '"'}),
]


def lines(condition: str) -> list[int]:
    return [one["row"] for one in filter_rows(ROWS, condition, COLUMNS)]


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("style_loss > 0.05", [3]),
        ("style_loss >= 0.05", [3, 6]),
        ("0.01 < style_loss <= 0.05", [6]),
        ("style_loss < seconds", [2, 3, 6]),
        ("not style_loss > 0.05", [2, 6]),
        ("style_loss != 0.2", [2, 6]),
        ("style_loss > -1", [2, 3, 6]),
        ("style_loss is None", [4, 5]),
        ("style_loss is not None and seconds == 7", [3, 6]),
        ("note is None", [4]),
        ("note == None", [4]),
        ("note is not None", [2, 3, 5, 6]),
        ("note != None", [2, 3, 5, 6]),
        ("status == \"failed\" or status == 'rejected'", [4, 5]),
        ('status in ("failed", "rejected")', [4, 5]),
        ('status not in ["failed", "rejected"]', [2, 3, 6]),
        ("row in (2, 5)", [2, 5]),
        ('"ink" in note', [3, 5]),
        ('"ink" not in note', [2, 4, 6]),
        ('missing == ""', [2, 3, 4, 5, 6]),
        ('missing != "bad_image"', [2, 3, 4, 5, 6]),
        ('not "x" in missing', [2, 3, 4, 5, 6]),
        ('missing == "x" or "x" in missing', []),
        ('(status == "failed" or seconds > 8) and row < 4', [2]),
        ('status == "failed" or seconds > 8 and row < 4', [2, 4]),
        ("not (style_loss > 0.05 or seconds < 8)", [2]),
        ("style_loss > 0.05 or seconds > 8", [2, 3]),
        ("code == 10", [2, 6]),
        ("code < 9.5", [3, 4]),
        ('code == "007"', [4]),
        ("code == row", []),
        ("empty > 1 or missing == 1", []),
        ('`my column` == "a b"', [2]),
        ("""`my column` == "it's" or `my column` == '"'""", [3, 6]),
        ('id == "p5"', [5]),
        ("  row == 2  ", [2]),
    ],
)
def test_a_condition_chooses_rows(condition: str, found: list[int]) -> None:
    """Conditions compare numbers and text. For a missing number only `is None` is true; a missing text is like an empty
    one.
    """
    assert lines(condition) == found


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("stile_loss > 1", r"there is no column 'stile_loss'; was 'style_loss' meant\?$"),
        ("status == failed", "text is written in quotes, as 'failed'; there is no column 'failed'; there are "),
        ("`my colum` == 'x'", r"there is no column 'my colum'; was 'my column' meant\?"),
        ("note > 3", "column 'note' holds text, such as 'oil', and '3' is a number; put text in quotes"),
        ("note > style_loss", "column 'note' holds text, such as 'oil', and 'style_loss' is a number"),
        ("style_loss > '0.05'", "expected a number to compare with 'style_loss', found \"'0.05'\""),
        ("row in ('a',)", "expected a number to compare with 'row'"),
        ("style_loss in 'x'", "expected text on both sides of 'in'"),
        ("status = 'failed'", "expected '==' to compare"),
        ("row > 2 && row < 5", "expected 'and' and 'or'"),
        ("row > ", "expected a condition such as"),
        ("", "expected a condition such as"),
        ("row", "expected a comparison, found 'row'"),
        ("row + 1 > 2", r"expected a column, a number or a text in quotes, found 'row \+ 1'"),
        ("row == True", "expected a column, a number or a text in quotes"),
        ("row is 2", "found 'is', which goes with None alone"),
        ("row > None", "expected `is None`"),
        ("`my column`.x == 1", r"found '`my column`\.x'"),
        ("open('/etc/passwd')", "expected a comparison"),
        ("row == __import__('os').getpid()", "expected a column"),
        ("row.__class__ == 1", "expected a column"),
        ("[x for x in (1,)] == 1", "expected a column"),
        ("(lambda: 1) == 1", "expected a column"),
        ("row == 1\x00", "expected a condition"),
        ("(" * 900 + "row == 1" + ")" * 900, "expected a condition"),
        ("not " * 400 + "row == 1", None),
        ("row == 1 or " * 500 + "row == 1", f"expected at most {LONGEST:,} characters"),
    ],
)
def test_an_invalid_condition_is_refused(condition: str, reason: str | None) -> None:
    """The error says which column was meant, or what was expected; nothing in a condition is executed."""
    if reason is None:
        assert lines(condition) == []
        return
    with pytest.raises(OptionsError, match=reason) as caught:
        lines(condition)
    assert str(caught.value).startswith("--where ")


@given(st.text(max_size=40) | st.text("rowcde()<>=!'\"` andornti0123456789.-[],", max_size=40))
def test_any_text_is_a_condition_or_an_options_error(condition: str) -> None:
    """No text that a user types causes another error."""
    with suppress(OptionsError):
        lines(condition)


# ---------------------------------------------------------------- sorting


def order(*keys: str) -> list[int]:
    return [one["row"] for one in sorted_rows(ROWS, keys, COLUMNS)]


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        (("seconds",), [4, 3, 6, 2, 5]),
        (("-seconds",), [2, 3, 6, 4, 5]),
        (("-seconds", "style_loss"), [2, 6, 3, 4, 5]),
        (("status", "-row"), [4, 5, 6, 3, 2]),
        (("code",), [4, 3, 2, 6, 5]),
        (("-code",), [2, 6, 3, 4, 5]),
        (("note", "row"), [3, 5, 2, 6, 4]),
        (("id",), [2, 3, 4, 5, 6]),
        (("empty", "-row"), [6, 5, 4, 3, 2]),
        ((), [2, 3, 4, 5, 6]),
    ],
)
def test_rows_are_sorted_by_the_keys_in_order(keys: tuple[str, ...], found: list[int]) -> None:
    """The first key counts most, rows without a value come last in both directions, and numbers in text sort as
    numbers.
    """
    assert order(*keys) == found


def test_backticks_in_quotes_are_text() -> None:
    """Backticks mark a column's name only outside of quotes."""
    rows = [row(2, note="a `row`"), row(3, note="a 3")]

    assert [one["row"] for one in filter_rows(rows, 'note == "a `row`"', COLUMNS)] == [2]


def test_very_long_digits_are_a_number() -> None:
    """A manifest's column may contain keys of hundreds of digits; rows can be sorted and filtered
    by them all the same.
    """
    long, longer = "1" * 400, f"{'1' * 399}2"
    rows = [row(2, code=longer), row(3, code="9"), row(4, code="1"), row(5, code=long)]

    assert [one["row"] for one in sorted_rows(rows, ["code"], COLUMNS)] == [4, 3, 5, 2]
    assert [one["row"] for one in filter_rows(rows, "code > 1.5", COLUMNS)] == [2, 3, 5]


def test_nan_is_not_a_number() -> None:
    """It is neither more nor less than a number, even under `not`, and it sorts as text, so that
    the order is definite.
    """
    rows = [row(2, code="nan"), row(3, code="9"), row(4, code="1")]

    assert [one["row"] for one in filter_rows(rows, "code > 1.5", COLUMNS)] == [3]
    assert [one["row"] for one in filter_rows(rows, "not code > 1.5", COLUMNS)] == [4]
    for ordered in (rows, rows[::-1]):
        assert [one["row"] for one in sorted_rows(ordered, ["code"], COLUMNS)] == [4, 3, 2]


def test_a_column_may_start_with_a_minus() -> None:
    """A manifest's column may be named `-x`, and rows can be sorted by it."""
    rows = [{"-x": "2"}, {"-x": "1"}]

    assert sorted_rows(rows, ["-x"], ["-x"]) == rows[::-1]


def test_an_unknown_sort_column_is_named() -> None:
    """The error suggests the nearest column."""
    with pytest.raises(OptionsError, match=r"no column 'secnds'; was 'seconds' meant\?"):
        order("-secnds")
