"""Retention: deletes old rows by rule, in batches, with audit records; legal holds exempt rows.

The audit log is deleted from its beginning on, up to a base that is signed beforehand: the rest of
the chain is verified against it. An audit log that does not match its signed head is left alone.
"""

from functools import partial
from typing import Final

from msgspec.structs import replace

from actors import World
from control.errors import ConflictError, NotFoundError, ValidationError
from control.model.operation import Operation, Origin
from control.model.retention import (
    Kind,
    LegalHold,
    PurgeCount,
    RetentionLimits,
    RetentionRule,
    effective_rule,
)
from control.services.audit_log import GENESIS_HASH, append_event, extends_chain, new_audit_event
from control.services.event_bus import Event, EventBus, Topic
from control.services.signed_heads import SignedHead, SignedHeads, contains_head
from control.store import audit_records, people, retention, shared_values
from control.store import legal_holds as held
from control.store.audit_records import AuditLogBase
from control.store.rows import Tx
from control.store.store import Store
from protocols.instant import DAY

SWEEP_INTERVAL: Final = DAY
"""Between two runs for an organization; a run that has more to do goes on at the next turn."""
BATCH: Final = 5000  # rows of one transaction
MAX_BATCHES: Final = 50  # of one kind and turn
ORGANIZATIONS_PAGE: Final = 100  # organizations of one look
MAX_HOLDS: Final = 100  # of an organization in force
MAX_LIFTED_HOLDS: Final = 900  # beside them; the oldest makes room
SWEEP_OPERATION: Final = "retention.swept"


class RecordRetention:
    """Rules and legal holds; `apply_rules` deletes by them."""

    def __init__(
        self,
        store: Store,
        bus: EventBus,
        signed_heads: SignedHeads,
        limits: RetentionLimits,
        world: World,
    ) -> None:
        self._limits = limits
        self._store = store
        self._bus = bus
        self._heads = signed_heads
        self._world = world

    async def list_rules(self, org: str) -> dict[Kind, RetentionRule]:
        """The rule of every kind, also of kinds without a rule of their own."""
        return await self._store.read(lambda tx: effective_rules(tx, org, self._limits))

    async def set_rule(self, org: str, kind: Kind, days: int) -> None:
        """Set a rule; 0 removes it. Raises `ValidationError`."""
        bounds = effective_rule(kind, None, self._limits)
        if days and not bounds.least <= days <= bounds.most:
            told = f"{kind}: {bounds.least} to {bounds.most} days, or 0 for no rule"
            raise ValidationError("days_invalid", told, field="days")
        await self._store.write(lambda tx: retention.put_rule(tx, org, kind, days))

    async def preview_deletion(self, org: str) -> list[PurgeCount]:
        """What would be deleted now, and what a hold keeps. Nothing is changed."""
        now = self._world.now()
        return await self._store.read(
            lambda tx: [
                _preview_rule(tx, org, kind, rule.days, now)
                for kind, rule in effective_rules(tx, org, self._limits).items()
            ]
        )

    async def list_holds(self, org: str) -> list[LegalHold]:
        """Holds, the newest first; also those that were lifted."""
        return await self._store.read(lambda tx: held.list_holds(tx, org))

    async def place_hold(
        self, org: str, vault: str, span: tuple[int, int], reason: str, by: str
    ) -> LegalHold:
        """Keep everything of this agent (empty: of all) and time from now on."""
        since, until = span
        if until and until <= since:
            raise ValidationError(
                "span_invalid", "until has to be later than since, or 0 for no end", field="until"
            )
        made = LegalHold(
            org=org,
            id=self._world.new_id(),
            vault=vault,
            since=since,
            until=until,
            reason=reason,
            created_by=by,
            created_at=self._world.now(),
        )

        def change(tx: Tx) -> LegalHold:
            rows = held.list_holds(tx, org)
            lifted = sum(bool(row.lifted_at) for row in rows)
            if len(rows) - lifted >= MAX_HOLDS:
                raise ConflictError(
                    "holds_full", f"{MAX_HOLDS} holds are in force already: lift one to make room"
                )
            if lifted >= MAX_LIFTED_HOLDS and not retention.delete_oldest_lifted(tx, org):
                raise ConflictError(
                    "holds_full",
                    f"{MAX_LIFTED_HOLDS} lifted holds are kept, and others cover them: "
                    "lift one of those",
                )
            held.add_hold(tx, made)
            return made

        return await self._store.write(change)

    async def lift_hold(self, org: str, hold_id: str, why: str, by: str) -> LegalHold:
        """Lift a hold: rules apply again. Raises `NotFoundError`, `ConflictError`."""
        now = self._world.now()

        def change(tx: Tx) -> LegalHold:
            found = held.get_hold(tx, org, hold_id)
            if found is None:
                raise NotFoundError("not_found", "there is no such hold")
            if found.lifted_at:
                raise ConflictError("hold_lifted", "this hold is lifted already")
            lifted = replace(found, lifted_by=by, lifted_at=now, lifted_why=why)
            held.put_hold(tx, lifted)
            return lifted

        return await self._store.write(change)

    async def apply_rules(self) -> None:
        """Delete by the rules, once a day for each organization. Raises `UnavailableError`."""
        after = ""
        while page := await self._store.read(
            partial(people.list_organizations, after=after, limit=ORGANIZATIONS_PAGE)
        ):
            for row in page:
                await self._sweep_organization(row.id)
            after = page[-1].id

    async def _sweep_organization(self, org: str) -> None:
        now = self._world.now()
        last, rules = await self._store.read(
            lambda tx: (_last_sweep(tx, org), retention.get_rules(tx, org))
        )
        if not rules or now < last + SWEEP_INTERVAL:
            return
        days = {
            kind: effective_rule(kind, count, self._limits).days for kind, count in rules.items()
        }
        done: dict[str, int] = {}
        more = False
        for kind, count in days.items():
            if kind in retention.AGED_TABLES:
                deleted = await self._delete(org, kind, now - count * DAY)
                more = more or deleted >= BATCH * MAX_BATCHES
                done[kind] = deleted
        if Kind.TRAIL in days:
            done[Kind.TRAIL] = await self._shorten_audit_log(org, now - days[Kind.TRAIL] * DAY)
        gone = {str(kind): count for kind, count in done.items() if count}
        event = new_audit_event(
            _operation(org, gone, days, self._world.new_id()), None, "outcome", "ok", now=now
        )

        def change(tx: Tx) -> None:
            if not more:
                shared_values.put_shared_value(tx, _mark_name(org), str(now))
            if gone:
                append_event(tx, event)

        await self._store.write(change)
        if gone:
            self._bus.publish(Event(Topic.TRAIL, org, "", SWEEP_OPERATION))

    async def _delete(self, org: str, kind: Kind, before: int) -> int:
        total = 0
        for _ in range(MAX_BATCHES):
            count = await self._store.write(
                lambda tx: retention.delete_aged(tx, kind, org, before, BATCH)
            )
            total += count
            if count < BATCH:
                break
        return total

    async def _shorten_audit_log(self, org: str, before: int) -> int:
        """Delete the oldest records of the audit log; how many."""
        kept = self._heads.saved_head(org)
        total = 0
        for _ in range(MAX_BATCHES if kept is not None else 0):
            count = await self._step(org, before, kept)
            total += count
            if count < BATCH:
                break
        return total

    async def _step(self, org: str, before: int, kept: SignedHead | None) -> int:
        """One batch: its records verify, and are older than a signed base."""
        end = await self._store.read(lambda tx: self._end(tx, org, before, kept))
        if end is None:
            return 0
        signed = self._heads.sign_base(org, *end)
        row = AuditLogBase(org, signed.size, signed.hash, signed.at, signed.signature)

        def change(tx: Tx) -> int:
            since = held.held_since(tx, org)
            last = audit_records.list_events(tx, org, after=row.size - 1, limit=1)
            if not last or last[0].at >= _deletable_until(since, before):
                return 0  # a hold came meanwhile, or another process was here
            return audit_records.truncate_to_base(tx, row)

        return await self._store.write(change)

    def _end(
        self, tx: Tx, org: str, before: int, kept: SignedHead | None
    ) -> tuple[int, bytes] | None:
        """Number and hash of the last record that may be deleted; None for none."""
        if kept is None or not contains_head(tx, kept, self._heads.public):
            return None
        base = audit_records.get_base(tx, org)
        size, head = (0, GENESIS_HASH) if base is None else (base.size, base.hash)
        limit, found = _deletable_until(held.held_since(tx, org), before), None
        for event in audit_records.list_events(tx, org, after=size, limit=BATCH):
            if event.seq != size + 1 or not extends_chain(event, head):
                return None
            if event.at >= limit or event.seq >= kept.size:  # the newest that was signed stays
                break
            size, head = found = (event.seq, event.hash)
        return found


