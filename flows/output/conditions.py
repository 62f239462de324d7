"""A condition on rows of the results table: `style_loss > 0.05 and status == "succeeded"`.

It is read by Python's grammar, of which it has comparisons, `in`, `is None`, `and`, `or`, `not` and brackets, and it is
never run: each part becomes a function of a row. As in SQL, what a row has no value of is neither more nor less nor
unequal, and `not` does not change that.
"""

import ast
import operator
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from flows.output.outcomes import Row
from flows.output.selection import column_named, is_number_column, number_of
from flows.wording import shown
from nst_core.errors import OptionsError

LONGEST = 2000
"""Characters of a condition: its parts lie in one another, and Python's own stack is what holds them."""

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
"""A text, which stays as it is, or the name of a column that is no word of Python's."""
_SINGLE = re.compile(r"(?<![=<>!])=(?!=)")
_PLACE = "_column_{}_"


def rows_where(rows: Sequence[Row], condition: str, columns: Sequence[str]) -> list[Row]:
    """Those rows that a condition is true of.

    Raises:
        OptionsError: it is no condition, or has an unknown column or a comparison of text with a number; each named.
    """
    test = _Reader(condition, rows, columns).test()
    return [row for row in rows if test(row)]


class _Reader:
    """Makes functions of the parts of one condition over some rows."""

    def __init__(self, condition: str, rows: Sequence[Row], columns: Sequence[str]) -> None:
        self._condition, self._rows, self._columns = condition, rows, columns
        self._in_backticks: dict[str, str] = {}

    def test(self) -> Test:
        """The whole condition."""
        if len(self._condition) > LONGEST:
            raise self._error(f"expected at most {LONGEST:,} characters, found {len(self._condition):,}")
        text = _QUOTED.sub(self._placed, self._condition.strip())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a backslash in a text, which is what it is
                parsed = ast.parse(text, mode="eval")
            return self._test(parsed.body)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise self._error(f"expected {_hint(text)}, found something else") from error

    def _placed(self, found: re.Match[str]) -> str:
        if found[1]:
            return found[1]
        place = _PLACE.format(len(self._in_backticks))
        self._in_backticks[place] = found[2]
        return place

    def _test(self, node: ast.expr) -> Test:
        if isinstance(node, ast.BoolOp):
            tests = [self._test(one) for one in node.values]
            return _all(tests) if isinstance(node.op, ast.And) else _any(tests)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return _not(self._test(node.operand))
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            return _all([self._compared(*one) for one in zip(sides, node.ops, sides[1:], strict=False)])
        raise self._error(f"expected a comparison, found {self._said(node)}")

    def _compared(self, left: ast.expr, sign: ast.cmpop, right: ast.expr) -> Test:
        if isinstance(right, ast.Constant) and right.value is None:
            return self._is_none(left, sign)
        if isinstance(sign, ast.In | ast.NotIn):
            test = self._in(left, right)
            return _not(test) if isinstance(sign, ast.NotIn) else test
        compare = _COMPARISONS.get(type(sign))
        if compare is None:
            raise self._error("expected a comparison, found 'is', which goes with None alone")
        values = self._alike(left, right)
        return lambda row: _known(compare, *(value(row) for value in values))

    def _is_none(self, node: ast.expr, sign: ast.cmpop) -> Test:
        value = self._value(node)
        if isinstance(sign, ast.Is | ast.Eq):
            return lambda row: value(row) in (None, "")
        if isinstance(sign, ast.IsNot | ast.NotEq):
            return lambda row: value(row) not in (None, "")
        raise self._error("expected `is None` or `is not None`, found another comparison with None")

    def _in(self, left: ast.expr, right: ast.expr) -> Test:
        if isinstance(right, ast.Tuple | ast.List | ast.Set):
            return _any([self._compared(left, ast.Eq(), one) for one in right.elts])
        if any(map(self._is_number, (left, right))):
            raise self._error(f"expected text on both sides of 'in', or (several, values), found {self._said(right)}")
        values = self._value(left), self._value(right)
        return lambda row: _known(lambda part, whole: part in whole, *(value(row) for value in values))

    def _alike(self, *nodes: ast.expr) -> list[Value]:
        """The values of both sides, as numbers if one of them is a number."""
        if not any(map(self._is_number, nodes)):
            return [self._value(node) for node in nodes]
        return [self._number(node, nodes) for node in nodes]

    def _number(self, node: ast.expr, nodes: Iterable[ast.expr]) -> Value:
        value = self._value(node)
        if self._is_number(node):
            return value
        other = next(self._said(one) for one in nodes if self._is_number(one))
        if not isinstance(node, ast.Name):
            raise self._error(f"expected a number to compare with {other}, found {self._said(node)}")
        cells = [cell for row in self._rows if (cell := value(row)) not in (None, "")]
        if cells and all(number_of(cell) is None for cell in cells):
            said = f"column {self._column(node)!a} holds text, such as {shown(cells[0])}"
            raise self._error(f"{said}, and {other} is a number; put text in quotes")
        return lambda row: number_of(value(row))

    def _value(self, node: ast.expr) -> Value:
        if isinstance(node, ast.Name):
            column = self._column(node)
            return lambda row: row[column]
        constant = _constant(node)
        if constant is None:
            raise self._error(f"expected a column, a number or a text in quotes, found {self._said(node)}")
        return lambda _row: constant

    def _is_number(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Name):
            return is_number_column(self._column(node))
        return isinstance(_constant(node), int | float)

    def _column(self, node: ast.Name) -> str:
        name = self._in_backticks.get(node.id, node.id)
        try:
            return column_named(name, self._columns)
        except OptionsError as error:
            text = "" if str(error).endswith("?") else "; text is written in quotes"
            raise self._error(f"{error}{text}") from error

    def _said(self, node: ast.expr) -> str:
        text = ast.unparse(node)
        for place, name in self._in_backticks.items():
            text = text.replace(place, f"`{name}`")
        return shown(text)

    def _error(self, reason: str) -> OptionsError:
        return OptionsError(f"--where {shown(self._condition)}: {reason}")


def _constant(node: ast.expr) -> str | float | None:
    """The number or text that a node is, if it is one."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        number = _constant(node.operand)
        return -number if isinstance(number, int | float) else None
    is_plain = isinstance(node, ast.Constant) and type(node.value) in (str, int, float)
    return node.value if is_plain else None  # type: ignore[attr-defined]  # of a Constant


def _hint(text: str) -> str:
    if _SINGLE.search(text):
        return "'==' to compare, as in status == \"failed\""
    if "&&" in text or "||" in text:
        return "'and' and 'or'"
    return 'a condition such as style_loss > 0.05 and status == "succeeded"'


def _known(compare: Callable[[Any, Any], bool], left: Any, right: Any) -> bool | None:
    return None if left is None or right is None else compare(left, right)


def _all(tests: Sequence[Test]) -> Test:
    def test(row: Row) -> bool | None:
        results = [one(row) for one in tests]
        return False if False in results else None if None in results else True

    return test


def _any(tests: Sequence[Test]) -> Test:
    none = _all([_not(one) for one in tests])
    return _not(none)


def _not(test: Test) -> Test:
    return lambda row: None if (result := test(row)) is None else not result
