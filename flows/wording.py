"""pydantic's errors in words: what was expected, what was found."""

import re
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

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
"""pydantic's error type -> what was expected, in words."""


def option_errors(error: ValidationError) -> list[tuple[str, str]]:
    """(field, reason) of everything that is wrong; the field is empty where it is about several together."""
    return [
        (str(details["loc"][0]) if details["loc"] else "", _reason(details))
        for details in error.errors(include_url=False)
    ]


def _reason(details: "ErrorDetails") -> str:
    """One of pydantic's errors as a sentence."""
    context = details.get("ctx", {})
    if details["type"] == "value_error":
        return str(context["error"])
    got = shown(details["input"])
    if details["type"] == "literal_error":
        choices = re.findall("'([^']*)'", context["expected"])
        return f"expected one of {', '.join(choices)}, got {got}"
    if details["type"] not in _EXPECTED:
        return f"{details['msg']}, got {got}"
    bounds = {key: f"{value:g}" if isinstance(value, float) else value for key, value in context.items()}
    return f"expected {_EXPECTED[details['type']].format(**bounds)}, got {got}"


def shortened(text: str, chars: int = 80) -> str:
    """The text, cut where it is long."""
    return text if len(text) <= chars else text[:chars] + "..."


def shown(value: Any) -> str:
    """A value as a message quotes it, cut where it is long."""
    return repr(shortened(value) if isinstance(value, str) else value)
