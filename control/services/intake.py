"""What an agent's messages do: each an effect inside the transaction that moves its cursor.

An effect returns the events that are true once it is committed. It never fails for what an agent
says (that would stop its stream): what makes no sense becomes an alert. Messages of many agents are
applied together: cursors, statuses and registrations are a few statements for all of them.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from operator import sub
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID

from msgspec.structs import replace

from actors import World
from control.crypto import sha256
from control.errors import ConflictError, UnavailableError, ValidationError
from control.model.claims import counted, passed
from control.model.conditions import REPORTED, SEALED, message_of
from control.model.links import Link
from control.model.policies import Outcome, Standing
from control.model.records import Alert, Severity
from control.services import keys, metrics, outbox, registry, usage
from control.services.alerts import changed
from control.services.events import Event, Topic
from control.services.policies import Policies, Report
from control.services.together import in_pieces
from control.services.witness import Fault, Head, Shown, StaleProofError, Witness, name_log, parse
from control.store import alerts, links, policies
from control.store.rows import Tx
from protocols.instant import SECOND
from protocols.link import messages as m
from protocols.link.vocabulary import (
    BUCKETS_US,
    WARNINGS,
    AlertCode,
    NotificationCode,
    PolicyPhase,
    PolicyReason,
)
from protocols.link.vocabulary import Severity as Word
from protocols.pki.names import AgentName

Events: TypeAlias = Sequence[Event]
Effect: TypeAlias = Callable[[Tx, Link], Events]

_MILLI: Final = 10**6
DAY: Final = 86_400 * SECOND
MOST_ALERTS: Final = 1_000
"""Of one agent and kind within a day, as many as secrets that it keeps in mind as expiring. Alerts
stay until a person has seen them. By kind, so that no flood of one hides another."""
NOT_ISSUED_ALERT: Final = "policy_not_issued"
ELSEWHERE: Final = "other organization"
"""What all that is known of an agent of another organization comes to: no agent has this name."""
OTHER_BUNDLE: Final = "other_bundle"
"""Why a bundle counts as failed that its agent calls applied, under the hash of another one."""
_NOTICES: Final = {
    "fork": NotificationCode.AUDIT_FORK,
    "rollback": NotificationCode.AUDIT_ROLLBACK,
    "key": NotificationCode.AUDIT_FORK,
}


class Mark(NamedTuple):
    """When a message came, and an id for what comes of it."""

    now: int
    id: str


class Told(NamedTuple):
    """What an agent says of a bundle, as an effect that many of its kind share a statement for."""

    status: m.PolicyStatus
    now: int


class Arrived(NamedTuple):
    """A durable message of an agent, or an id whose message never comes: `effect` is None.

    `fresh` is the stream that a link gets which is not on record.
    """

    name: AgentName
    fresh: bytes
    stream: bytes
    through: int
    effect: "Effect | Told | None"
    epoch: int = 0
    """Of the connection it came by (`outbox.require`)."""


class Registered(NamedTuple):
    """A registration. The agent has acknowledged all of ours up to `acknowledged`."""

    name: AgentName
    fresh: bytes
    message: m.Registration
    acknowledged: int
    now: int
    epoch: int = 0
    """Of the connection it came by (`outbox.require`)."""


class Intake:
    """Effects of agents' messages."""

    def __init__(self, policies_: Policies, witness: Witness, world: World) -> None:
        self._policies = policies_
        self._witness = witness
        self._world = world

    def effect(self, message: m.Message) -> Effect | Told:
        """What this durable message does.

        To be asked for outside of the transaction, which may run more than once: time and id are
        taken here.
        """
        mark = self._mark()
        match message:
            case m.Metrics():
                return lambda tx, link: _measured(tx, link, message, mark)
            case m.Usage():
                return lambda tx, link: _used(tx, link, message, mark)
            case m.Alert():
                return lambda tx, link: _alerted(tx, link, message, mark)
            case m.AuditCheckpoint():
                return lambda tx, link: self._witnessed(tx, link, message, mark)
            case m.PolicyStatus():
                return Told(message, mark.now)
            case m.CommandResult():
                return lambda tx, link: _commanded(tx, link, message, mark.now)
            case _:
                raise TypeError(f"{type(message).__name__} is not a durable message of an agent")

    def lost(self, first: int, last: int) -> Effect:
        """We had acknowledged these messages and do not have them: our database is an old copy."""
        mark = self._mark()
        told = f"messages {first} to {last} were acknowledged once and are lost: a restored backup?"

        def effect(tx: Tx, link: Link) -> Events:
            return _raise(tx, link, mark, "link_lost", told)

        return effect

    def registration(
        self, name: AgentName, message: m.Registration, acknowledged: int, epoch: int = 0
    ) -> Registered:
        """What an agent says when it connects, for `register`."""
        world = self._world
        return Registered(name, fresh_id(world), message, acknowledged, world.now(), epoch)

    def apply(self, tx: Tx, arrived: Sequence[Arrived]) -> list[Events]:
        """Effects and cursors of many messages; nothing of one that was applied already."""
        return in_pieces(
            tx,
            [each.name for each in arrived],
            lambda tx, org, places: self._apply(tx, org, [arrived[place] for place in places]),
        )

    def register(self, tx: Tx, registered: Sequence[Registered]) -> list[Events]:
        """Note what agents are, and make our record and their bundles agree."""
        return in_pieces(
            tx,
            [each.name for each in registered],
            lambda tx, org, places: self._register(
                tx, org, [registered[place] for place in places]
            ),
        )

    def _apply(self, tx: Tx, org: str, arrived: Sequence[Arrived]) -> list[Events]:
        known = outbox.ensure_all(tx, org, {each.name.vault: each.fresh for each in arrived})
        for each in arrived:
            outbox.require(known[each.name.vault], each.epoch)
        moved = {
            each.name.vault: replace(link, peer=each.stream, applied=each.through)
            for each in arrived
            if not is_applied(link := known[each.name.vault], each.stream, each.through)
        }
        links.move_cursors(tx, *moved.values())
        said = {
            each.name.vault: each.effect
            for each in arrived
            if isinstance(each.effect, Told) and each.name.vault in moved
        }
        events = self.statuses(tx, org, said)
        for each in arrived:
            vault, effect = each.name.vault, each.effect
            if vault in moved and effect is not None and not isinstance(effect, Told):
                events[vault] = effect(tx, moved[vault])
        return [events.get(each.name.vault, ()) for each in arrived]

    def statuses(self, tx: Tx, org: str, said: Mapping[str, Told]) -> dict[str, Events]:
        """What agents (vault → what it says) make of their bundles."""
        rows = policies.standings_among(tx, org, list(said)) if said else []
        told = [(row, report) for row in rows if (report := _report(row, said[row.vault]))]
        return self._reported(tx, told)

    def _register(self, tx: Tx, org: str, registered: Sequence[Registered]) -> list[Events]:
        vaults = [each.name.vault for each in registered]
        known = outbox.ensure_all(tx, org, {each.name.vault: each.fresh for each in registered})
        for each in registered:
            outbox.require(known[each.name.vault], each.epoch)
        facts = {each.name.vault: _facts(each.message, each.now) for each in registered}
        registry.registered(tx, org, facts, now=registered[0].now)
        rows = {row.vault: row for row in policies.standings_among(tx, org, vaults)}
        return [
            self._reconcile(
                tx,
                replace(known[each.name.vault], acknowledged=each.acknowledged),
                rows.get(each.name.vault),
                each,
            )
            for each in registered
        ]

    def _mark(self) -> Mark:
        return Mark(self._world.now(), self._world.new_id())

    def _reconcile(self, tx: Tx, link: Link, row: Standing | None, said: Registered) -> Events:
        """Make our record and the agent's bundle agree, whatever either side has lost."""
        told, now = said.message, said.now
        if row is None or (not told.policy_version and row.outcome is Outcome.FAILED):
            return ()
        known = told.policy_hash == row.digest  # not secret: public hashes
        if told.policy_version > row.version or (told.policy_version == row.version and not known):
            ahead = Report(told.policy_version + (not known), applied=True, reason="", now=now)
            return self._reported(tx, [(row, ahead)])[row.vault]
        if told.policy_version == row.version:
            if row.outcome is Outcome.APPLIED and row.applied == row.version:
                return ()
            report = Report(row.version, applied=True, reason="", now=now)
            return self._reported(tx, [(row, report)])[row.vault]
        events: list[Event] = []
        if told.policy_version and row.outcome in {Outcome.APPLIED, Outcome.UNKNOWN}:
            # It went back: a sealed agent, which has not read its bundle yet, says 0.
            wanted = replace(
                row, outcome=Outcome.WANTED, applied=told.policy_version, reason="", changed_at=now
            )
            policies.put_reports(tx, [wanted])
            events += _told(wanted)
        had = link.bundle == row.version and link.bundle_id <= link.acknowledged
        if had and row.outcome is not Outcome.FAILED:
            again = outbox.offer_again(tx, link)
            events.append(Event(Topic.OUTBOX, link.org, link.vault, again.newest))
        return events

    def _reported(self, tx: Tx, told: Sequence[tuple[Standing, Report]]) -> dict[str, Events]:
        """What these agents say of their bundles, put on record; the events of each.

        An alert, one a day, for each that says it enforces what was never issued to it.
        """
        events: dict[str, Events] = {}
        after = self._policies.reports(tx, told)
        for new, (old, report) in zip(after, told, strict=True):
            events[new.vault] = _told(new)
            if new is not old and new.outcome is Outcome.UNKNOWN:
                events[new.vault] = (*events[new.vault], *_not_issued(tx, new, report.now))
        return events

    def _witnessed(self, tx: Tx, link: Link, told: m.AuditCheckpoint, mark: Mark) -> Events:
        org, vault = link.org, link.vault
        shown = Shown(told.note, told.signer, told.old_size, told.proof)
        try:
            _agree(parse(told.note), told)
            seen = self._witness.cosign(tx, org, vault, shown, now=mark.now)
        except ValidationError as error:
            return _raise(tx, link, mark, "checkpoint_invalid", error.message)
        except StaleProofError as error:
            name_log(tx, org, vault, shown, now=mark.now)
            return _offered(outbox.offer_cosignature(tx, link, error.size))
        except ConflictError:
            return ()  # its fault is on record already
        if isinstance(seen, Fault):
            return self._contradicted(tx, link, seen, mark)
        return _offered(outbox.offer_cosignature(tx, link, seen.size))

    def _contradicted(self, tx: Tx, link: Link, fault: Fault, mark: Mark) -> Events:
        """The agent's audit log went back or split: a person must look, at both ends.

        And at the enrolment for which its log was cosigned, where that is another one. An
        organization is told of another's only that it exists. Each other enrolment is a condition
        of its own (`subject`), so that none takes the place of the one before.
        """
        events: list[Event] = []
        apart = fault.org != link.org
        other = fault.vault if fault.vault != link.vault else ""
        numbers = f"{fault.cosigned} records were cosigned, {fault.shown} are shown"
        told = f"the audit log of {link.vault} contradicts what was cosigned ({fault.kind}): "
        if apart:
            told += "for an agent that is not of this organization and has the same log and key"
        elif other:
            told += f"{numbers}; they were cosigned for agent {fault.vault}"
        else:
            told += numbers
        if (fault.org, fault.vault) != (link.org, link.vault):
            shower = "an agent that is not of this organization" if apart else f"agent {link.vault}"
            also, of = AgentName(fault.org, fault.vault), ELSEWHERE if apart else link.vault
            warned = (
                f"{shower} shows another history of the audit log of {fault.vault}, signed by its "
                f"key ({fault.kind}): a copy of the machine, a restored backup, or a stolen key"
            )
            again = Mark(mark.now, _another(mark.id))
            events += _raise(tx, also, again, f"audit_{fault.kind}", warned, subject=of)
        notice = m.Notification(
            notification_id=bytes.fromhex(mark.id.replace("-", "")),
            code=_NOTICES[fault.kind],
            severity=Word.CRITICAL,
            at=mark.now // _MILLI,
        )
        subject = ELSEWHERE if apart else other
        events += _raise(tx, link, mark, f"audit_{fault.kind}", told, subject=subject)
        with suppress(UnavailableError):  # too much waits for it already; people have the alert
            events += _offered(outbox.append(tx, link, notice))
        return events


