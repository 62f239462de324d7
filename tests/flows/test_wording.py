"""flows.wording: messages that name some of many problems, quote values, and hide secrets."""

import pytest

from flows.wording import MOST_NAMED, has_secret, problem_lines, quoted


def test_few_problems_are_all_named() -> None:
    """Up to MOST_NAMED problems have a line each, and no line counts others."""
    problems = [f"line {number}" for number in range(MOST_NAMED)]

    assert problem_lines(problems) == problems
    assert problem_lines([]) == []


def test_of_many_problems_the_rest_are_counted() -> None:
    """The first problems are named in order and the last line counts the others, which are not put into words."""
    worded: list[int] = []
    lines = problem_lines(range(1_000_000), lambda number: worded.append(number) or f"line {number}\u202e")

    assert lines[:2] == ["line 0\\u202e", "line 1\\u202e"]
    assert (len(lines), lines[-1]) == (MOST_NAMED + 1, f"and {1_000_000 - MOST_NAMED:,} more")
    assert len(worded) == MOST_NAMED


def test_a_quoted_value_is_short_and_visible() -> None:
    """A quoted value is shortened, and its invisible characters are escapes."""
    assert len(quoted("x" * 5000)) < 100
    assert quoted("a\u3164\u202e") == "'a\\u3164\\u202e'"


@pytest.mark.parametrize(
    "text", ["s3://key:word@bucket/a", "https://me@host/a", "ray://u:p@head:1", "x?a=1&X-Amz-Signature=12ab"]
)
def test_a_secret_in_an_address_is_found(text: str) -> None:
    """Credentials before an @, and a signature, are secrets."""
    assert has_secret(text)


@pytest.mark.parametrize("text", ["s3://bucket/a@b", "/in/me@host/a.csv", "ray://head:10001", "a:b@c", "Signature"])
def test_other_text_is_no_secret(text: str) -> None:
    """An @ in a key or a folder is not a secret."""
    assert not has_secret(text)
