"""What an opening leaves in the audit log: that the vault was made, and each time it was unsealed.

Neither can be on record when it happens, because there are no keys yet to write the log with. So
the opening that follows writes it, before the first request is served.
"""

from typing import Final

import msgspec

from actors.world import World
from vault.audit.broker import Broker
from vault.audit.record import AuditEvent
from vault.gate import SEAL_ROW, SealRecord
from vault.model.instant import rfc3339
from vault.store.store import Store
from vault.store.tables import SYSTEM

INIT: Final = "sys.init"
UNSEAL: Final = "sys.unseal"
_BY_PEOPLE: Final = "shamir"  # the seal's type; anything else opens by itself


async def record_opening(audit: Broker, store: Store, world: World, *, first: bool) -> None:
    """Put the unsealing on record, and before it the making of the vault if `first`.

    Raises `UnavailableError` when no sink accepts: then the vault does not open.
    """
    row = await store.get(SYSTEM, SEAL_ROW)
    if row is None:
        raise RuntimeError("a vault that opens has a seal row")
    seal = msgspec.json.decode(row.value, type=SealRecord)
    how = f"{seal.type}, {seal.threshold} of {seal.shares}"
    if first:
        await audit.record(_event(INIT, seal, f"{how}, at {rfc3339(seal.created_at)}", world))
    await audit.record(_event(UNSEAL, seal, how, world))


def _event(operation: str, seal: SealRecord, what: str, world: World) -> AuditEvent:
    """By whoever brought the shares, whom nobody knows; or by the agent with its key file."""
    actor = "operator" if seal.type == _BY_PEOPLE else f"service:{seal.type}"
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
