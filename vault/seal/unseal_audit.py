"""What an opening leaves in the audit log: that the vault was made, and each time it was unsealed.

Neither can be on record when it happens, because there are no keys yet to write the log with. So
the opening that follows writes it, before the first request is served.
"""

from typing import Final

import msgspec
from msgspec.structs import replace

from actors.world import World
from protocols import json_text
from protocols.instant import rfc3339
from vault.audit.broker import AuditBroker
from vault.audit.record import MAX_TEXT, AuditEvent
from vault.model.records import SystemRow
from vault.model.restore import RESTORED_ROW, RestoreRecord
from vault.seal.manager import SEAL_ROW
from vault.seal.seal_record import SealRecord
from vault.store.store import Store
from vault.store.table import StoreQuery
from vault.store.tables import RECORDERS, SYSTEM
from vault.store.transaction import StoreTx

INIT_OPERATION: Final = "sys.init"
UNSEAL_OPERATION: Final = "sys.unseal"
RESTORE_OPERATION: Final = "sys.restore"


async def record_unseal(
    audit: AuditBroker,
    store: Store,
    world: World,
    node: str,
    *,
    is_first: bool,
    by_operator: bool,
    by_break_glass: bool = False,
) -> None:
    """Put the unsealing on record, and before it the making of the vault if `is_first`.

    `node`: whose log it is. `by_operator`: somebody has brought the root key or its shares; else
    the agent read its key file. `by_break_glass`: break-glass holders have opened it.

    Raises `UnavailableError` when no sink accepts: then the vault does not open.
    """
    row = await store.get(SYSTEM, SEAL_ROW)
    if row is None:
        raise RuntimeError("a vault that opens has a seal row")
    seal = json_text.decode(row.value, type=SealRecord)
    how = f"{seal.type}, {seal.threshold} of {seal.shares}"
    actor = "operator" if by_operator else f"service:{seal.type}"
    if by_break_glass:
        actor, how = "break-glass", f"break-glass, {how}"
    if is_first:
        made = f"{how}, at {rfc3339(seal.created_at)}"
        await audit.record(_event(INIT_OPERATION, seal, actor, made, world))
    await _record_restore(audit, store, seal, world, node)
    await audit.record(_event(UNSEAL_OPERATION, seal, actor, how, world))


async def _record_restore(
    audit: AuditBroker, store: Store, seal: SealRecord, world: World, node: str
) -> None:
    """Put on record, as an alert, that the database was restored.

    The first node that opens it does, and each other one that the vault had: to these it is not
    what they have seen last.
    """
    row = await store.get(SYSTEM, RESTORED_ROW)
    if row is None:
        return
    made = json_text.decode(row.value, type=RestoreRecord)
    if made.recorded and node not in made.awaited:
        return
    tokens = "its tokens were kept" if made.tokens_kept else "its tokens were dropped"
    what = (
        f"reason: {made.reason}; backup {made.backup} of {made.taken}, commit {made.commits}, was "
        f"restored at {made.time}; {tokens}"
    )
    if made.taken_away:
        counts = (f"{name} {count}" for name, count in made.taken_away.items())
        what += f"; by the audit logs: {', '.join(counts)}"
    if made.only:
        what += f"; of the secrets only {', '.join(made.only)}"
    event = _event(RESTORE_OPERATION, seal, "operator", what[:MAX_TEXT], world)
    await audit.record(replace(event, alert=True))
    await store.commit(lambda tx: _note_recorded(tx, node, world.now()))


def _note_recorded(tx: StoreTx, node: str, now: int) -> None:
    row = tx.get(SYSTEM, RESTORED_ROW)
    if row is None:
        return
    made = json_text.decode(row.value, type=RestoreRecord)
    if not made.recorded:  # who fetched what since the backup is not in it
        for recorder in tx.select(RECORDERS, StoreQuery()):
            tx.put(RECORDERS, replace(recorder, is_open=False, lost_at=now))
    left = [each for each in made.awaited if each != node]
    if left:
        made = replace(made, awaited=left, recorded=True)
        tx.put(SYSTEM, SystemRow(name=RESTORED_ROW, value=msgspec.json.encode(made)))
    else:
        tx.delete(SYSTEM, RESTORED_ROW)


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
