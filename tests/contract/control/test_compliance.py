"""Reports, rules and legal holds on every database: no deletion takes what is held."""

from typing import Any, Final

import sqlalchemy as sa
from msgspec.structs import replace

from control.compliance.reports import new_report
from control.compliance.schedules import validated_next_run
from control.model.compliance import ControlNote, ReportSchedule, State
from control.model.history import Aspect, StateChange
from control.model.retention import Kind, LegalHold
from control.services.deliveries import State as Sent
from control.store import alerts as alert_rows
from control.store import (
    audit_records,
    channels,
    compliance,
    invitations,
    legal_holds,
    links,
    retention,
    samples,
    usage,
)
from control.store import history as turns
from control.store.ca_store import SqlCaTransaction
from control.store.rows import Tx
from control.store.store import Store
from control.store.tables import (
    alerts,
    audit,
    ca_certificates,
    ca_joins,
    ca_tokens,
    commands,
    control_notes,
    deliveries,
    history,
    reports,
    series,
    usage_counts,
    usage_parts,
    usage_secrets,
)
from control.store.tables import holds as legal
from control.store.tables import invitations as invited
from control.store.tables import samples as sampled
from protocols.instant import SECOND

OLD: Final = 1_700_000_000 * SECOND
NOW: Final = 1_800_000_000 * SECOND
ORGS: Final = ("acme", "other")
FILLED: Final[dict[type, object]] = {int: 0, str: "", bytes: b"", bool: False, float: 0.0}


def row(table: sa.Table, **fields: Any) -> dict[str, Any]:
    """All columns; those that are not said have nothing in them."""
    given = {}
    for column in table.columns:
        plain = FILLED.get(column.type.python_type, None)
        given[column.name] = [] if column.type.python_type not in FILLED else plain
    return given | fields


def filled(tx: Tx) -> None:
    """One old row of `vault` v1 in every table that something is deleted from, in both."""
    for number, org in enumerate(ORGS):
        mark = {"org": org, "id": "x"}
        seconds = OLD // SECOND
        tx.execute(series.insert(), [row(series, id=number + 1, org=org, vault="v1", name="s")])
        for resolution in (0, 60, 3600):
            tx.execute(
                sampled.insert(),
                [row(sampled, series=number + 1, resolution=resolution, at=seconds)],
            )
        tx.execute(alerts.insert(), [row(alerts, **mark, vault="v1", at=OLD, ended_at=OLD)])
        tx.execute(
            commands.insert(),
            [row(commands, **mark, vault="v1", created_at=OLD, expires_at=OLD)],
        )
        unique = {"digest": org.encode()}
        tx.execute(
            invited.insert(), [row(invited, **mark, **unique, created_at=OLD, expires_at=OLD)]
        )
        name = {"org": org, "vault": "v1", "hash": org.encode(), "id": org}
        tx.execute(ca_tokens.insert(), [row(ca_tokens, **name, created_at=OLD, expires_at=OLD)])
        join = {"org": org, "id": org, "key": org.encode()}
        tx.execute(ca_joins.insert(), [row(ca_joins, **join, requested_at=OLD, expires_at=OLD)])
        for generation, end in ((1, OLD), (2, NOW + 1)):
            serial = {"serial": f"{org}{generation}", "key": f"{org}{generation}".encode()}
            tx.execute(
                ca_certificates.insert(),
                [
                    row(
                        ca_certificates, **serial, org=org, vault="v1", generation=generation,
                        not_before=OLD, not_after=end, revoked_at=None,
                    )
                ],
            )  # fmt: skip
        mine = {"org": org, "vault": "v1"}
        tx.execute(usage_parts.insert(), [row(usage_parts, **mine, since=seconds, rolled=True)])
        day = {"resolution": 86_400, "kind": "operation", "subject": "read"}
        tx.execute(usage_counts.insert(), [row(usage_counts, **mine, **day, at=seconds)])
        tx.execute(usage_secrets.insert(), [row(usage_secrets, **mine, seen_at=seconds)])
        sent = {"state": "sent", "created_at": OLD, "finished_at": OLD, "channel": "c"}
        tx.execute(deliveries.insert(), [row(deliveries, **mark, **sent)])
        tx.execute(reports.insert(), [row(reports, **mark, state="ready", created_at=OLD)])
        tx.execute(control_notes.insert(), [row(control_notes, **mark, created_at=OLD)])
        for at in (OLD, OLD + SECOND):
            turn = {"aspect": "presence", "subject": "v1", "detail": {}}
            tx.execute(history.insert(), [row(history, org=org, at=at, **turn)])
        tx.execute(
            legal.insert(),
            [row(legal, **mark, vault="v1", created_at=OLD, lifted_at=OLD + SECOND)],
        )


