"""Keeping: rules for how long records stay, legal holds, and deletions that were made."""

from typing import Final

from control.compliance.evidence.common import Span, evidence, plural, recorded
from control.model.compliance import Evidence, Proof, Result, SettingProof
from control.model.retention import Kind, Limits, rule_of
from control.store import holds, retention
from control.store.rows import Tx

YEAR: Final = 365
SIX_YEARS: Final = 6 * YEAR + 1


def collect(tx: Tx, span: Span, limits: Limits) -> list[Evidence]:
    """All that there is about keeping."""
    rules = retention.rules(tx, span.org)
    days = {kind: rule_of(kind, rules.get(kind), limits).days for kind in Kind}
    active = [hold for hold in holds.holds_of(tx, span.org) if not hold.lifted_at]
    swept, total = recorded(tx, span, "retention.", "holds.", phase="outcome", result="ok")
    settings: list[Proof] = [SettingProof(f"retention.{k}", _told(n)) for k, n in days.items()]
    said = "; ".join(f"{kind} {_told(count)}" for kind, count in days.items())
    figures = {f"{kind}_days": count for kind, count in days.items()} | {"holds": len(active)}
    return [
        evidence(
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
        evidence(
            "retention.six-years",
            "Audit records are kept for six years",
            Result.MET if _six(days[Kind.TRAIL]) and _six(days[Kind.REPORTS]) else Result.GAP,
            f"The trail is kept {_told(days[Kind.TRAIL])}, reports {_told(days[Kind.REPORTS])}.",
            figures=figures,
            fine=settings,
            lacking="How long agents keep their own audit logs is set there, and not known here.",
        ),
    ]  # fmt: skip


def _six(days: int) -> bool:
    return not days or days >= SIX_YEARS


def _told(days: int) -> str:
    return plural(days, "day") if days else "for ever"