def _deletable_until(since: int | None, before: int) -> int:
    """The instant up to which the audit log may be deleted: a hold keeps all from its start on."""
    return before if since is None else min(since, before)


def effective_rules(tx: Tx, org: str, limits: RetentionLimits) -> dict[Kind, RetentionRule]:
    """The rule of every kind."""
    found = retention.get_rules(tx, org)
    return {kind: effective_rule(kind, found.get(kind), limits) for kind in Kind}


def _preview_rule(tx: Tx, org: str, kind: Kind, days: int, now: int) -> PurgeCount:
    if not days:
        return PurgeCount(kind=kind, days=0, before=0, rows=0, held=0)
    before = now - days * DAY
    if kind is Kind.TRAIL:
        free = audit_records.count_older(
            tx, org, _deletable_until(held.held_since(tx, org), before)
        )
        kept = audit_records.count_older(tx, org, before) - free
    else:
        free, kept = retention.count_aged(tx, kind, org, before)
    return PurgeCount(kind=kind, days=days, before=before, rows=free, held=kept)


def _mark_name(org: str) -> str:
    return f"retention/{org}"


def _last_sweep(tx: Tx, org: str) -> int:
    return int(shared_values.get_shared_value(tx, _mark_name(org)) or 0)


def _operation(org: str, gone: dict[str, int], days: dict[Kind, int], request: str) -> Operation:
    return Operation(
        name=SWEEP_OPERATION,
        request_id=request,
        credential=None,
        origin=Origin(),
        org=org,
        detail={"deleted": gone, "days": {k: days[Kind(k)] for k in gone}},
    )