def swept(tx: Tx) -> None:
    """Everything that deletes by age, as of long after."""
    for resolution in (0, 60, 3600):
        samples.delete_older_samples(tx, resolution, NOW // SECOND)
    alert_rows.delete_older_alerts(tx, NOW)
    links.delete_older_commands(tx, NOW)
    invitations.delete_expired_invitations(tx, NOW)
    SqlCaTransaction(tx).delete_expired(NOW)
    usage.delete_older_usage(tx, parts_before=NOW // SECOND, days_before=NOW // SECOND)
    channels.delete_older_deliveries(tx, Sent.SENT, NOW)
    turns.delete_older_changes(tx, NOW, 100)
    ruled(tx)


def ruled(tx: Tx) -> None:
    """Every rule of both organizations."""
    for org in ORGS:
        for kind in retention.AGED_TABLES:
            retention.delete_aged(tx, kind, org, NOW, 100)
        retention.delete_oldest_report(tx, org)
        channels.delete_channel(tx, org, "c")
        channels.delete_delivery(tx, org, "x")


TABLES: Final = (
    alerts, commands, invited, ca_tokens, ca_joins, usage_parts, usage_counts, usage_secrets,
    deliveries, reports, control_notes,
)  # fmt: skip


def left(tx: Tx) -> dict[str, list[str]]:
    """Table → the organizations that still have old rows there."""
    found = {
        table.name: list(tx.execute(sa.select(table.c.org).order_by(table.c.org)).scalars())
        for table in TABLES
    }
    s, t = series.c, sampled.c
    chosen = sa.select(s.org).select_from(series.join(sampled, t.series == s.id)).distinct()
    found["samples"] = sorted(tx.execute(chosen).scalars())
    c = ca_certificates.c
    old = sa.select(c.org).where(c.generation == 1).order_by(c.org)
    found["ca_certificates"] = list(tx.execute(old).scalars())
    h, lifted = history.c, legal.c
    first = sa.select(h.org).where(h.at == OLD).order_by(h.org)
    found["history"] = list(tx.execute(first).scalars())
    before = sa.select(lifted.org).where(lifted.id == "x").order_by(lifted.org)
    found["holds"] = list(tx.execute(before).scalars())
    return found


def hold(**fields: Any) -> LegalHold:
    """On `acme`."""
    made = LegalHold(
        org="acme", id="h", vault="", since=0, until=0, reason="case", created_by="a/b",
        created_at=NOW,
    )  # fmt: skip
    return replace(made, **fields)


HOLDS: Final = (
    (hold(), True),
    (hold(vault="v1"), True),
    (hold(since=OLD, until=OLD + 1), True),
    (hold(since=OLD + SECOND), False),
    (hold(until=OLD), False),
    (hold(lifted_at=1), False),
)
NO_RULE: Final = {
    *("commands", "invitations", "ca_tokens", "ca_joins", "ca_certificates", "usage_parts")
}


async def test_no_deletion_takes_what_is_held(store: Store) -> None:
    """By any sweep and any rule; what is another organization's goes as ever."""

    def change(tx: Tx) -> None:
        filled(tx)
        assert all(orgs == list(ORGS) for orgs in left(tx).values())
        for held, kept in HOLDS:
            for sweep in (swept, ruled):
                with tx.begin_nested() as point:
                    legal_holds.add_hold(tx, held)
                    sweep(tx)
                    after = left(tx)
                    point.rollback()
                for table, orgs in after.items():
                    if sweep is swept or table not in NO_RULE:
                        assert orgs == (["acme"] if kept else []), (table, held)

    await store.write(change)


async def test_a_hold_on_another_agent_holds_only_what_has_none(store: Store) -> None:
    """What is of agent v1 goes; what names no agent may be about the held one."""

    def change(tx: Tx) -> dict[str, list[str]]:
        filled(tx)
        legal_holds.add_hold(tx, hold(vault="v2"))
        swept(tx)
        return left(tx)

    after = await store.write(change)
    of_nobody = {"invitations", "ca_joins", "deliveries", "reports", "control_notes"}
    assert {table for table, orgs in after.items() if orgs} == of_nobody


async def test_what_names_no_agent_is_held_with_any(store: Store) -> None:
    """An alert of the organization itself may be about the agent that is held."""

    def change(tx: Tx) -> None:
        for name, vault in (("ours", ""), ("other", "v1")):
            told = {"org": "acme", "id": name, "vault": vault, "at": OLD, "ended_at": OLD}
            tx.execute(alerts.insert(), [row(alerts, **told)])
        legal_holds.add_hold(tx, hold(vault="v2"))
        assert retention.delete_aged(tx, Kind.ALERTS, "acme", NOW, 9) == 1
        assert tx.execute(sa.select(alerts.c.id)).scalars().all() == ["ours"]

    await store.write(change)


async def test_an_alert_that_still_fires_stays(store: Store) -> None:
    """However old: a rule takes what is over."""

    def change(tx: Tx) -> None:
        for name, ended in (("over", OLD), ("firing", 0)):
            told = {"org": "acme", "id": name, "at": OLD, "acknowledged_at": OLD, "ended_at": ended}
            tx.execute(alerts.insert(), [row(alerts, **told)])
        assert retention.count_aged(tx, Kind.ALERTS, "acme", NOW) == (1, 0)
        assert retention.delete_aged(tx, Kind.ALERTS, "acme", NOW, 9) == 1
        assert tx.execute(sa.select(alerts.c.id)).scalars().all() == ["firing"]

    await store.write(change)


async def test_a_rule_counts_before_it_deletes(store: Store) -> None:
    """What would go and what is held, for each kind; and not more than asked for at once."""

    def change(tx: Tx) -> None:
        filled(tx)
        assert retention.count_aged(tx, Kind.METRICS, "acme", NOW) == (3, 0)
        assert retention.count_aged(tx, Kind.USAGE, "acme", NOW) == (2, 0)
        legal_holds.add_hold(tx, hold())
        assert retention.count_aged(tx, Kind.METRICS, "acme", NOW) == (0, 3)
        assert retention.delete_aged(tx, Kind.METRICS, "other", NOW, 2) == 2
        assert retention.count_aged(tx, Kind.METRICS, "other", NOW) == (1, 0)
        assert retention.count_aged(tx, Kind.METRICS, "other", OLD) == (0, 0)
        assert legal_holds.held_since(tx, "acme") == 0
        assert legal_holds.held_since(tx, "other") is None
        retention.put_rule(tx, "acme", Kind.ALERTS, 40)
        retention.put_rule(tx, "acme", Kind.ALERTS, 50)
        assert retention.get_rules(tx, "acme") == {Kind.ALERTS: 50}
        retention.put_rule(tx, "acme", Kind.ALERTS, 0)
        assert retention.get_rules(tx, "acme") == {}

    await store.write(change)


async def test_reports_schedules_and_notes_come_back_as_they_went(store: Store) -> None:
    """Every field, and in order."""
    report = new_report("acme", "r1", "T", ["soc2"], period=(1, 2), by="a/b", now=OLD)
    schedule = ReportSchedule(
        owner="acme/ann",
        org="acme", id="s1", title="T", frameworks=("soc2",), cron="0 6 * * *", zone="UTC",
        days=7, enabled=True, created_by="a/b", created_at=OLD,
        next_at=validated_next_run("0 6 * * *", "UTC", OLD), last_at=0,
    )  # fmt: skip
    note = ControlNote(
        org="acme", id="n1", framework="soc2", control="CC1.4", text="t", name="d", digest="00",
        content=b"\0x", created_by="a/b", created_at=OLD,
    )  # fmt: skip

    def change(tx: Tx) -> None:
        compliance.add_report(tx, report)
        assert compliance.waiting_reports(tx, 9) == [report]
        made = replace(report, state=State.READY, counts={"soc2": {"met": 1}}, digest="d", size=3)
        compliance.put_report(tx, made, b"abc")
        compliance.put_report(tx, made)
        assert compliance.list_reports(tx, "acme", before=0, limit=9) == [made]
        assert compliance.list_reports(tx, "acme", before=OLD, limit=9) == []
        assert (
            compliance.get_report_body(tx, "acme", "r1"),
            compliance.waiting_reports(tx, 9),
        ) == (b"abc", [])
        assert compliance.count_reports(tx, "acme", State.READY) == 1
        compliance.put_schedule(tx, schedule)
        assert compliance.get_schedule(tx, "acme", "s1") == schedule
        assert compliance.due_schedules(tx, schedule.next_at, 9) == [schedule]
        assert compliance.due_schedules(tx, schedule.next_at - 1, 9) == []
        assert not compliance.delete_schedule(tx, "other", "s1")
        assert compliance.delete_schedule(tx, "acme", "s1")
        compliance.add_note(tx, note)
        assert compliance.get_note(tx, "acme", "n1") == note
        assert compliance.get_note(tx, "other", "n1") is None
        [(control, [shown])] = compliance.notes_by_control(tx, "acme").items()
        assert (control, shown.text) == (("soc2", "CC1.4"), "t")
        assert compliance.notes_by_control(tx, "acme", OLD + 1) == {}
        growth = audit_records.ConsistencyProof("acme", "v1", 5, 3, b"r", b"a" * 64)
        audit_records.put_consistency_proof(tx, growth)
        assert audit_records.list_consistency_proofs(tx, "acme") == {"v1": growth}
        assert growth.nodes == [b"a" * 32, b"a" * 32]

    await store.write(change)


async def test_a_trail_begins_behind_its_base(store: Store) -> None:
    """What is up to it goes, of this organization alone."""

    def change(tx: Tx) -> None:
        for org in ORGS:
            tx.execute(
                audit.insert(), [row(audit, org=org, seq=n, at=n, detail={}) for n in (1, 2, 3)]
            )
        assert audit_records.count_older(tx, "acme", 9) == 2  # the newest stays
        assert audit_records.count_older(tx, "acme", 2) == 1
        base = audit_records.AuditLogBase("acme", 2, b"h", NOW, b"s")
        assert audit_records.truncate_to_base(tx, base) == 2
        assert audit_records.get_base(tx, "acme") == base
        assert [e.seq for e in audit_records.list_events(tx, "acme", after=0, limit=9)] == [3]
        assert len(audit_records.list_events(tx, "other", after=0, limit=9)) == 3

    await store.write(change)


async def test_turns_are_noted_once_and_found_by_period(store: Store) -> None:
    """What says the same is none; what held at the beginning comes with what turned within."""

    def turn(subject: str, at: int, value: str, org: str = "acme") -> StateChange:
        return StateChange(
            org=org, aspect=Aspect.LIFE, subject=subject, at=at, value=value, detail={}
        )

    def change(tx: Tx) -> None:
        for at, value in ((10, "a"), (11, "a"), (20, "b"), (15, "c"), (40, "d")):
            turns.record_changes(tx, [turn("v", at, value), turn("w", at, "same")])
        turns.record_changes(tx, [turn("v", 10, "x", org="other")])
        found = turns.changes_between(tx, "acme", Aspect.LIFE, 20, 40)
        assert [(t.at, t.value, t.before) for t in found["v"]] == [(20, "b", 10), (21, "c", 20)]
        assert [(t.at, t.value) for t in found["w"]] == [(10, "same")]
        assert turns.changes_between(tx, "acme", Aspect.ROLE, 0, 99) == {}
        many = [turn(f"n{number:04}", 5, "z") for number in range(1203)]
        turns.record_changes(tx, many)
        turns.record_changes(tx, many)
        assert len(turns.changes_between(tx, "acme", Aspect.LIFE, 0, 99)) == 1205
        assert (
            turns.unrecorded_changes(tx, [turn("v", 1, "q"), turn("y", 1, "q")])[0].subject == "y"
        )

    await store.write(change)


async def test_a_hold_on_a_time_keeps_what_held_in_it(store: Store) -> None:
    """A turn long before the hold's beginning that was still so then; not one that was over."""

    def change(tx: Tx) -> None:
        values = ((OLD, "a"), (OLD + 2 * SECOND, "b"), (OLD + 9 * SECOND, "c"))
        for at, value in values:
            held = StateChange(
                org="acme", aspect=Aspect.PRESENCE, subject="v1", at=at, value=value, detail={}
            )
            turns.record_changes(tx, [held])
        span = {"since": OLD + 3 * SECOND, "until": OLD + 4 * SECOND}
        legal_holds.add_hold(tx, hold(vault="v1", **span))
        assert retention.count_aged(tx, Kind.HISTORY, "acme", NOW) == (1, 1)
        assert retention.delete_aged(tx, Kind.HISTORY, "acme", NOW, 9) == 1
        left_ = turns.changes_between(tx, "acme", Aspect.PRESENCE, 0, NOW)["v1"]
        assert [t.value for t in left_] == ["b", "c"]

    await store.write(change)


async def test_the_oldest_lifted_hold_makes_room(store: Store) -> None:
    """Neither one in force nor one that another covers."""

    def change(tx: Tx) -> None:
        legal_holds.add_hold(tx, hold(id="a", vault="v2", created_at=OLD, lifted_at=OLD + 5))
        legal_holds.add_hold(tx, hold(id="b", vault="v1", created_at=OLD + 1, lifted_at=OLD + 5))
        legal_holds.add_hold(tx, hold(id="c", vault="v2", created_at=OLD + 2))
        assert retention.delete_oldest_lifted(tx, "acme")
        assert [row.id for row in legal_holds.list_holds(tx, "acme")] == ["c", "a"]
        assert not retention.delete_oldest_lifted(tx, "acme")

    await store.write(change)
