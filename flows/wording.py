"""Helpers for messages: lists cut to a length, pydantic's errors in words, printable text, redacted secrets."""

import difflib
import os
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from nst_core.printable import is_visible, printable

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = [
    "MOST_NAMED",
    "counted",
    "csv_safe",
    "did_you_mean",
    "first_few",
    "has_secret",
    "is_visible",
    "no_thread",
    "option_as_text",
    "option_errors",
    "printable",
    "problem_lines",
    "problems_as_json",
    "quoted",
    "redacted",
    "shortened",
]

Problem = TypeVar("Problem")

MOST_NAMED = 40
"""The number of problems that one message lists; the rest are counted."""

MOST_SUGGESTED = 60
"""The number of existing names that one message lists if none of them is similar to the wrong one."""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is 1.

    >>> counted(1, "row"), counted(1200, "pair")
    ('1 row', '1200 pairs')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def problem_lines(problems: Sequence[Problem], in_words: Callable[[Problem], str] = str) -> list[str]:
    """Return a line for each of the first MOST_NAMED problems, and a last line with the number of the others."""
    left = len(problems) - MOST_NAMED
    lines = [printable(in_words(problem)) for problem in problems[:MOST_NAMED]]
    return [*lines, f"and {left:,} more"] if left > 0 else lines


def first_few(names: Iterable[str], most: int) -> str:
    """Return the first names, separated by commas, and the number of the others.

    >>> first_few(["a", "b", "c"], 2), first_few(["a", "b"], 2)
    ('a, b and 1 more', 'a, b')
    """
    known = list(names)
    left = len(known) - most
    return ", ".join(known[:most]) + (f" and {left:,} more" if left > 0 else "")


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: the most similar existing name, or else a list of them."""
    known = list(dict.fromkeys(names))
    plain = {name.casefold().replace("-", "_").replace(" ", "_"): name for name in known}
    wanted = name.casefold().replace("-", "_").replace(" ", "_")
    if close := difflib.get_close_matches(wanted, plain, n=1, cutoff=0.6):
        return f"; was {quoted(plain[close[0]])} meant?"
    return f"; there are {first_few(map(quoted, known), MOST_SUGGESTED)}"


_EXPECTED = {
    "greater_than_equal": "a number greater than or equal to {ge}",
    "greater_than": "a number greater than {gt}",
    "less_than_equal": "a number less than or equal to {le}",
    "less_than": "a number less than {lt}",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_parsing": "true or false",
}
"""What was expected, in words, for each of pydantic's error types."""


def problems_as_json(key: str, problems: Sequence[Problem], in_words: Callable[[Problem], Any]) -> dict[str, Any]:
    """Return the first MOST_NAMED problems for JSON, under the key, and under `<key>_left` the number of any others."""
    left = len(problems) - MOST_NAMED
    return {key: [in_words(one) for one in problems[:MOST_NAMED]], **({f"{key}_left": left} if left > 0 else {})}


def option_errors(error: ValidationError) -> list[tuple[str, str]]:
    """Return (field, reason) for each error; the field is empty if the error is about several fields together."""
    return [
        (str(details["loc"][0]) if details["loc"] else "", _reason(details))
        for details in error.errors(include_url=False)
    ]


def _reason(details: "ErrorDetails") -> str:
    """Return one of pydantic's errors as a phrase: what was expected, and what was found."""
    context = details.get("ctx", {})
    if details["type"] == "value_error":
        return str(context["error"])
    got = quoted(details["input"])
    if details["type"] == "literal_error":
        choices = context["expected"].replace("'", "").replace(" or ", ", ")
        return f"expected one of {choices}, got {got}"
    if details["type"] not in _EXPECTED:
        return f"{details['msg']}, got {got}"
    bounds = {key: f"{value:g}" if isinstance(value, float) else value for key, value in context.items()}
    return f"expected {_EXPECTED[details['type']].format(**bounds)}, got {got}"


def option_as_text(value: Any) -> str:
    """Return the value of an option as it is written in a manifest and on a command line.

    >>> option_as_text(("relu1_1", "relu2_1")), option_as_text(0.5)
    ('relu1_1 relu2_1', '0.5')
    """
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def no_thread(error: BaseException) -> str | None:
    """Return the message for the error that Python raises if no thread can be started; None for any other error."""
    if not isinstance(error, RuntimeError) or "can't start new thread" not in str(error):
        return None
    return (
        "no thread could be started: this machine, or its container, has no more of them to give (ulimit -u, pids "
        "limit); run the same command again to continue"
    )


def shortened(text: str, chars: int = 80) -> str:
    """Return the text, cut to a number of characters if it is longer."""
    return text if len(text) <= chars else text[:chars] + "..."


def quoted(value: Any) -> str:
    """Return a value as a message quotes it; long text is cut."""
    return printable(repr(shortened(value) if isinstance(value, str) else value))


_NOT_IN_CSV = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""The control characters except tab and line feed, which CSV can hold."""


def csv_safe(cell: str) -> str:
    """Escape the control characters of a refused cell for the results table, or of a whole CSV for a terminal.

    None of them can then end a field or reach a terminal.
    """
    return _NOT_IN_CSV.sub(lambda found: found[0].encode("unicode_escape").decode(), cell)


_SECRET_NAMES = re.compile(r"SECRET|TOKEN|PASSWORD|AUTH_STRING|API_KEY|ACCESS_KEY|DB_CONNECTION", re.IGNORECASE)
"""Names of environment variables whose values are secrets."""
_SHORTEST = 8
"""The fewest characters of a value that is hidden; shorter ones, such as `true`, occur in ordinary text."""
_HIDDEN = "***"

_USER_INFO = re.compile(r"(?<=://)[^/\s@'\"]+@")
_SIGNED = re.compile(r"(?i)((?:X-Amz-(?:Signature|Credential|Security-Token)|Signature|AWSAccessKeyId)=)[^&\s'\"]+")


def redacted(text: str) -> str:
    """Return the text with credentials hidden: those in the environment, in addresses and in signed requests.

    >>> redacted("no answer from https://me:pass@host/a?X-Amz-Signature=12ab&x=1")
    'no answer from https://***@host/a?X-Amz-Signature=***&x=1'
    """
    text = _SIGNED.sub(rf"\1{_HIDDEN}", _USER_INFO.sub(f"{_HIDDEN}@", text))
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and _SECRET_NAMES.search(name):
            text = text.replace(value, _HIDDEN)
    return text


def has_secret(text: str) -> bool:
    """Return whether an address in the text contains a credential or a signature."""
    return _USER_INFO.search(text) is not None or _SIGNED.search(text) is not None
