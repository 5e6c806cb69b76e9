"""From one root to the next while a fleet is running: the phases, and when each may begin.

    steady ──start──▶ announced ──switch──▶ switched ──finish──▶ steady

announced   both roots are trusted; every answer to an agent carries the new one, certified by the
            old; certificates still come from the old.
switched    certificates come from the new; both are trusted. Who trusts only the old one follows
            the cross-certificate that servers show.
steady      the old root is trusted no more.

Each step waits for as long as a certificate lives: then every agent that is on line has renewed,
and so knows the new root (announced), or has a certificate of it (switched).
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct

from control.errors import ConflictError
from protocols.pki import profile

MIN_WAIT: Final = profile.AGENT_LIFE + profile.SKEW


class Phase(StrEnum):
    """Where a rollover is."""

    STEADY = "steady"
    ANNOUNCED = "announced"
    SWITCHED = "switched"


class Rollover(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which authority issues and which one is trusted beside it, by their ids in the directory."""

    phase: Phase
    active: str
    other: str = ""
    since: int = 0
    """When the phase began, Unix nanoseconds."""


def start_rollover(state: Rollover, incoming: str, now: int) -> Rollover:
    """Announce the next authority. Raises `ConflictError` while a rollover is under way."""
    _expect(state, Phase.STEADY)
    return Rollover(phase=Phase.ANNOUNCED, active=state.active, other=incoming, since=now)


def switch_authority(state: Rollover, now: int, *, force: bool = False) -> Rollover:
    """Issue from the next authority.

    Raises `ConflictError` when none is announced, or not for long enough (`force` overrides: agents
    that do not know the new root follow the cross-certificate).
    """
    _expect(state, Phase.ANNOUNCED)
    _require_waited(state, now, force=force)
    return Rollover(phase=Phase.SWITCHED, active=state.other, other=state.active, since=now)


def finish_rollover(state: Rollover, now: int, *, force: bool = False) -> Rollover:
    """Trust the old root no more.

    Raises `ConflictError` before the switch, or when certificates of the old one may still be in
    use (`force` overrides, for a root that was stolen: their agents must be enrolled anew).
    """
    _expect(state, Phase.SWITCHED)
    _require_waited(state, now, force=force)
    return Rollover(phase=Phase.STEADY, active=state.active, since=now)


def _expect(state: Rollover, phase: Phase) -> None:
    if state.phase is not phase:
        raise ConflictError("rollover_phase", f"this follows {phase}; the phase is {state.phase}")


def _require_waited(state: Rollover, now: int, *, force: bool) -> None:
    left = state.since + MIN_WAIT - now
    if left > 0 and not force:
        hours = -(-left // profile.HOUR)
        raise ConflictError("rollover_early", f"wait {hours} h more, until every agent has renewed")