def is_applied(link: Link, stream: bytes, through: int) -> bool:
    """Whether what the agent sent up to there has had its effect."""
    return link.peer == stream and through <= link.applied  # not secret: random ids


def fresh_id(world: World) -> bytes:
    """16 bytes that were never used before; 122 of their bits are random."""
    return bytes.fromhex(world.new_id().replace("-", ""))


def _not_issued(tx: Tx, row: Standing, now: int) -> Events:
    name = AgentName(row.org, row.vault)
    if alerts.count(tx, *name, NOT_ISSUED_ALERT, now - DAY):
        return ()
    mark = Mark(now, _another(f"{row.org}/{row.vault}/{now}"))
    told = (
        f"agent {row.vault} says that it enforces a bundle that was never issued to it; no bundle "
        "of this control plane can replace it: run 'freehold agent link reset-policies' there"
    )
    return _raise(tx, name, mark, NOT_ISSUED_ALERT, told)


def _another(identifier: str) -> str:
    """An id for what comes of the same message beside the first: always the same one."""
    return str(UUID(bytes=sha256(identifier.encode())[:16]))


def _report(row: Standing, said: Told) -> Report | None:
    """What the status says of where the agent stands; None if that is nothing new."""
    told = said.status
    if told.phase is PolicyPhase.RECEIVED:
        return None
    again = told.phase is PolicyPhase.REFUSED and told.reason is PolicyReason.OLDER
    if again and row.applied >= told.version:
        return None  # it was sent once more to an agent that has it
    applied = told.phase is PolicyPhase.APPLIED
    other = told.version == row.version and told.bundle_hash != row.digest  # not secret: public
    if applied and other:
        return Report(told.version, applied=False, reason=OTHER_BUNDLE, now=said.now)
    return Report(told.version, applied=applied, reason=str(told.reason), now=said.now)


