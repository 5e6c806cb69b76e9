"""What an agent's messages do: each an effect inside the transaction that moves its cursor.

An effect returns the events that are true once it is committed. It never fails for what an agent
says (that would stop its stream): what makes no sense becomes an alert.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from msgspec.structs import replace

from actors import World
from control.errors import ConflictError, UnavailableError, ValidationError
from control.model.links import Link
from control.model.policies import Assignment, Outcome
from control.model.records import Alert, Severity
from control.services import metrics, outbox
from control.services.events import Event, Topic
from control.services.policies import Policies, Report
from control.services.registry import registered
from control.services.witness import Fault, Head, Shown, Witness, parse
from control.store import links, policies, records
from control.store.rows import Tx
from protocols.instant import SECOND
from protocols.link import messages as m
from protocols.link.vocabulary import (
    BUCKETS_US,
    NotificationCode,
    PolicyPhase,
    PolicyReason,
)
from protocols.link.vocabulary import Severity as Word

Events: TypeAlias = Sequence[Event]
Effect: TypeAlias = Callable[[Tx, Link], Events]

_MILLI: Final = 10**6
_NOTICES: Final = {
    "fork": NotificationCode.AUDIT_FORK,
    "rollback": NotificationCode.AUDIT_ROLLBACK,
}


class Mark(NamedTuple):
    """When a message came, and an id for what comes of it."""

    now: int
    id: str


class Intake:
    """Effects of an agent's messages."""

    def __init__(self, policies_: Policies, witness: Witness, world: World) -> None:
        self._policies = policies_
        self._witness = witness
        self._world = world

    def effect(self, message: m.Message) -> Effect:
        """What this durable message does.

        To be asked for outside of the transaction, which may run more than once: time and id are
        taken here.
        """
        mark = self._mark()
        match message:
            case m.Metrics():
                return lambda tx, link: _measured(tx, link, message, mark)
            case m.Alert():
                return lambda tx, link: _alerted(tx, link, message, mark)
            case m.AuditCheckpoint():
                return lambda tx, link: self._witnessed(tx, link, message, mark)
            case m.PolicyStatus():
                return lambda tx, link: self._status(tx, link, message, mark.now)
            case m.CommandResult():
                return lambda tx, link: _commanded(tx, link, message)
            case _:
                raise TypeError(f"{type(message).__name__} is not a durable message of an agent")

    def lost(self, first: int, last: int) -> Effect:
        """We had acknowledged these messages and do not have them: our database is an old copy."""
        mark = self._mark()
        told = f"messages {first} to {last} were acknowledged once and are lost: a restored backup?"

        def effect(tx: Tx, link: Link) -> Events:
            return _raise(tx, link, mark, "link_lost", told)

        return effect

    def registration(self, message: m.Registration, acknowledged: int) -> Effect:
        """What an agent says when it connects: its facts, and the bundle that it enforces."""
        now = self._world.now()

        def effect(tx: Tx, link: Link) -> Events:
            registered(tx, link.org, link.vault, _facts(message), now=now)
            return self._reconcile(tx, replace(link, acknowledged=acknowledged), message, now)

        return effect

    def _mark(self) -> Mark:
        return Mark(self._world.now(), self._world.new_id())

    def _reconcile(self, tx: Tx, link: Link, told: m.Registration, now: int) -> Events:
        """Make our record and the agent's bundle agree, whatever either side has lost."""
        row = policies.assignment(tx, link.org, link.vault)
        if row is None or (not told.policy_version and row.outcome is Outcome.FAILED):
            return ()
        known = told.policy_hash == row.digest  # not secret: public hashes
        if told.policy_version > row.version or (told.policy_version == row.version and not known):
            ahead = Report(told.policy_version + (not known), applied=True, reason="", now=now)
            return _told(self._policies.report(tx, link.org, link.vault, ahead))
        if told.policy_version == row.version:
            if row.outcome is Outcome.APPLIED and row.applied == row.version:
                return ()
            report = Report(row.version, applied=True, reason="", now=now)
            return _told(self._policies.report(tx, link.org, link.vault, report))
        had = link.bundle == row.version and link.bundle_id <= link.acknowledged
        if had and row.outcome is not Outcome.FAILED:
            again = outbox.offer_again(tx, link)
            return (Event(Topic.OUTBOX, link.org, link.vault, again.newest),)
        return ()

    def _status(self, tx: Tx, link: Link, told: m.PolicyStatus, now: int) -> Events:
        if told.phase is PolicyPhase.RECEIVED:
            return ()
        row = policies.assignment(tx, link.org, link.vault)
        again = told.phase is PolicyPhase.REFUSED and told.reason is PolicyReason.OLDER
        if row is not None and again and row.applied >= told.version:
            return ()  # it was sent once more to an agent that has it
        applied = told.phase is PolicyPhase.APPLIED
        report = Report(told.version, applied=applied, reason=str(told.reason), now=now)
        return _told(self._policies.report(tx, link.org, link.vault, report))

    def _witnessed(self, tx: Tx, link: Link, told: m.AuditCheckpoint, mark: Mark) -> Events:
        org, vault = link.org, link.vault
        shown = Shown(told.note, told.old_size, told.proof)
        try:
            _agree(parse(told.note), told)
            seen = self._witness.cosign(tx, org, vault, shown, now=mark.now)
        except ValidationError as error:
            return _raise(tx, link, mark, "checkpoint_invalid", error.message)
        except ConflictError as error:
            last = records.checkpoint(tx, org, vault)
            if error.code != "proof_stale" or last is None:
                return ()  # its fault is on record already
            return _offered(outbox.offer_cosignature(tx, link, last.size))
        if isinstance(seen, Fault):
            return self._contradicted(tx, link, seen, mark)
        return _offered(outbox.offer_cosignature(tx, link, seen.size))

    def _contradicted(self, tx: Tx, link: Link, fault: Fault, mark: Mark) -> Events:
        """The agent's audit log went back or split: a person must look, at both ends."""
        told = (
            f"the audit log of {link.vault} contradicts what was cosigned ({fault.kind}): "
            f"{fault.cosigned} records were cosigned, {fault.shown} are shown"
        )
        notice = m.Notification(
            notification_id=bytes.fromhex(mark.id.replace("-", "")),
            code=_NOTICES[fault.kind],
            severity=Word.CRITICAL,
            at=mark.now // _MILLI,
        )
        events = _raise(tx, link, mark, f"audit_{fault.kind}", told)
        try:
            return (*events, *_offered(outbox.append(tx, link, notice)))
        except UnavailableError:
            return events  # too much waits for it already; people have the alert


