"""A condition on rows of the results table: `style_loss > 0.05 and status == "succeeded"`.

Python's parser reads it, and comparisons, `in`, `is None`, `and`, `or`, `not` and brackets are allowed. It is never
evaluated as Python: each node of the syntax tree becomes a function of a row. As in SQL, a comparison with a missing
number is neither true nor false, and `not` does not change that. A missing text is the empty text.
"""

import ast
import operator
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from flows.output.outcomes import Row
from flows.output.selection import find_column, is_number_column, number_of
from flows.wording import quoted
from nst_core.errors import OptionsError

LONGEST = 2000
"""Maximum length of a condition in characters: its nodes are nested, and parsing them recursively takes stack."""

Test = Callable[[Row], bool | None]
Value = Callable[[Row], Any]

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_QUOTED = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|`([^`]*)`""")
"""A quoted text, which stays as it is, or a column in backticks, whose name is no Python identifier."""
_SINGLE = re.compile(r"(?<![=<>!])=(?!=)")
"""A single `=`, where a comparison needs `==`."""
_IDENTIFIER = "_column_{}_"
"""Stands in the condition for a column in backticks while it is parsed."""


def filter_rows(rows: Sequence[Row], condition: str, columns: Sequence[str]) -> list[Row]:
    """Return the rows for which a condition is true.

    Raises:
        OptionsError: if the condition cannot be parsed, has an unknown column or compares text with a number; the
            message names the part.
    """
    test = _Compiler(condition, rows, columns).test()
    return [row for row in rows if test(row)]


class _Compiler:
    """Compiles the syntax tree of one condition over some rows into functions of a row."""

    def __init__(self, condition: str, rows: Sequence[Row], columns: Sequence[str]) -> None:
        self._condition, self._rows, self._columns = condition, rows, columns
        self._in_backticks: dict[str, str] = {}

    def test(self) -> Test:
        """Return the test that the whole condition stands for."""
        if len(self._condition) > LONGEST:
            raise self._error(f"expected at most {LONGEST:,} characters, found {len(self._condition):,}")
        text = _QUOTED.sub(self._without_backticks, self._condition.strip())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Python warns of an odd backslash in a text; here it is allowed
                parsed = ast.parse(text, mode="eval")
            return self._test(parsed.body)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise self._error(f"expected {_hint(text)}, found something else") from error

    def _without_backticks(self, match: re.Match[str]) -> str:
        """Replace a column in backticks by an identifier, and remember its name; leave a quoted text as it is."""
        if match[1]:
            return match[1]
        identifier = _IDENTIFIER.format(len(self._in_backticks))
        self._in_backticks[identifier] = match[2]
        return identifier

    def _test(self, node: ast.expr) -> Test:
        if isinstance(node, ast.BoolOp):
            tests = [self._test(value) for value in node.values]
            return _all(tests) if isinstance(node.op, ast.And) else _any(tests)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return _not(self._test(node.operand))
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            return _all([self._comparison(*parts) for parts in zip(sides, node.ops, sides[1:], strict=False)])
        raise self._error(f"expected a comparison, found {self._source(node)}")

    def _comparison(self, left: ast.expr, operation: ast.cmpop, right: ast.expr) -> Test:
        if isinstance(right, ast.Constant) and right.value is None:
            return self._is_none(left, operation)
        if isinstance(operation, ast.In | ast.NotIn):
            test = self._in(left, right)
            return _not(test) if isinstance(operation, ast.NotIn) else test
        compare = _COMPARISONS.get(type(operation))
        if compare is None:
            raise self._error("expected a comparison, found 'is', which goes with None alone")
        values = self._of_one_type(left, right)
        return lambda row: _unless_missing(compare, *(value(row) for value in values))

    def _is_none(self, node: ast.expr, operation: ast.cmpop) -> Test:
        value = self._value(node)
        if isinstance(operation, ast.Is | ast.Eq):
            return lambda row: value(row) in (None, "")
        if isinstance(operation, ast.IsNot | ast.NotEq):
            return lambda row: value(row) not in (None, "")
        raise self._error("expected `is None` or `is not None`, found another comparison with None")

    def _in(self, left: ast.expr, right: ast.expr) -> Test:
        if isinstance(right, ast.Tuple | ast.List | ast.Set):
            return _any([self._comparison(left, ast.Eq(), element) for element in right.elts])
        if any(map(self._is_number, (left, right))):
            found = self._source(right)
            raise self._error(f"expected text on both sides of 'in', or (several, values), found {found}")
        values = self._value(left), self._value(right)
        return lambda row: _unless_missing(lambda part, whole: part in whole, *(value(row) for value in values))

    def _of_one_type(self, *nodes: ast.expr) -> list[Value]:
        """Return the values of both sides, both as numbers if one of them is a number."""
        if not any(map(self._is_number, nodes)):
            return [self._value(node) for node in nodes]
        return [self._number(node, nodes) for node in nodes]

    def _number(self, node: ast.expr, nodes: Iterable[ast.expr]) -> Value:
        value = self._value(node)
        if self._is_number(node):
            return value
        other = next(self._source(side) for side in nodes if self._is_number(side))
        if not isinstance(node, ast.Name):
            raise self._error(f"expected a number to compare with {other}, found {self._source(node)}")
        cells = [cell for row in self._rows if (cell := value(row)) not in (None, "")]
        if cells and all(number_of(cell) is None for cell in cells):
            text = f"column {self._column(node)!a} holds text, such as {quoted(cells[0])}"
            raise self._error(f"{text}, and {other} is a number; put text in quotes")
        return lambda row: number_of(value(row))

    def _value(self, node: ast.expr) -> Value:
        if isinstance(node, ast.Name):
            column = self._column(node)
            if is_number_column(column):
                return lambda row: row[column]
            # A missing text is an empty one, as in the CSV file.
            return lambda row: "" if row[column] is None else row[column]
        constant = _constant(node)
        if constant is None:
            raise self._error(f"expected a column, a number or a text in quotes, found {self._source(node)}")
        return lambda _row: constant

    def _is_number(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Name):
            return is_number_column(self._column(node))
        return isinstance(_constant(node), int | float)

    def _column(self, node: ast.Name) -> str:
        name = self._in_backticks.get(node.id, node.id)
        try:
            return find_column(name, self._columns)
        except OptionsError as error:
            # First, as the names of all columns follow it.
            hint = "" if str(error).endswith("?") else f"text is written in quotes, as {name!r}; "
            raise self._error(f"{hint}{error}") from error

    def _source(self, node: ast.expr) -> str:
        """Return a node as the user wrote it, for messages."""
        text = ast.unparse(node)
        for identifier, name in self._in_backticks.items():
            text = text.replace(identifier, f"`{name}`")
        return quoted(text)

    def _error(self, reason: str) -> OptionsError:
        return OptionsError(f"--where {quoted(self._condition)}: {reason}")


def _constant(node: ast.expr) -> str | float | None:
    """Return the number or text of a literal; None if the node is anything else."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        number = _constant(node.operand)
        return -number if isinstance(number, int | float) else None
    is_plain = isinstance(node, ast.Constant) and type(node.value) in (str, int, float)
    return node.value if is_plain else None  # type: ignore[attr-defined]  # of a Constant


def _hint(text: str) -> str:
    """Return what was expected of a condition that cannot be parsed, with the likely mistake first."""
    if _SINGLE.search(text):
        return "'==' to compare, as in status == \"failed\""
    if "&&" in text or "||" in text:
        return "'and' and 'or'"
    return 'a condition such as style_loss > 0.05 and status == "succeeded"'


def _unless_missing(compare: Callable[[Any, Any], bool], left: Any, right: Any) -> bool | None:
    """Compare two values; None, which is neither true nor false, if one of them is missing."""
    return None if left is None or right is None else compare(left, right)


def _all(tests: Sequence[Test]) -> Test:
    def test(row: Row) -> bool | None:
        results = [part(row) for part in tests]
        return False if False in results else None if None in results else True

    return test


def _any(tests: Sequence[Test]) -> Test:
    none_is_true = _all([_not(test) for test in tests])
    return _not(none_is_true)


def _not(test: Test) -> Test:
    return lambda row: None if (result := test(row)) is None else not result
