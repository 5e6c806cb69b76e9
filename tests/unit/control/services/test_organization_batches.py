"""Pieces have one organization, and no agent twice."""

from typing import cast

from control.services.organization_batches import batch_by_organization, run_by_organization
from control.store.rows import Tx

NAMES = [("a", "1"), ("b", "1"), ("a", "2"), ("a", "1"), ("a", "1")]


def test_what_an_agent_has_second_comes_later() -> None:
    """In the order in which it came, beside nothing else of its own."""
    assert list(batch_by_organization(NAMES)) == [("a", [0, 2]), ("b", [1]), ("a", [3]), ("a", [4])]


def test_results_come_back_in_order() -> None:
    """Whatever piece they were made in."""
    asked: list[str] = []

    def work(_: Tx, org: str, places: list[int]) -> list[int]:
        asked.append(org)
        return [place * 10 for place in places]

    assert run_by_organization(cast("Tx", None), NAMES, work) == [0, 10, 20, 30, 40]
    assert asked == ["a", "b", "a", "a"]
    assert run_by_organization(cast("Tx", None), [], work) == []
