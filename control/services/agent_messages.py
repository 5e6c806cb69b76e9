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
from control.model.conditions import BREAK_GLASS, REPORTED, SEALED, alert_message
from control.model.links import AgentLink
from control.model.policies import AssignmentState, Outcome
from control.model.records import Alert, Severity
from control.model.reported_values import clamp_count, clamp_to_now
from control.services import agent_metrics, key_rotation, outbox, usage
from control.services.alerts import alert_event
from control.services.event_bus import Event, Topic
from control.services.organization_batches import run_by_organization
from control.services.policies import BundleReport, Policies
from control.services.witness import (
    CheckpointHead,
    LogFault,
    PresentedCheckpoint,
    StaleProofError,
    Witness,
    name_log,
    parse_checkpoint,
)
from control.store import agents, alerts, links, policies
from control.store.rows import Tx
from protocols.instant import DAY, SECOND
from protocols.link import messages as m
from protocols.link.vocabulary import (
    BUCKETS_US,
    WARNINGS,
    AlertCode,
    NotificationCode,
    PolicyPhase,
    PolicyReason,
)
from protocols.link.vocabulary import Severity as NotificationSeverity
from protocols.pki.names import AgentName

Events: TypeAlias = Sequence[Event]
Effect: TypeAlias = Callable[[Tx, AgentLink], Events]

_MILLI: Final = 10**6
MOST_ALERTS: Final = 1_000
"""Of one agent and kind within a day, as many as secrets that it keeps in mind as expiring. Alerts
stay until a person has seen them. By kind, so that no flood of one hides another."""
NOT_ISSUED_ALERT: Final = "policy_not_issued"
OTHER_ORGANIZATION: Final = "other organization"
"""What all that is known of an agent of another organization comes to: no agent has this name."""
OTHER_BUNDLE: Final = "other_bundle"
"""Why a bundle counts as failed that its agent calls applied, under the hash of another one."""
_NOTICES: Final = {
    "fork": NotificationCode.AUDIT_FORK,
    "rollback": NotificationCode.AUDIT_ROLLBACK,
    "key": NotificationCode.AUDIT_FORK,
}


class EffectStamp(NamedTuple):
    """When a message came, and an id for what comes of it."""

    now: int
    id: str


class BundleStatusReport(NamedTuple):
    """What an agent says of a bundle, as an effect that many of its kind share a statement for."""

    status: m.PolicyStatus
    now: int


class ReceivedMessage(NamedTuple):
    """A durable message of an agent, or an id whose message never comes: `effect` is None.

    `fresh` is the stream that a link gets which is not on record.
    """

    name: AgentName
    fresh: bytes
    stream: bytes
    through: int
    effect: "Effect | BundleStatusReport | None"
    epoch: int = 0
    """Of the connection it came by (`outbox.require_current_epoch`)."""


class ReceivedRegistration(NamedTuple):
    """A registration. The agent has acknowledged all of ours up to `acknowledged`."""

    name: AgentName
    fresh: bytes
    message: m.Registration
    acknowledged: int
    now: int
    epoch: int = 0
    """Of the connection it came by (`outbox.require_current_epoch`)."""


