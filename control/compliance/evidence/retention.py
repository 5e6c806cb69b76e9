"""Evidence about retention: rules, legal holds, deletions."""

from typing import Final

from control.compliance.evidence.assessment import Period, audit_proofs, make_evidence, plural
from control.model.compliance import Evidence, Proof, Result, SettingProof
from control.model.retention import Kind, RetentionLimits, effective_rule
from control.store import legal_holds, retention
from control.store.rows import Tx

YEAR: Final = 365
SIX_YEARS: Final = 6 * YEAR + 1


def collect_retention(tx: Tx, span: Period, limits: RetentionLimits) -> list[Evidence]:
    """All evidence about retention."""
    rules = retention.get_rules(tx, span.org)
    days = {kind: effective_rule(kind, rules.get(kind), limits).days for kind in Kind}
    active = [hold for hold in legal_holds.list_holds(tx, span.org) if not hold.lifted_at]
    swept, total = audit_proofs(tx, span, "retention.", "holds.", phase="outcome", result="ok")
    settings: list[Proof] = [
        SettingProof(f"retention.{k}", _describe_days(n)) for k, n in days.items()
    ]
    said = "; ".join(f"{kind} {_describe_days(count)}" for kind, count in days.items())
    figures = {f"{kind}_days": count for kind, count in days.items()} | {"holds": len(active)}
    return [
        make_evidence(
            "retention.rules",
            "Records are kept as long as was decided, and deleted after",
            Result.MET,
            f"Kept: {said}. {plural(len(active), 'legal hold')} in force. "
            "Each deletion by rule is on the trail with what it took.",
            figures=figures,
            wrong=settings,
            fine=swept,
            total=total + len(settings),
        ),
        make_evidence(
            "retention.six-years",
            "Audit records are kept for six years",
            Result.MET if _keeps_six_years(days[Kind.TRAIL])
            and _keeps_six_years(days[Kind.REPORTS]) else Result.GAP,
            f"The trail is kept {_describe_days(days[Kind.TRAIL])}, "
            f"reports {_describe_days(days[Kind.REPORTS])}.",
            figures=figures,
            fine=settings,
            lacking="How long agents keep their own audit logs is set there, and not known here.",
        ),
    ]  # fmt: skip


def _keeps_six_years(days: int) -> bool:
    return not days or days >= SIX_YEARS


def _describe_days(days: int) -> str:
    return plural(days, "day") if days else "for ever"
