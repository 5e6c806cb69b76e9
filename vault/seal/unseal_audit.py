"""What an opening leaves in the audit log: that the vault was made, and each time it was unsealed.

Neither can be on record when it happens, because there are no keys yet to write the log with. So
the opening that follows writes it, before the first request is served.
"""

from typing import Final

from actors.world import World
from protocols import json_text
from protocols.instant import rfc3339
from vault.audit.broker import AuditBroker
from vault.audit.record import AuditEvent
from vault.seal.manager import SEAL_ROW, SealRecord
from vault.store.store import Store
from vault.store.tables import SYSTEM

INIT_OPERATION: Final = "sys.init"
UNSEAL_OPERATION: Final = "sys.unseal"


async def record_unseal(
    audit: AuditBroker, store: Store, world: World, *, is_first: bool, by_operator: bool
) -> None:
    """Put the unsealing on record, and before it the making of the vault if `is_first`.

    `by_operator`: somebody has brought the root key or its shares; else the agent read its key
    file.

    Raises `UnavailableError` when no sink accepts: then the vault does not open.
    """
    row = await store.get(SYSTEM, SEAL_ROW)
    if row is None:
        raise RuntimeError("a vault that opens has a seal row")
    seal = json_text.decode(row.value, type=SealRecord)
    how = f"{seal.type}, {seal.threshold} of {seal.shares}"
    actor = "operator" if by_operator else f"service:{seal.type}"
    if is_first:
        made = f"{how}, at {rfc3339(seal.created_at)}"
        await audit.record(_event(INIT_OPERATION, seal, actor, made, world))
    await audit.record(_event(UNSEAL_OPERATION, seal, actor, how, world))


def _event(operation: str, seal: SealRecord, actor: str, what: str, world: World) -> AuditEvent:
    return AuditEvent(
        request_id=world.new_id(),
        phase="outcome",
        operation=operation,
        path=operation.replace(".", "/"),
        capability="",
        actor_id=actor,
        actor_name=actor,
        method=seal.type,
        credential="",
        ip="",
        user_agent="",
        dialect="service",
        result="ok",
        rule=what,
    )