class AgentMessages:
    """Effects of agents' messages."""

    def __init__(self, policies_service: Policies, witness: Witness, world: World) -> None:
        self._policies = policies_service
        self._witness = witness
        self._world = world

    def effect_of(self, message: m.Message) -> Effect | BundleStatusReport:
        """What this durable message does.

        To be asked for outside of the transaction, which may run more than once: time and id are
        taken here.
        """
        stamp = self._new_stamp()
        match message:
            case m.Metrics():
                return lambda tx, link: _record_figures(tx, link, message, stamp)
            case m.Usage():
                return lambda tx, link: _record_usage(tx, link, message, stamp)
            case m.Alert():
                return lambda tx, link: _record_alert(tx, link, message, stamp)
            case m.AuditCheckpoint():
                return lambda tx, link: self._record_checkpoint(tx, link, message, stamp)
            case m.PolicyStatus():
                return BundleStatusReport(message, stamp.now)
            case m.CommandResult():
                return lambda tx, link: _record_command_result(tx, link, message, stamp.now)
            case _:
                raise TypeError(f"{type(message).__name__} is not a durable message of an agent")

    def lost_effect(self, first: int, last: int) -> Effect:
        """An acknowledged message that is not here: our database is an old copy."""
        stamp = self._new_stamp()
        text = f"messages {first} to {last} were acknowledged once and are lost: a restored backup?"

        def effect(tx: Tx, link: AgentLink) -> Events:
            return _fire_alert(tx, link, stamp, "link_lost", text)

        return effect

    def registration_of(
        self, name: AgentName, message: m.Registration, acknowledged: int, epoch: int = 0
    ) -> ReceivedRegistration:
        """The agent's registration at its connection, for `apply_registrations`."""
        world = self._world
        return ReceivedRegistration(
            name, new_stream_id(world), message, acknowledged, world.now(), epoch
        )

    def apply_messages(self, tx: Tx, arrived: Sequence[ReceivedMessage]) -> list[Events]:
        """Apply effects and move cursors for many messages; an applied message changes nothing."""
        return run_by_organization(
            tx,
            [each.name for each in arrived],
            lambda tx, org, places: self._apply_organization(
                tx, org, [arrived[place] for place in places]
            ),
        )

    def apply_registrations(
        self, tx: Tx, registered: Sequence[ReceivedRegistration]
    ) -> list[Events]:
        """Store agents' facts, and reconcile our record with their bundles."""
        return run_by_organization(
            tx,
            [each.name for each in registered],
            lambda tx, org, places: self._register_organization(
                tx, org, [registered[place] for place in places]
            ),
        )

    def _apply_organization(
        self, tx: Tx, org: str, arrived: Sequence[ReceivedMessage]
    ) -> list[Events]:
        link_by_vault = outbox.ensure_links(
            tx, org, {each.name.vault: each.fresh for each in arrived}
        )
        for each in arrived:
            outbox.require_current_epoch(link_by_vault[each.name.vault], each.epoch)
        moved = {
            each.name.vault: replace(link, peer=each.stream, applied=each.through)
            for each in arrived
            if not is_already_applied(
                link := link_by_vault[each.name.vault], each.stream, each.through
            )
        }
        links.move_cursors(tx, *moved.values())
        statuses = {
            each.name.vault: each.effect
            for each in arrived
            if isinstance(each.effect, BundleStatusReport) and each.name.vault in moved
        }
        events = self.apply_statuses(tx, org, statuses)
        for each in arrived:
            vault, effect = each.name.vault, each.effect
            if vault in moved and effect is not None and not isinstance(effect, BundleStatusReport):
                events[vault] = effect(tx, moved[vault])
        return [events.get(each.name.vault, ()) for each in arrived]

    def apply_statuses(
        self, tx: Tx, org: str, statuses: Mapping[str, BundleStatusReport]
    ) -> dict[str, Events]:
        """Apply the bundle statuses of agents (vault → status)."""
        rows = policies.get_assignment_states(tx, org, list(statuses)) if statuses else []
        reports = [
            (row, report) for row in rows if (report := _bundle_report(row, statuses[row.vault]))
        ]
        return self._apply_reports(tx, reports)

    def _register_organization(
        self, tx: Tx, org: str, registered: Sequence[ReceivedRegistration]
    ) -> list[Events]:
        vaults = [each.name.vault for each in registered]
        link_by_vault = outbox.ensure_links(
            tx, org, {each.name.vault: each.fresh for each in registered}
        )
        for each in registered:
            outbox.require_current_epoch(link_by_vault[each.name.vault], each.epoch)
        facts = {each.name.vault: _agent_facts(each.message, each.now) for each in registered}
        agents.record_facts(tx, org, facts, now=registered[0].now)
        rows = {row.vault: row for row in policies.get_assignment_states(tx, org, vaults)}
        return [
            self._reconcile_bundle(
                tx,
                replace(link_by_vault[each.name.vault], acknowledged=each.acknowledged),
                rows.get(each.name.vault),
                each,
            )
            for each in registered
        ]

    def _new_stamp(self) -> EffectStamp:
        return EffectStamp(self._world.now(), self._world.new_id())

    def _reconcile_bundle(
        self,
        tx: Tx,
        link: AgentLink,
        row: AssignmentState | None,
        registration: ReceivedRegistration,
    ) -> Events:
        """Make our record and the agent's bundle agree, whatever either side has lost."""
        message, now = registration.message, registration.now
        if row is None or (not message.policy_version and row.outcome is Outcome.FAILED):
            return ()
        matches = message.policy_hash == row.digest  # not secret: public hashes
        if message.policy_version > row.version or (
            message.policy_version == row.version and not matches
        ):
            ahead = BundleReport(
                message.policy_version + (not matches), applied=True, reason="", now=now
            )
            return self._apply_reports(tx, [(row, ahead)])[row.vault]
        if message.policy_version == row.version:
            if row.outcome is Outcome.APPLIED and row.applied == row.version:
                return ()
            report = BundleReport(row.version, applied=True, reason="", now=now)
            return self._apply_reports(tx, [(row, report)])[row.vault]
        events: list[Event] = []
        if message.policy_version and row.outcome in {Outcome.APPLIED, Outcome.UNKNOWN}:
            # It went back: a sealed agent, which has not read its bundle yet, says 0.
            wanted = replace(
                row,
                outcome=Outcome.WANTED,
                applied=message.policy_version,
                reason="",
                changed_at=now,
            )
            policies.put_reports(tx, [wanted])
            events += _bundle_event(wanted)
        if self._enforces_other_node(tx, row, message):
            return ()
        was_acknowledged = link.bundle == row.version and link.bundle_id <= link.acknowledged
        if was_acknowledged and row.outcome is not Outcome.FAILED:
            offered = outbox.reoffer_bundle(tx, link)
            events.append(Event(Topic.OUTBOX, link.org, link.vault, offered.newest))
        return events

    def _enforces_other_node(self, tx: Tx, row: AssignmentState, message: m.Registration) -> bool:
        """Whether the vault enforces the bundle of another of its nodes, which came after this one.

        The agent has applied its own before. To offer that again would put the nodes' bundles in
        turn into their one database, at each connection.
        """
        if message.policy_version or row.outcome is not Outcome.APPLIED:
            return False
        agent = agents.get_agent(tx, row.org, row.vault)
        if agent is None or not agent.vault_id:
            return False
        nodes = agents.list_nodes(tx, row.org, [agent.vault_id])
        names = [node.name for node in nodes if node.name != row.vault]
        others = policies.get_assignment_states(tx, row.org, names)
        return any(other.digest == message.policy_hash for other in others)  # not secret: public

    def _apply_reports(
        self, tx: Tx, reports: Sequence[tuple[AssignmentState, BundleReport]]
    ) -> dict[str, Events]:
        """Store agents' statuses of their bundles; the events of each.

        An agent that claims to enforce a bundle that was never issued gets an alert, one a day.
        """
        events: dict[str, Events] = {}
        stored = self._policies.record_reports(tx, reports)
        for new, (old, report) in zip(stored, reports, strict=True):
            events[new.vault] = _bundle_event(new)
            if new is not old and new.outcome is Outcome.UNKNOWN:
                events[new.vault] = (*events[new.vault], *_not_issued_alert(tx, new, report.now))
        return events

    def _record_checkpoint(
        self, tx: Tx, link: AgentLink, message: m.AuditCheckpoint, stamp: EffectStamp
    ) -> Events:
        org, vault = link.org, link.vault
        presented = PresentedCheckpoint(
            message.note, message.signer, message.old_size, message.proof
        )
        try:
            _require_matching_checkpoint(parse_checkpoint(message.note), message)
            result = self._witness.cosign_checkpoint(tx, org, vault, presented, now=stamp.now)
        except ValidationError as error:
            return _fire_alert(tx, link, stamp, "checkpoint_invalid", error.message)
        except StaleProofError as error:
            name_log(tx, org, vault, presented, now=stamp.now)
            return _outbox_event(outbox.offer_cosignature(tx, link, error.size))
        except ConflictError:
            return ()  # its fault is on record already
        if isinstance(result, LogFault):
            return self._record_fault(tx, link, result, stamp)
        return _outbox_event(outbox.offer_cosignature(tx, link, result.size))

    def _record_fault(self, tx: Tx, link: AgentLink, fault: LogFault, stamp: EffectStamp) -> Events:
        """The agent's audit log went back or split: a person must look at both ends.

        The enrolment for which the log was cosigned gets an alert, too, where it is another one. An
        organization learns of another's only that it exists. Each other enrolment is a condition of
        its own (`subject`), so that none replaces the one before.
        """
        events: list[Event] = []
        is_foreign = fault.org != link.org
        other = fault.vault if fault.vault != link.vault else ""
        numbers = f"{fault.cosigned} records were cosigned, {fault.shown} are shown"
        text = f"the audit log of {link.vault} contradicts what was cosigned ({fault.kind}): "
        if is_foreign:
            text += "for an agent that is not of this organization and has the same log and key"
        elif other:
            text += f"{numbers}; they were cosigned for agent {fault.vault}"
        else:
            text += numbers
        if (fault.org, fault.vault) != (link.org, link.vault):
            other_org = "an agent that is not of this organization"
            presenter = other_org if is_foreign else f"agent {link.vault}"
            warning = (
                f"{presenter} shows another history of the audit log of {fault.vault}, signed by "
                f"its key ({fault.kind}): a copy of the machine, a restored backup, or a stolen key"
            )
            events += _fire_alert(
                tx,
                AgentName(fault.org, fault.vault),
                EffectStamp(stamp.now, _derived_id(stamp.id)),
                f"audit_{fault.kind}",
                warning,
                subject=OTHER_ORGANIZATION if is_foreign else link.vault,
            )
        notice = m.Notification(
            notification_id=bytes.fromhex(stamp.id.replace("-", "")),
            code=_NOTICES[fault.kind],
            severity=NotificationSeverity.CRITICAL,
            at=stamp.now // _MILLI,
        )
        subject = OTHER_ORGANIZATION if is_foreign else other
        events += _fire_alert(tx, link, stamp, f"audit_{fault.kind}", text, subject=subject)
        with suppress(UnavailableError):  # too much waits for it already; people have the alert
            events += _outbox_event(outbox.enqueue_message(tx, link, notice))
        return events


