"""What must hold between the values of a trial: comparisons of sums and products of config keys, nothing else.

    'model.panoptic_head.num_queries * train_dataloader.batch_size <= 800'

Text is parsed, never executed: numbers, dotted keys with [0] for a list's items, + - * / and one comparison.
"""

import ast
import operator
from collections.abc import Callable
from dataclasses import dataclass

from sweep.errors import SweepError

ARITHMETIC = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
COMPARISONS = {
    ast.LtE: operator.le, ast.Lt: operator.lt, ast.GtE: operator.ge, ast.Gt: operator.gt, ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}  # fmt: skip


@dataclass(frozen=True)
class Constraint:
    """One comparison."""

    text: str
    place: str

    def holds(self, value_of: Callable[[str], object]) -> bool:
        """Whether it holds.

        Args:
            value_of: Gives the value of a dotted key.

        Raises:
            SweepError: If a key's value is no number.
        """
        body = ast.parse(self.text, mode='eval').body
        left, right = (self._number(node, value_of) for node in (body.left, body.comparators[0]))
        return COMPARISONS[type(body.ops[0])](left, right)

    def _number(self, node: ast.expr, value_of: Callable[[str], object]) -> float:
        if isinstance(node, ast.BinOp):
            left, right = self._number(node.left, value_of), self._number(node.right, value_of)
            if isinstance(node.op, ast.Div) and right == 0:
                raise SweepError(f"{self.place}: constraint '{self.text}' divides by 0.")
            return ARITHMETIC[type(node.op)](left, right)
        value = node.value if isinstance(node, ast.Constant) else value_of(_key(node))
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SweepError(f"{self.place}: constraint '{self.text}': {_key(node)} must be a number; it is {value!r}.")
        return value


def read_constraint(text: object, place: str) -> Constraint:
    """Read a comparison.

    Raises:
        SweepError: If it is anything else.
    """
    try:
        body = ast.parse(text, mode='eval').body if isinstance(text, str) else None
    except SyntaxError:
        body = None
    sides = [body.left, *body.comparators] if isinstance(body, ast.Compare) else []
    if len(sides) != 2 or type(body.ops[0]) not in COMPARISONS or not all(map(_is_sum, sides)):
        raise SweepError(
            f"{place}: a constraint must compare config keys and numbers, as 'model.panoptic_head.num_queries * "
            f"train_dataloader.batch_size <= 800'; got {text!r}."
        )
    return Constraint(text, place)


def _is_sum(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        return type(node.op) in ARITHMETIC and _is_sum(node.left) and _is_sum(node.right)
    if isinstance(node, ast.Constant):
        return type(node.value) in (int, float)
    return _key(node) is not None


def _key(node: ast.expr) -> str | None:
    """The dotted key that `a.b[0].c` names."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = _key(node.value)
        return before and f'{before}.{node.attr}'
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and type(node.slice.value) is int:
        before = _key(node.value)
        return before and f'{before}.{node.slice.value}'
    return None
