"""The table of the agent's view of its link."""

import itertools

import pytest

from protocols.link.vocabulary import SyncPhase
from vault.control_link.connector import TRANSITIONS, PhaseEvent, next_phase

P, S = SyncPhase, PhaseEvent


@pytest.mark.parametrize(
    ("phase", "by", "then"),
    [
        (P.OFFLINE, S.OPENED, P.SYNCING),
        (P.SYNCING, S.CAUGHT_UP, P.ONLINE),
        (P.ONLINE, S.POLICY, P.SYNCING),
        (P.ONLINE, S.LOST, P.OFFLINE),
        (P.OFFLINE, S.QUEUED, P.QUEUEING),
        (P.QUEUEING, S.EMPTIED, P.OFFLINE),
        (P.QUEUEING, S.OPENED, P.SYNCING),
    ],
)
def test_the_seeds_diagram(phase: SyncPhase, by: PhaseEvent, then: SyncPhase) -> None:
    """Each of its arrows."""
    assert next_phase(phase, by) is then


def test_what_is_not_in_the_table_changes_nothing() -> None:
    """A step that comes late is no fault, and every phase can be reached and left."""
    for pair in itertools.product(P, S):
        assert next_phase(*pair) is TRANSITIONS.get(pair, pair[0])
    assert next_phase(P.OFFLINE, S.CAUGHT_UP) is P.OFFLINE
    assert {*TRANSITIONS.values()} == {*P}