def is_already_applied(link: AgentLink, stream: bytes, through: int) -> bool:
    """Whether the agent's messages up to this one were applied."""
    return link.peer == stream and through <= link.applied  # not secret: random ids


def new_stream_id(world: World) -> bytes:
    """16 bytes that were never used before; 122 of the bits are random."""
    return bytes.fromhex(world.new_id().replace("-", ""))


def _not_issued_alert(tx: Tx, row: AssignmentState, now: int) -> Events:
    name = AgentName(row.org, row.vault)
    if alerts.count_alerts(tx, *name, NOT_ISSUED_ALERT, now - DAY):
        return ()
    stamp = EffectStamp(now, _derived_id(f"{row.org}/{row.vault}/{now}"))
    text = (
        f"agent {row.vault} says that it enforces a bundle that was never issued to it; no bundle "
        "of this control plane can replace it: run 'freehold agent link policy reset' there"
    )
    return _fire_alert(tx, name, stamp, NOT_ISSUED_ALERT, text)


def _derived_id(identifier: str) -> str:
    """An id for a further row of the same message: always the same one."""
    return str(UUID(bytes=sha256(identifier.encode())[:16]))


def _bundle_report(row: AssignmentState, report: BundleStatusReport) -> BundleReport | None:
    """The status of the agent's current bundle; None if it is nothing new."""
    status = report.status
    if status.phase is PolicyPhase.RECEIVED:
        return None
    is_older = status.phase is PolicyPhase.REFUSED and status.reason is PolicyReason.OLDER
    if is_older and row.applied >= status.version:
        return None  # it was sent once more to an agent that has it
    applied = status.phase is PolicyPhase.APPLIED
    is_current = status.version == row.version
    is_other = is_current and status.bundle_hash != row.digest  # not secret: public
    if applied and is_other:
        return BundleReport(status.version, applied=False, reason=OTHER_BUNDLE, now=report.now)
    return BundleReport(status.version, applied=applied, reason=str(status.reason), now=report.now)


