"""Each frame in its place."""

from typing import Any

import pytest
from msgspec.structs import replace

from protocols.link.errors import Fault, RemoteFaultError
from protocols.link.session import SequenceGuard, check_clock
from tests.unit.protocols.link.duet import WALL
from tests.unit.protocols.link.test_frame import BASE

SESSION = b"s" * 16


def guard() -> SequenceGuard:
    """One that waits for frame 5."""
    return SequenceGuard("prod", SESSION, 5)


def test_frames_count_up_by_one():
    """Each accepted frame makes the next number the only one."""
    waiting = guard()
    for seq in (5, 6, 7):
        waiting.check_frame(replace(BASE, session=SESSION, seq=seq), WALL)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"seq": 4}, "sequence"),
        ({"seq": 6}, "sequence"),
        ({"seq": 0}, "sequence"),
        ({"session": bytes(16)}, "session"),
        ({"session": b"t" * 16}, "session"),
        ({"vault_id": "test"}, "vault"),
        ({"timestamp": WALL - 300_001}, "clock"),
        ({"timestamp": WALL + 300_001}, "clock"),
    ],
)
def test_a_frame_out_of_place_is_refused_and_changes_nothing(changes: dict[str, Any], fault: str):
    """Repeated, dropped, moved, of another session or vault, of another time: by name."""
    waiting = guard()
    right = replace(BASE, session=SESSION, seq=5)
    with pytest.raises(RemoteFaultError) as caught:
        waiting.check_frame(replace(right, **changes), WALL)
    assert caught.value.fault == fault
    waiting.check_frame(right, WALL)


@pytest.mark.parametrize("skew", [-300_000, 0, 300_000])
def test_clocks_may_differ_by_five_minutes(skew: int):
    """Up to and with the bound, a clock that is off harms nobody."""
    check_clock(WALL + skew, WALL)
    with pytest.raises(RemoteFaultError) as caught:
        check_clock(WALL - 300_001, WALL)
    assert caught.value.fault is Fault.CLOCK
