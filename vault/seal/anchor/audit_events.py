"""What goes on record: that an operator has accepted something, that somebody else has written."""

from msgspec.structs import replace

from actors import World
from protocols.instant import SECOND
from vault.audit.record import MAX_TEXT, AuditEvent
from vault.seal.anchor.rollback_check import ResumePoint

ACCEPT_ROLLBACK = "sys.accept_rollback"
CONFIRM_CLOCK = "sys.confirm_clock"
FOREIGN_WRITE = "store.foreign_write"
JOIN = "sys.join"


def rollback_accepted_event(standing: ResumePoint, world: World) -> AuditEvent:
    """That something was set back: `code` of the first finding, `rule` with all of them and why."""
    what = "; ".join(finding.what for finding in standing.accepted_findings)
    code, rule = standing.accepted_findings[0].code, f"reason: {standing.acceptance_reason}; {what}"
    return _event(ACCEPT_ROLLBACK, "sys/accept-rollback", code, rule, world)


def clock_confirmed_event(why: str, lag: int, world: World) -> AuditEvent:
    """That the machine's clock is right although it was `lag` ns ahead of what was known."""
    rule = f"reason: {why}; the clock was {lag // SECOND} seconds ahead of the time that had passed"
    return _event(CONFIRM_CLOCK, "sys/confirm-clock", "", rule, world)


def foreign_write_event(code: str, what: str, world: World) -> AuditEvent:
    """That another process writes the database, or what it has left there."""
    made = _event(FOREIGN_WRITE, "sys/database", code, what, world)
    who = "service:database"
    return replace(
        made, actor_id=who, actor_name=who, method="service", capability="", result="failed"
    )


def node_joined_event(node: str, name: str, world: World) -> AuditEvent:
    """That a machine has opened the vault of others, with an audit log of its own."""
    rule = f"node {node} of the machine {name} begins its audit log: the vault has other nodes"
    return _event(JOIN, "sys/nodes", "", rule, world)


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