def _agent_facts(message: m.Registration, now: int) -> dict[str, str | int]:
    return {
        "release": message.release,
        "platform": str(message.platform),
        "backend": str(message.backend),
        "key_holder": str(message.key_holder),
        "started_at": clamp_to_now(message.started_at, now // _MILLI),
    }


def _require_matching_checkpoint(head: CheckpointHead, message: m.AuditCheckpoint) -> None:
    if (head.size, head.root) != (message.size, message.root):
        raise ValidationError("checkpoint_invalid", "message and signed checkpoint disagree")


def _record_figures(tx: Tx, link: AgentLink, message: m.Metrics, stamp: EffectStamp) -> Events:
    figures = figures_of(message, link.histograms)
    now = stamp.now // SECOND
    at = agent_metrics.accepted_time(message.until // 1000, link.measured, now)
    if at is not None:
        agent_metrics.ingest_figures(tx, link.org, link.vault, at, figures, now=now)
        totals = {str(each.name): tuple(each.counts) for each in message.histograms}
        links.put_measured(tx, replace(link, measured=at, histograms=totals))
    key_rotation.ingest_key_figures(
        tx, link.org, link.vault, message.until * _MILLI, figures, now=stamp.now
    )
    return ()


def _record_usage(tx: Tx, link: AgentLink, message: m.Usage, stamp: EffectStamp) -> Events:
    usage.ingest_usage(tx, link.org, link.vault, message, now=stamp.now // SECOND)
    return ()


def figures_of(message: m.Metrics, before: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Series and values of a report. A histogram gives its count, its sum and the bound of its p99.

    An agent reports totals since its start. `before`: the totals of its previous report, by
    histogram. The p99 covers what was counted since, and is left out where that is nothing or
    unknown.
    """
    figures: dict[str, float] = {str(c.name): c.value for c in message.counters}
    figures |= {str(gauge.name): gauge.value for gauge in message.gauges}
    for histogram in message.histograms:
        figures[f"{histogram.name}_count"] = sum(histogram.counts)
        figures[f"{histogram.name}_sum_us"] = histogram.sum_us
        counts = _counts_since(before.get(str(histogram.name)), histogram.counts)
        if any(counts):
            figures[f"{histogram.name}_p99_us"] = _percentile(counts, 99)
    return figures


def _counts_since(before: Sequence[int] | None, counts: Sequence[int]) -> Sequence[int]:
    """What was counted between two reports; empty if unknown."""
    if before is None or len(before) != len(counts):
        return ()
    new = tuple(map(sub, counts, before))
    return counts if min(new) < 0 else new  # the agent was started anew: all of it is new


def _percentile(counts: Sequence[int], percent: int) -> int:
    """The upper bound of the percentile's bucket; of the last bucket for what is above all."""
    wanted, seen = sum(counts) * percent, 0
    for bound, count in zip(BUCKETS_US, counts, strict=False):
        seen += count
        if seen * 100 >= wanted:
            return bound
    return BUCKETS_US[-1]


def _record_alert(tx: Tx, link: AgentLink, message: m.Alert, stamp: EffectStamp) -> Events:
    """Store an agent's alert; its start is the agent's own time, if that is in the past."""
    at = max(
        clamp_to_now(message.raised_at * _MILLI, stamp.now), stamp.now - key_rotation.MAX_SILENCE
    )
    if message.code is AlertCode.UNSEALED:
        resolved = alerts.resolve_alerts(
            tx, link.org, [SEALED], [link.vault], now=stamp.now, before=at
        )
        told = tuple(map(alert_event, resolved))
        if message.severity is not NotificationSeverity.CRITICAL:
            return told
        text = alert_message(BREAK_GLASS, link.vault)
        fired = _fire_alert(tx, link, stamp, BREAK_GLASS, text, at=at, count=message.count)
        return (*told, *fired)
    subject = message.subject.hex() if any(message.subject) else ""
    severity = Severity(str(message.severity))
    if message.code in REPORTED:  # as of an older agent that calls it something else
        severity = Severity.WARNING if message.code in WARNINGS else Severity.CRITICAL
    return _fire_alert(
        tx,
        link,
        stamp,
        str(message.code),
        alert_message(message.code, link.vault, subject),
        severity=severity,
        subject=subject,
        at=at,
        count=message.count,
    )


def _record_command_result(tx: Tx, link: AgentLink, message: m.CommandResult, now: int) -> Events:
    row = links.get_command(tx, link.org, message.command_id.hex())
    if row is not None and row.vault == link.vault and not row.outcome:
        done_at = clamp_to_now(message.at * _MILLI, now)
        done = replace(row, outcome=str(message.outcome), done_at=done_at)
        links.put_command(tx, done)
    return ()


def _fire_alert(
    tx: Tx,
    agent: AgentLink | AgentName,
    stamp: EffectStamp,
    code: str,
    text: str,
    *,
    severity: Severity = Severity.CRITICAL,
    subject: str = "",
    at: int = 0,
    count: int = 1,
) -> Events:
    org, vault = agent.org, agent.vault
    raised = alerts.count_alerts(tx, org, vault, code, stamp.now - DAY)
    if raised >= MOST_ALERTS:
        return ()
    if raised == MOST_ALERTS - 1:
        text += " (the last of these that is put on record within a day)"
    alert = Alert(
        id=stamp.id,
        org=org,
        vault=vault,
        code=code,
        severity=severity,
        message=text,
        at=at or stamp.now,
        acknowledged_by="",
        acknowledged_at=0,
        subject=subject,
        count=clamp_count(count),
        last_at=stamp.now,
    )
    return tuple(map(alert_event, alerts.fire_alerts(tx, alert)))


def _outbox_event(link: AgentLink) -> Events:
    return (Event(Topic.OUTBOX, link.org, link.vault, link.newest),)


def _bundle_event(row: AssignmentState) -> Events:
    return (Event(Topic.POLICY, row.org, row.vault, row.version),)
