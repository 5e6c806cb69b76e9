"""Typed messages from what the vault says of itself: pure. Nothing else finds its way into them."""

from collections.abc import Iterator
from itertools import islice
from uuid import UUID

from actors.tree import Node
from protocols.instant import SECOND
from protocols.link import messages as m
from protocols.link import vocabulary as words
from protocols.link.limits import MAX_NODES
from protocols.link.signing import channel_digest
from vault.control_link.host import MetricFigures, VaultFacts
from vault.control_link.outbox import OutboxBacklog
from vault.model.backup import BackupReport, RestoreProof
from vault.model.rotation_report import RotationReport

MILLI = SECOND // 1000
_MICRO = 1_000_000
_NOBODY = bytes(16)
_ACTORS = {str(name): name for name in words.ActorName}


def registration(facts: VaultFacts) -> m.Registration:
    """What the agent is; the first message of a session."""
    return m.Registration(
        release=facts.release,
        platform=facts.platform,
        backend=facts.backend,
        key_holder=facts.key_holder,
        started_at=facts.started_at,
        policy_version=facts.policy.version,
        policy_hash=facts.policy.hash if facts.policy.version else facts.bundle_hash,
        audit_size=facts.audit_size,
    )


def heartbeat(facts: VaultFacts, backlog: OutboxBacklog) -> m.Heartbeat:
    """The agent lives."""
    return m.Heartbeat(
        health=facts.health,
        uptime=facts.uptime,
        policy_version=facts.policy.version,
        audit_size=facts.audit_size,
        secrets=facts.secrets,
        outbox_messages=backlog.messages,
        outbox_bytes=backlog.bytes,
    )


def sync_state(phase: words.SyncPhase, since: int, backlog: OutboxBacklog) -> m.SyncState:
    """The agent's own view of its link. `since`: Unix milliseconds."""
    return m.SyncState(phase=phase, since=since, pending=backlog.messages, dropped=backlog.dropped)


def metrics(figures: MetricFigures, since: int, until: int) -> m.Metrics:
    """The figures over a window, Unix milliseconds."""
    return m.Metrics(
        since=since,
        until=until,
        counters=tuple(
            m.CounterValue(name=name, value=value) for name, value in figures.counters.items()
        ),
        gauges=tuple(
            m.GaugeValue(name=name, value=value) for name, value in figures.gauges.items()
        ),
        histograms=tuple(
            m.HistogramValue(name=name, counts=counts, sum_us=total)
            for name, (counts, total) in figures.histograms.items()
        ),
    )


def backups(report: BackupReport, proof: RestoreProof, period: int) -> m.Backups:
    """How the vault's backups do. `period`: seconds."""
    return m.Backups(
        state=words.BackupState(report.state),
        newest=report.newest // MILLI,
        proven=report.proven // MILLI,
        count=report.count,
        period=period,
        rto=proof.rto,
        rpo=proof.rpo,
        certificate=proof.certificate,
    )


def rotations(report: RotationReport, *, with_ids: bool) -> m.Rotations:
    """How the vault's rotations do. `with_ids`: the owner lets out opaque ids of secrets."""
    return m.Rotations(
        at=report.at // MILLI,
        policies=report.policies,
        unmanaged=report.unmanaged,
        due=report.due,
        overdue=report.overdue,
        overdue_since=report.overdue_since // MILLI,
        next_due=report.next_due // MILLI,
        running=report.running,
        waiting=report.waiting,
        failing=report.failing,
        stuck=report.stuck,
        rotated_day=report.rotated_day,
        rotated_month=report.rotated_month,
        leases=report.leases.active,
        revoking=report.leases.revoking,
        irrevocable=report.leases.irrevocable,
        notices=tuple(
            m.RotationNotice(
                notice=each.notice,
                secret=each.secret if with_ids else _NOBODY,
                event=each.event,
                channels=tuple(map(channel_digest, each.channels)),
            )
            for each in report.notices
        ),
    )


def clients(report: RotationReport) -> m.Clients:
    """What clients make of new values and of leases."""
    return m.Clients(lagging=report.lagging, unrenewed=report.leases.unrenewed)


def glimpse(figures: MetricFigures, tree: Node | None, at: int) -> m.Glimpse:
    """The figures and the actors at this moment, Unix milliseconds."""
    said = metrics(figures, at, at)
    return m.Glimpse(
        at=at,
        counters=said.counters,
        gauges=said.gauges,
        histograms=said.histograms,
        nodes=() if tree is None else tuple(islice(_walked(tree, 0), MAX_NODES)),
    )


def _walked(node: Node, level: int) -> Iterator[m.ActorNode]:
    """Names by the closed list alone: of a path the last part."""
    box = node.mailbox
    yield m.ActorNode(
        name=_ACTORS.get(node.name.rpartition("/")[2], words.ActorName.OTHER),
        level=level,
        state=words.ActorState(node.state),
        restarts=node.restarts,
        handled=node.handled,
        mean_us=round(node.mean_time * _MICRO),
        max_us=round(node.max_time * _MICRO),
        queued=box.depth if box else 0,
        bound=box.bound if box else 0,
        refused=box.refused if box else 0,
        dropped=box.dropped if box else 0,
    )
    for child in node.children:
        yield from _walked(child, level + 1)


def alert(
    code: words.AlertCode, severity: words.Severity, id_: str, now: int, subject: bytes = bytes(16)
) -> m.Alert:
    """Somebody should look. `id_`: a fresh UUID; `now`: Unix nanoseconds."""
    return m.Alert(
        alert_id=UUID(id_).bytes,
        code=code,
        severity=severity,
        raised_at=now // MILLI,
        subject=subject,
        count=1,
    )