def _facts(told: m.Registration) -> dict[str, str | int]:
    return {
        "release": told.release,
        "platform": str(told.platform),
        "backend": str(told.backend),
        "key_holder": str(told.key_holder),
        "started_at": told.started_at,
    }


def _agree(head: Head, told: m.AuditCheckpoint) -> None:
    if (head.size, head.root) != (told.size, told.root):
        raise ValidationError("checkpoint_invalid", "message and signed checkpoint disagree")


def _measured(tx: Tx, link: Link, told: m.Metrics, mark: Mark) -> Events:
    metrics.ingest(
        tx, link.org, link.vault, told.until // 1000, figures(told), now=mark.now // SECOND
    )
    return ()


def figures(told: m.Metrics) -> dict[str, float]:
    """Series and their values. A histogram is its count, its sum and the bucket of its p99."""
    found: dict[str, float] = {str(c.name): c.value for c in told.counters}
    found |= {str(gauge.name): gauge.value for gauge in told.gauges}
    for histogram in told.histograms:
        found[f"{histogram.name}_count"] = sum(histogram.counts)
        found[f"{histogram.name}_sum_us"] = histogram.sum_us
        found[f"{histogram.name}_p99_us"] = _percentile(histogram.counts, 99)
    return found


def _percentile(counts: Sequence[int], percent: int) -> int:
    """The upper bound of the bucket that holds it; of the last bound for what is above all."""
    wanted, seen = sum(counts) * percent, 0
    for bound, count in zip(BUCKETS_US, counts, strict=False):
        seen += count
        if seen * 100 >= wanted:
            return bound
    return BUCKETS_US[-1]


def _alerted(tx: Tx, link: Link, told: m.Alert, mark: Mark) -> Events:
    times = f" ({told.count} times)" if told.count > 1 else ""
    said = f"agent {link.vault} reports {told.code.replace('_', ' ')}{times}"
    severity = Severity(str(told.severity))
    return _raise(tx, link, mark, str(told.code), said, severity=severity)


def _commanded(tx: Tx, link: Link, told: m.CommandResult) -> Events:
    row = links.command(tx, link.org, told.command_id.hex())
    if row is not None and row.vault == link.vault and not row.outcome:
        done = replace(row, outcome=str(told.outcome), done_at=told.at * _MILLI)
        links.put_command(tx, done)
    return ()


def _raise(
    tx: Tx,
    link: Link,
    mark: Mark,
    code: str,
    told: str,
    *,
    severity: Severity = Severity.CRITICAL,
) -> Events:
    alert = Alert(mark.id, link.org, link.vault, code, severity, told, mark.now, "", 0)
    records.add_alerts(tx, alert)
    return (Event(Topic.ALERT, link.org, link.vault, mark.id),)


def _offered(link: Link) -> Events:
    return (Event(Topic.OUTBOX, link.org, link.vault, link.newest),)


def _told(row: Assignment | None) -> Events:
    if row is None:
        return ()
    return (Event(Topic.POLICY, row.org, row.vault, row.version),)