def _facts(told: m.Registration, now: int) -> dict[str, str | int]:
    return {
        "release": told.release,
        "platform": str(told.platform),
        "backend": str(told.backend),
        "key_holder": str(told.key_holder),
        "started_at": passed(told.started_at, now // _MILLI),
    }


def _agree(head: Head, told: m.AuditCheckpoint) -> None:
    if (head.size, head.root) != (told.size, told.root):
        raise ValidationError("checkpoint_invalid", "message and signed checkpoint disagree")


def _measured(tx: Tx, link: Link, told: m.Metrics, mark: Mark) -> Events:
    said = figures(told, link.histograms)
    now = mark.now // SECOND
    at = metrics.moment(told.until // 1000, link.measured, now)
    if at is not None:
        metrics.ingest(tx, link.org, link.vault, at, said, now=now)
        totals = {str(each.name): tuple(each.counts) for each in told.histograms}
        links.put_measured(tx, replace(link, measured=at, histograms=totals))
    keys.ingest(tx, link.org, link.vault, told.until * _MILLI, said, now=mark.now)
    return ()


def _used(tx: Tx, link: Link, told: m.Usage, mark: Mark) -> Events:
    usage.ingest(tx, link.org, link.vault, told, now=mark.now // SECOND)
    return ()


def figures(told: m.Metrics, before: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Series and their values. A histogram is its count, its sum and the bucket of its p99.

    An agent tells totals since its start. `before` has those of its previous report, by histogram:
    the p99 is of what was counted since, and left out where that is nothing, or not known.
    """
    found: dict[str, float] = {str(c.name): c.value for c in told.counters}
    found |= {str(gauge.name): gauge.value for gauge in told.gauges}
    for histogram in told.histograms:
        found[f"{histogram.name}_count"] = sum(histogram.counts)
        found[f"{histogram.name}_sum_us"] = histogram.sum_us
        counts = _since(before.get(str(histogram.name)), histogram.counts)
        if any(counts):
            found[f"{histogram.name}_p99_us"] = _percentile(counts, 99)
    return found


def _since(before: Sequence[int] | None, counts: Sequence[int]) -> Sequence[int]:
    """What was counted between two reports; empty if that is not known."""
    if before is None or len(before) != len(counts):
        return ()
    new = tuple(map(sub, counts, before))
    return counts if min(new) < 0 else new  # the agent was started anew: all of it is new


def _percentile(counts: Sequence[int], percent: int) -> int:
    """The upper bound of the bucket that holds it; of the last bound for what is above all."""
    wanted, seen = sum(counts) * percent, 0
    for bound, count in zip(BUCKETS_US, counts, strict=False):
        seen += count
        if seen * 100 >= wanted:
            return bound
    return BUCKETS_US[-1]


def _alerted(tx: Tx, link: Link, told: m.Alert, mark: Mark) -> Events:
    """The agent's word for when it began counts, as far as that is over."""
    at = max(passed(told.raised_at * _MILLI, mark.now), mark.now - keys.AWAY)
    if told.code is AlertCode.UNSEALED:
        over = alerts.resolve(tx, link.org, [SEALED], [link.vault], now=mark.now, before=at)
        return tuple(map(changed, over))
    subject = told.subject.hex() if any(told.subject) else ""
    severity = Severity(str(told.severity))
    if told.code in REPORTED:  # as of an older agent that calls it something else
        severity = Severity.WARNING if told.code in WARNINGS else Severity.CRITICAL
    return _raise(
        tx,
        link,
        mark,
        str(told.code),
        message_of(told.code, link.vault, subject),
        severity=severity,
        subject=subject,
        at=at,
        count=told.count,
    )


def _commanded(tx: Tx, link: Link, told: m.CommandResult, now: int) -> Events:
    row = links.command(tx, link.org, told.command_id.hex())
    if row is not None and row.vault == link.vault and not row.outcome:
        done_at = passed(told.at * _MILLI, now)
        done = replace(row, outcome=str(told.outcome), done_at=done_at)
        links.put_command(tx, done)
    return ()


def _raise(
    tx: Tx,
    agent: Link | AgentName,
    mark: Mark,
    code: str,
    told: str,
    *,
    severity: Severity = Severity.CRITICAL,
    subject: str = "",
    at: int = 0,
    count: int = 1,
) -> Events:
    org, vault = agent.org, agent.vault
    raised = alerts.count(tx, org, vault, code, mark.now - DAY)
    if raised >= MOST_ALERTS:
        return ()
    if raised == MOST_ALERTS - 1:
        told += " (the last of these that is put on record within a day)"
    alert = Alert(
        id=mark.id,
        org=org,
        vault=vault,
        code=code,
        severity=severity,
        message=told,
        at=at or mark.now,
        acknowledged_by="",
        acknowledged_at=0,
        subject=subject,
        count=counted(count),
        last_at=mark.now,
    )
    return tuple(map(changed, alerts.fire(tx, alert)))


def _offered(link: Link) -> Events:
    return (Event(Topic.OUTBOX, link.org, link.vault, link.newest),)


def _told(row: Standing) -> Events:
    return (Event(Topic.POLICY, row.org, row.vault, row.version),)
