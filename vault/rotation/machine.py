"""The states of a rotation, and what follows from a step that was done or has failed. Pure.

    planned → (drafted →) stored → applied → verified → current → adopted → retired
       ╲          ╲          ╲         ╲         ╲         ╲          ╲
      undone       ──────────── undoing → undone            ── stuck ──

Until the new value is current the old one is what applications have: what fails is undone. From
then on there is no way back: what fails waits for a person.
"""

from typing import Final

from msgspec.structs import replace

from vault.errors import ConflictError
from vault.model.records import RotationRow
from vault.model.rotation import ABANDONED, ADOPTION_INCOMPLETE, ENDED, RetryPolicy, RotationState
from vault.rotation.schedule import NEVER, retry_delay

_S = RotationState
_NEXT: Final = {
    _S.PLANNED: _S.STORED,
    _S.DRAFTED: _S.STORED,
    _S.STORED: _S.APPLIED,
    _S.APPLIED: _S.VERIFIED,
    _S.VERIFIED: _S.CURRENT,
    _S.CURRENT: _S.ADOPTED,
    _S.ADOPTED: _S.RETIRED,
    _S.UNDOING: _S.UNDONE,
}
_GIVEN_UP: Final = {
    _S.PLANNED: _S.UNDONE,  # nothing has happened
    _S.DRAFTED: _S.UNDOING,  # the target may have been told
    _S.STORED: _S.UNDOING,
    _S.APPLIED: _S.UNDOING,
    _S.VERIFIED: _S.UNDOING,
    _S.CURRENT: _S.STUCK,
    _S.ADOPTED: _S.STUCK,
    _S.UNDOING: _S.STUCK,
}
MAX_ERROR: Final = 500  # characters


def is_over(row: RotationRow) -> bool:
    """Whether another rotation of the secret may begin."""
    return row.state in ENDED


def is_under_way(row: RotationRow, at: int) -> bool:
    """Whether it keeps another one from beginning at that time.

    One whose first step was put off for longer does not: it can begin by then itself.
    """
    is_put_off = row.state == _S.PLANNED and not row.fence and not row.attempt and at < row.next_at
    return not is_over(row) and not is_put_off


def advance(row: RotationRow, now: int) -> RotationRow:
    """Its step is done. The next one is due at once."""
    return _enter(row, _NEXT[_S(row.state)], now)


def draft(row: RotationRow, now: int) -> RotationRow:
    """A rotation that is planned has a draft: its target makes the value."""
    return _enter(row, _S.DRAFTED, now)


def fail(
    row: RotationRow,
    retry: RetryPolicy,
    code: str,
    text: str,
    *,
    is_final: bool,
    now: int,
    jitter: float,
) -> RotationRow:
    """Its step has failed: it is tried again later, or given up."""
    told = replace(row, attempt=row.attempt + 1, error_code=code, error=text[:MAX_ERROR])
    if not is_final and told.attempt < retry.attempts:
        return replace(told, next_at=now + retry_delay(retry, told.attempt, jitter))
    return _enter(told, _GIVEN_UP[_S(row.state)], now)


def undo(row: RotationRow, code: str, text: str, now: int) -> RotationRow:
    """It is not to go on, and the new value is not current: the target gets the old one back.

    Raises `ConflictError` (`rotation_not_undoable`) where there is no way back.
    """
    state = _GIVEN_UP.get(_S(row.state))
    if state not in {_S.UNDOING, _S.UNDONE}:
        raise ConflictError(
            "rotation_not_undoable", f"a rotation that is {row.state} cannot be undone"
        )
    return _enter(replace(row, error_code=code, error=text[:MAX_ERROR]), state, now)


def resume(row: RotationRow, now: int) -> RotationRow:
    """Somebody has seen to what it was stuck at: that step is tried anew.

    Raises `ConflictError` (`rotation_not_stuck`).
    """
    if row.state != _S.STUCK:
        raise _not_stuck(row)
    return replace(row, state=_S(row.resume), resume="", attempt=0, next_at=now)


def abandon(row: RotationRow, by: str, now: int) -> RotationRow:
    """Nobody tries the step again that it is stuck at; `by` says who decides so.

    The secret stays as it is, and so does the target: the error says what may be left there. A
    rotation whose value is current counts as retired, any other as undone. Raises `ConflictError`
    (`rotation_not_stuck`).
    """
    if row.state != _S.STUCK:
        raise _not_stuck(row)
    if row.resume == _S.UNDOING:
        state = _S.UNDONE
        left = (
            "the target may take a new value that nobody knows, also instead of that of version "
            f"{row.previous}: set its credential to that version's"
        )
    else:
        state = _S.RETIRED
        left = (
            f"the target may still take the old value, that of version {row.previous}: "
            "remove it there"
        )
    told = replace(row, error_code=ABANDONED, error=f"{left}; given up by {by}"[:MAX_ERROR])
    return replace(told, state=state, resume="", attempt=0, next_at=NEVER, ended_at=now)


def _not_stuck(row: RotationRow) -> ConflictError:
    return ConflictError(
        "rotation_not_stuck", f"a rotation that is {row.state} is not stuck at a step"
    )


def _enter(row: RotationRow, state: RotationState, now: int) -> RotationRow:
    """In `state`, with no try of its step so far.

    An error stays where it says why it went back, or who did not have the new value in time.
    """
    clears = (
        state in {*_NEXT.values(), _S.DRAFTED} - {_S.UNDONE}
        and row.error_code != ADOPTION_INCOMPLETE
    )
    over = state in ENDED
    return replace(
        row,
        state=state,
        resume=row.state if state is _S.STUCK else "",
        attempt=0,
        next_at=NEVER if over or state is _S.STUCK else now,
        current_at=now if state is _S.CURRENT else row.current_at,
        ended_at=now if over else 0,
        error_code="" if clears else row.error_code,
        error="" if clears else row.error,
    )
