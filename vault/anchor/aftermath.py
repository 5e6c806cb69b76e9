"""What follows when an operator has accepted that something was set back: it is put on record."""

from actors import World
from vault.anchor.opening import Standing
from vault.audit.record import MAX_TEXT, AuditEvent

OPERATION = "sys.accept_rollback"


def event(standing: Standing, world: World) -> AuditEvent:
    """The record of it: `code` of the first finding, `rule` with all of them and the reason."""
    what = "; ".join(finding.what for finding in standing.accepted)
    return AuditEvent(
        request_id=world.new_id(),
        phase="outcome",
        operation=OPERATION,
        path="sys/accept-rollback",
        capability="sudo",
        actor_id="operator",
        actor_name="operator",
        method="file",
        credential="",
        ip="",
        user_agent="",
        dialect="service",
        result="ok",
        code=standing.accepted[0].code,
        rule=f"reason: {standing.why}; {what}"[:MAX_TEXT],
        alert=True,
    )
