"""The counts of one process as a table. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

REQUEST: Final = "EdgeApp.__call__"  # starts once for each request that is answered


class FunctionCount(NamedTuple):
    """What one function did, in all that was counted."""

    name: str
    steps: int
    starts: int
    calls: int


def count_requests(functions: Iterable[FunctionCount]) -> int:
    """How many were answered meanwhile."""
    return sum(each.starts for each in functions if each.name.endswith(f" {REQUEST}"))


def render_table(functions: Sequence[FunctionCount], most: int) -> str:
    """A line for all, then one for each of the `most` that have most steps, for each request.

    Raises `ValueError` where no request was answered.
    """
    answered = count_requests(functions)
    if not answered:
        raise ValueError("no request was answered while it was counted")
    steps = sum(each.steps for each in functions) / answered
    starts = sum(each.starts for each in functions) / answered
    calls = sum(each.calls for each in functions) / answered
    first = (
        f"{answered} requests, each of {steps:.0f} steps, {starts:.0f} functions, {calls:.0f} calls"
    )
    largest = sorted(functions, key=lambda each: -each.steps)[:most]
    return "\n".join([
        first,
        f"{'steps':>8} {'starts':>7} {'calls':>7}  function",
        *(
            f"{each.steps / answered:8.1f} {each.starts / answered:7.2f}"
            f" {each.calls / answered:7.2f}  {each.name}"
            for each in largest
        ),
    ])  # fmt: skip
