"""Evidence about audit: the audit log, the witnessed logs of agents, acknowledgement of alerts."""

from typing import Final

from control.compliance import proofs
from control.compliance.evidence.assessment import (
    Period,
    audit_proofs,
    make_evidence,
    plural,
    share_result,
)
from control.model.agents import Life
from control.model.compliance import Evidence, Proof, Result, SettingProof
from control.model.records import Severity, WitnessedCheckpoint
from control.services.audit_log import ChainVerification
from control.services.witness import Witness
from control.store import audit_records
from control.store import compliance_queries as reads
from control.store.audit_records import EventFilter, list_consistency_proofs
from control.store.rows import Tx
from protocols.instant import DAY

MAX_CHECKPOINT_AGE: Final = DAY
MAX_ACKNOWLEDGE_TIME: Final = DAY
"""Within which a critical alert should be acknowledged, or its condition over."""


def collect_audit(
    tx: Tx, span: Period, verdict: ChainVerification, witness: Witness
) -> list[Evidence]:
    """All evidence about audit. `verdict`: of the whole audit log, verified before."""
    return [
        _audit_log_evidence(tx, span, verdict),
        _checkpoint_evidence(tx, span, witness),
        _alert_evidence(tx, span),
    ]


def _audit_log_evidence(tx: Tx, span: Period, verdict: ChainVerification) -> Evidence:
    within = audit_records.count_events(
        tx, span.org, EventFilter(since=span.since, until=span.until)
    )
    ends: list[Proof] = []
    for after in (verdict.base, verdict.size - 1):
        page = audit_records.list_events(tx, span.org, after=max(after, 0), limit=1)
        ends += [proofs.audit_proof(event) for event in page]
    whole = not verdict.broken_at
    said = "is whole" if whole else f"does not fit from record {verdict.broken_at} on"
    gone = f" The oldest {verdict.base} were deleted by rule, up to a signed base."
    return make_evidence(
        "audit.trail",
        "What people do is on a trail that cannot be changed unseen",
        Result.MET if whole and verdict.size else (Result.NOT_EVIDENCED if whole else Result.GAP),
        f"{plural(verdict.size - verdict.base, 'record')}, {within} of the period; the chain of "
        f"their hashes {said}. Its end is in this report's header, signed."
        + gone * bool(verdict.base),
        figures={"records": verdict.size, "deleted": verdict.base, "in_period": within,
                 "broken_at": verdict.broken_at},
        fine=ends,
        exceptions=() if whole else [f"record {verdict.broken_at}"],
    )  # fmt: skip


def _checkpoint_evidence(tx: Tx, span: Period, witness: Witness) -> Evidence:
    active = [a.vault for a in reads.list_agents(tx, span.org) if a.life is Life.ACTIVE]
    seen = {row.vault: row for row in reads.witnessed_checkpoints(tx, span.org)}
    growths = list_consistency_proofs(tx, span.org)
    wrong: list[Proof] = []
    fine: list[Proof] = []
    named: dict[str, str] = {}
    for vault in active:
        row = seen.get(vault)
        fault = _checkpoint_fault(row, span.now)
        if fault:
            named[vault] = f"{vault}: {fault}"
        if row is not None and row.size:
            proof = proofs.checkpoint_proof(row, growths.get(vault), witness.cosignature_line(row))
            (wrong if fault else fine).append(proof)
    forks = sum(1 for vault in active if vault in seen and seen[vault].fault)
    result = share_result(len(active) - len(named), len(active))
    return make_evidence(
        "audit.checkpoints",
        "Agents' audit logs are witnessed",
        Result.GAP if forks else result,
        f"{len(active) - len(named)} of {plural(len(active), 'active agent')} have a checkpoint "
        f"that was cosigned within a day; {forks} show a log that contradicts what was cosigned.",
        figures={"active": len(active), "fresh": len(active) - len(named), "forks": forks,
                 "grown": sum(1 for vault in active if vault in growths)},
        wrong=wrong,
        fine=fine,
        exceptions=named.values(),
        lacking="Of each log the newest checkpoint and its last step are here, not all between.",
    )  # fmt: skip


def _checkpoint_fault(row: WitnessedCheckpoint | None, now: int) -> str:
    if row is not None and row.fault:
        return row.fault
    if row is None or not row.size:
        return "no checkpoint was cosigned"
    return "the newest checkpoint is older than a day" if now - row.at > MAX_CHECKPOINT_AGE else ""


def _alert_evidence(tx: Tx, span: Period) -> Evidence:
    rows = reads.alerts_between(tx, span.org, span.since, span.until)
    critical = [row for row in rows if row.severity is Severity.CRITICAL]
    late = [
        row for row in critical
        if min(filter(None, (row.acknowledged_at, row.ended_at, max(span.now, row.at)))) - row.at
        > MAX_ACKNOWLEDGE_TIME
    ]  # fmt: skip
    seen = sum(1 for row in rows if row.acknowledged_at)
    over = sum(1 for row in rows if row.ended_at)
    fine, total = audit_proofs(tx, span, "alerts.acknowledge", phase="outcome", result="ok")
    setting = SettingProof(
        "alerts",
        "raised for lost, sealed and refusing agents, refused policies, faulty logs, failures",
    )
    return make_evidence(
        "audit.alerts",
        "Alarms are raised, and somebody looks at them",
        share_result(len(critical) - len(late), len(critical)) if critical else Result.MET,
        f"{plural(len(rows), 'alert')} in the period, {seen} of them acknowledged, {over} "
        f"resolved. {_looked_at(len(critical), len(late))}",
        figures={"alerts": len(rows), "acknowledged": seen, "resolved": over,
                 "critical": len(critical), "late": len(late)},
        fine=[setting, *fine],
        total=total + 1,
        exceptions=[f"{row.code} {row.vault}".strip() for row in late],
    )  # fmt: skip


def _looked_at(critical: int, late: int) -> str:
    if not critical:
        return "None was critical."
    if not late:
        return f"Each critical one ({critical}) was acknowledged or resolved within a day."
    return f"Of {critical} critical, {late} were neither acknowledged nor resolved within a day."
