"""The states of a rotation: nothing is lost, whatever fails and however often."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.instant import SECOND
from vault.errors import ConflictError
from vault.model.records import RotationRow
from vault.model.rotation import RetryPolicy, RotationState
from vault.rotation.machine import abandon, advance, fail, is_over, resume, undo

NOW: Final = 1_800_000_000 * SECOND
RETRY: Final = RetryPolicy(attempts=3, base=SECOND, cap=4 * SECOND)
BEFORE_CURRENT: Final = ("planned", "stored", "applied", "verified")


def rotation(state: RotationState = RotationState.PLANNED) -> RotationRow:
    """One of version 4."""
    return RotationRow(
        secret_id="s",
        number=1,
        path="secret/a",
        state=state,
        policy={"rotator": "generated"},
        cause="schedule",
        previous=4,
        next_at=NOW,
        began_at=NOW,
    )


def failed(row: RotationRow, *, is_final: bool = False) -> RotationRow:
    """After one more failure of its step."""
    return fail(row, RETRY, "target_down", "no answer", is_final=is_final, now=NOW, jitter=0.5)


def test_the_way_of_a_rotation_that_nothing_disturbs() -> None:
    """Each state once, and it is over at the end."""
    row, seen = rotation(), list[str]()
    while not is_over(row):
        row = advance(row, NOW)
        seen.append(row.state)
    assert seen == ["stored", "applied", "verified", "current", "adopted", "retired"]
    assert (row.ended_at, row.next_at, row.current_at) == (NOW, 0, NOW)


@pytest.mark.parametrize("state", BEFORE_CURRENT)
def test_what_fails_before_the_value_is_current_is_undone(state: str) -> None:
    """After as many tries as the policy says; with nothing to undo it is over at once."""
    row = rotation(RotationState(state))
    for attempt in (1, 2):
        row = failed(row)
        assert (row.state, row.attempt) == (state, attempt)
        assert NOW < row.next_at <= NOW + RETRY.cap
    row = failed(row)
    if state == "planned":
        assert (row.state, row.ended_at) == ("undone", NOW)
    else:
        assert (row.state, row.next_at) == ("undoing", NOW)
        row = advance(row, NOW)
        assert is_over(row)
    assert (row.error_code, row.error) == ("target_down", "no answer")


@pytest.mark.parametrize("state", ["current", "adopted", "undoing"])
def test_what_must_be_done_waits_for_a_person(state: str) -> None:
    """It is stuck, is tried no more, and goes on where it was once somebody says so."""
    row = failed(rotation(RotationState(state)), is_final=True)
    assert (row.state, row.resume, row.next_at) == ("stuck", state, 0)
    assert not is_over(row)
    row = resume(row, NOW + 1)
    assert (row.state, row.attempt, row.next_at) == (state, 0, NOW + 1)
    with pytest.raises(ConflictError, match="not_stuck"):
        resume(row, NOW)


@pytest.mark.parametrize(
    ("stuck_at", "ends", "left"),
    [
        ("undoing", "undone", "a new value that nobody knows"),
        ("current", "retired", "still take the old value, that of version 4"),
        ("adopted", "retired", "still take the old value, that of version 4"),
    ],
)
def test_what_is_stuck_may_be_given_up(stuck_at: str, ends: str, left: str) -> None:
    """It is over as far as it came, says who has decided so, and what is left at the target."""
    row = abandon(failed(rotation(RotationState(stuck_at)), is_final=True), "ann", NOW + 5)
    assert (row.state, row.ended_at, row.next_at, row.resume) == (ends, NOW + 5, 0, "")
    assert is_over(row)
    assert row.error_code == "abandoned"
    assert row.error.endswith("; given up by ann")
    assert left in row.error


def test_what_is_not_stuck_cannot_be_given_up() -> None:
    """Its next step is tried, or it is over."""
    for state in set(RotationState) - {RotationState.STUCK}:
        with pytest.raises(ConflictError, match="not_stuck"):
            abandon(rotation(state), "ann", NOW)


def test_there_is_no_way_back_once_applications_have_the_new_value() -> None:
    """A rotation is undone on request before that, and refuses it from then on."""
    for state in BEFORE_CURRENT:
        row = undo(rotation(RotationState(state)), "cancelled", "by an operator", NOW)
        assert row.state in {"undoing", "undone"}
    for state in ("current", "adopted", "retired", "undoing", "undone", "stuck"):
        with pytest.raises(ConflictError, match="not_undoable"):
            undo(rotation(RotationState(state)), "cancelled", "by an operator", NOW)


@given(st.lists(st.sampled_from(["done", "failed", "final", "resumed"]), max_size=60))
def test_no_path_leads_from_the_new_value_back(steps: list[str]) -> None:
    """Whatever fails: it ends retired or undone, and never undone once it was current."""
    row, was_current = rotation(), False
    for step in steps:
        if is_over(row):
            break
        if row.state == "stuck":
            row = resume(row, NOW) if step == "resumed" else row
        elif step == "done":
            row = advance(row, NOW)
        elif step != "resumed":
            row = failed(row, is_final=step == "final")
        was_current |= row.state == "current"
        assert not (was_current and row.state in {"undoing", "undone"})
        assert bool(row.next_at) is not (is_over(row) or row.state == "stuck")
        assert bool(row.ended_at) is is_over(row)
