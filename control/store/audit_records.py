"""Rows of the audit log, its bases, witnessed checkpoints and their consistency proofs."""

from typing import Final

import sqlalchemy as sa
from msgspec import Struct

from control.model.records import AuditEvent, WitnessedCheckpoint, WitnessedLog
from control.store.rows import (
    Tx,
    fetch_all,
    fetch_one,
    insert_or_replace,
    insert_row,
    select_by_key,
)
from control.store.tables import audit, growths, trail_bases, witnessed, witnessed_logs

_CHECKPOINT: Final = select_by_key(witnessed)
_LOG: Final = select_by_key(witnessed_logs)
_BASE: Final = select_by_key(trail_bases)
_NODE: Final = 32  # bytes of SHA-256


def get_last_event(tx: Tx, org: str) -> AuditEvent | None:
    """The end of the organization's chain."""
    chosen = sa.select(audit).where(audit.c.org == org).order_by(audit.c.seq.desc()).limit(1)
    return fetch_one(tx, AuditEvent, chosen)


def add_event(tx: Tx, event: AuditEvent) -> None:
    """Add the next one."""
    insert_row(tx, audit, event)


def list_events(tx: Tx, org: str, *, after: int, limit: int) -> list[AuditEvent]:
    """In order, beginning behind the sequence number `after`."""
    t = audit.c
    chosen = sa.select(audit).where(t.org == org, t.seq > after).order_by(t.seq).limit(limit)
    return fetch_all(tx, AuditEvent, chosen)


class EventFilter(Struct, frozen=True):
    """Which events; an empty field matches all. Times are Unix nanoseconds, `until` excluded.

    `operation` and `target` are prefixes.
    """

    actor: str = ""
    operation: str = ""
    target: str = ""
    ip: str = ""
    result: str = ""
    phase: str = ""
    code: str = ""
    request_id: str = ""
    since: int = 0
    until: int = 0


ALL_EVENTS: Final = EventFilter()


def newest_event_at(tx: Tx) -> int:
    """The time of the newest record of any chain, Unix nanoseconds; 0 for none."""
    t = audit.c
    newest = sa.select(t.org, sa.func.max(t.seq).label("seq")).group_by(t.org).subquery()
    same = sa.and_(t.org == newest.c.org, t.seq == newest.c.seq)
    found = tx.execute(sa.select(sa.func.max(t.at)).select_from(audit).join(newest, same)).scalar()
    return 0 if found is None else int(found)


def list_newest_events(
    tx: Tx, org: str, *, before: int, limit: int, filter_: EventFilter = ALL_EVENTS
) -> list[AuditEvent]:
    """The newest first, before the sequence number `before` if that is not 0."""
    rules = _filter_clauses(org, filter_)
    if before:
        rules.append(audit.c.seq < before)
    chosen = sa.select(audit).where(*rules).order_by(audit.c.seq.desc()).limit(limit)
    return fetch_all(tx, AuditEvent, chosen)


def count_events(tx: Tx, org: str, filter_: EventFilter) -> int:
    """How many fit."""
    chosen = sa.select(sa.func.count()).select_from(audit).where(*_filter_clauses(org, filter_))
    return int(tx.execute(chosen).scalar_one())


def count_older(tx: Tx, org: str, before: int) -> int:
    """How many are older, without the newest record, which always stays."""
    t = audit.c
    newest = sa.select(sa.func.max(t.seq)).where(t.org == org).scalar_subquery()
    chosen = sa.select(sa.func.count()).where(t.org == org, t.at < before, t.seq < newest)
    return int(tx.execute(chosen).scalar_one())


def _filter_clauses(org: str, wanted: EventFilter) -> list[sa.ColumnElement[bool]]:
    t = audit.c
    rules: list[sa.ColumnElement[bool]] = [t.org == org]
    exact = ("actor", "ip", "result", "phase", "code", "request_id")
    rules += [t[name] == value for name in exact if (value := getattr(wanted, name))]
    begun = ("operation", "target")
    rules += [
        sa.func.substr(t[name], 1, len(value)) == value  # LIKE folds case on SQLite
        for name in begun
        if (value := getattr(wanted, name))
    ]
    if wanted.since:
        rules.append(t.at >= wanted.since)
    if wanted.until:
        rules.append(t.at < wanted.until)
    return rules


def chain_ends(tx: Tx) -> list[tuple[str, int, bytes]]:
    """Of each organization's chain: how many events, and the hash of the last."""
    t = audit.c
    last = sa.select(t.org, sa.func.max(t.seq).label("seq")).group_by(t.org).subquery()
    joint = sa.and_(t.org == last.c.org, t.seq == last.c.seq)
    rows = tx.execute(sa.select(t.org, t.seq, t.hash).join(last, joint).order_by(t.org))
    return [(row[0], row[1], row[2]) for row in rows]


def get_checkpoint(tx: Tx, org: str, vault: str) -> WitnessedCheckpoint | None:
    """The newest one that was cosigned for this agent."""
    return fetch_one(tx, WitnessedCheckpoint, _CHECKPOINT, org=org, vault=vault)


def put_checkpoint(tx: Tx, row: WitnessedCheckpoint) -> None:
    """Replace it."""
    insert_or_replace(tx, witnessed, row)


def get_witnessed_log(tx: Tx, origin: str, signer: bytes) -> WitnessedLog | None:
    """The newest checkpoint of this log that was cosigned, for whichever enrolment."""
    return fetch_one(tx, WitnessedLog, _LOG, origin=origin, signer=signer)


def put_witnessed_log(tx: Tx, row: WitnessedLog) -> None:
    """Add, or replace."""
    insert_or_replace(tx, witnessed_logs, row)


class AuditLogBase(Struct, frozen=True):
    """The last record that is gone was number `size` and had this hash; signed at that time."""

    org: str
    size: int
    hash: bytes
    at: int
    signature: bytes


def get_base(tx: Tx, org: str) -> AuditLogBase | None:
    """The organization's base; None for an audit log with its first record."""
    return fetch_one(tx, AuditLogBase, _BASE, org=org)


def truncate_to_base(tx: Tx, row: AuditLogBase) -> int:
    """Delete the records up to the base, and store it; how many there were."""
    insert_or_replace(tx, trail_bases, row)
    t = audit.c
    return tx.execute(audit.delete().where(t.org == row.org, t.seq <= row.size)).rowcount


class ConsistencyProof(Struct, frozen=True):
    """From `old_size` to `size`; `path` are the nodes of the proof (RFC 9162, 2.1.4.1) in a row."""

    org: str
    vault: str
    size: int
    old_size: int
    old_root: bytes
    path: bytes

    @property
    def nodes(self) -> list[bytes]:
        """The proof."""
        return [self.path[i : i + _NODE] for i in range(0, len(self.path), _NODE)]


def list_consistency_proofs(tx: Tx, org: str) -> dict[str, ConsistencyProof]:
    """Of all agents of an organization, by vault."""
    found = fetch_all(tx, ConsistencyProof, growths.select().where(growths.c.org == org))
    return {row.vault: row for row in found}


def put_consistency_proof(tx: Tx, row: ConsistencyProof) -> None:
    """Replace the agent's."""
    insert_or_replace(tx, growths, row)
