"""An agent dies at each state of a rotation: one kill for each, and `make rotation-kills` 500."""

from pathlib import Path

from tests.acceptance.rotation.failpoints import STATES
from tests.acceptance.rotation.kills import play, points
from tests.contract.rotation.targets import PostgresqlTarget
from tests.support.databases import shared_server


def test_an_application_logs_in_whenever_the_agent_dies(folder: Path) -> None:
    """What is done at the target and not stored is done again; each rotation is done once."""
    target = PostgresqlTarget(shared_server("postgresql"))  # type: ignore[arg-type]
    said = play(folder, target, iter([(state, "done") for state in STATES]))
    assert said.startswith(f"{len(STATES)} kills at {len(STATES)} places")
    assert "'undone': 1" in said
    assert "'retired': 1" in said


def test_all_places_are_met() -> None:
    """In 500 kills, and in another order with another seed."""
    met = [*points(500, 0)]
    assert len({*met}) == len(STATES) * 4
    assert met != [*points(500, 1)]
