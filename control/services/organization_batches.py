"""Splits work for many agents into batches of one organization, with no agent twice.

What a batch has read of an agent then holds until the batch is written, though two connections of
one agent send something in the same transaction.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from control.store.rows import Tx

R = TypeVar("R")


def run_by_organization(
    tx: Tx,
    names: Sequence[tuple[str, str]],
    work: Callable[[Tx, str, Sequence[int]], Sequence[R]],
) -> list[R]:
    """Call `work` with organization and places among `names`; all results in order."""
    results: dict[int, R] = {}
    for org, places in batch_by_organization(names):
        results.update(zip(places, work(tx, org, places), strict=True))
    return [results[place] for place in range(len(names))]


def batch_by_organization(names: Sequence[tuple[str, str]]) -> Iterator[tuple[str, list[int]]]:
    """Places of `names`, by organization; an agent's second place comes in a later batch."""
    seen: dict[tuple[str, str], int] = {}
    cut: dict[tuple[int, str], list[int]] = {}
    for place, name in enumerate(names):
        turn = seen[name] = seen.get(name, -1) + 1
        cut.setdefault((turn, name[0]), []).append(place)
    for turn, org in sorted(cut):
        yield org, cut[turn, org]
