"""What goes on record: that an operator has accepted something, that somebody else has written."""

from msgspec.structs import replace

from actors import World
from vault.anchor.opening import Standing
from vault.audit.record import MAX_TEXT, AuditEvent
from vault.model.instant import SECOND

OPERATION = "sys.accept_rollback"
CONFIRM_CLOCK = "sys.confirm_clock"
FOREIGN_WRITE = "store.foreign_write"


def event(standing: Standing, world: World) -> AuditEvent:
    """That something was set back: `code` of the first finding, `rule` with all of them and why."""
    what = "; ".join(finding.what for finding in standing.accepted)
    code, rule = standing.accepted[0].code, f"reason: {standing.why}; {what}"
    return _event(OPERATION, "sys/accept-rollback", code, rule, world)


def clock_event(why: str, lag: int, world: World) -> AuditEvent:
    """That the machine's clock is right although it was `lag` ns ahead of what was known."""
    rule = f"reason: {why}; the clock was {lag // SECOND} seconds ahead of the time that had passed"
    return _event(CONFIRM_CLOCK, "sys/confirm-clock", "", rule, world)


def foreign_write_event(code: str, what: str, world: World) -> AuditEvent:
    """That somebody else writes the database, or what he has left there. Nobody of ours did it."""
    made = _event(FOREIGN_WRITE, "sys/database", code, what, world)
    who = "service:database"
    return replace(
        made, actor_id=who, actor_name=who, method="service", capability="", result="failed"
    )


def _event(operation: str, path: str, code: str, rule: str, world: World) -> AuditEvent:
    return AuditEvent(
        request_id=world.new_id(),
        phase="outcome",
        operation=operation,
        path=path,
        capability="sudo",
        actor_id="operator",
        actor_name="operator",
        method="file",
        credential="",
        ip="",
        user_agent="",
        dialect="service",
        result="ok",
        code=code,
        rule=rule[:MAX_TEXT],
        alert=True,
    )
