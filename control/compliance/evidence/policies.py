"""Evidence about policies: enforced where assigned, changed by two people, not too broad."""

from collections.abc import Iterable
from typing import Any, Final

from control.compliance import proofs
from control.compliance.evidence.agent_history import AgentHistory, read_agent_history
from control.compliance.evidence.assessment import (
    Period,
    assess_share,
    audit_proofs,
    describe_unknown,
    make_evidence,
    plural,
    read_timelines,
    share_result,
)
from control.compliance.evidence.timeline import (
    Timeline,
    TimelineInterval,
    intersection_of,
    longest_interval,
    state_proof,
    unknown_periods,
)
from control.model.compliance import Evidence, Result, SettingProof
from control.model.history import REPORTING, Aspect
from control.model.policies import Outcome, PolicyVersion
from control.store import compliance_queries as reads
from control.store import policies
from control.store.rows import Tx
from protocols.instant import DAY

_WIDE: Final = frozenset({"*", "**", "secret/*", "secret/**", "+/*"})
_STRONG: Final = frozenset({"*", "sudo", "root"})


def collect_policies(tx: Tx, span: Period) -> list[Evidence]:
    """All evidence about policies."""
    course = read_agent_history(tx, span)
    lines = [
        line for line in read_timelines(tx, span, Aspect.POLICY) if line.subject in course.active
    ]
    return [_in_force(tx, span, course, lines), _changes(tx, span), _breadth(tx, span, lines)]


def _in_force(tx: Tx, span: Period, course: AgentHistory, lines: list[Timeline]) -> Evidence:
    rows = {row.vault: row for row in reads.signed_assignments(tx, span.org)}
    behind = [line for line in lines if _is_behind(line, course, span)]
    fine = [line for line in lines if line not in behind]
    failed = sum(any(s.value == Outcome.FAILED for s in line.intervals) for line in lines)
    with_rules = sum(any(s.detail.get("contents") for s in line.intervals) for line in lines)
    without = sorted(course.active.keys() - {line.subject for line in lines})
    unsure = unknown_periods(lines)
    late = [state_proof(Aspect.POLICY, _longest_gap(line)) for line in behind]
    return make_evidence(
        "policies.in-force",
        "Each agent enforces the policies that it should",
        assess_share(len(fine), len(lines), unsure),
        f"{len(fine)} of {plural(len(lines), 'agent')} that a policy was for enforced the bundle "
        "that was meant for them all the time that they were heard, but for at most a day at a "
        f"stretch ({with_rules} had policies in it), and at its end; {failed} refused one. "
        "Bundles are signed by the policy key, and each names the hash of the one before.",
        figures={"active": len(course.active), "in_force": len(fine), "refused": failed,
                 "without": len(without), "unknown": len(unsure)},
        wrong=[*late, *(proofs.policy_proof(rows[v]) for v in _enforced_versions(behind)
                        if v in rows)],
        fine=[proofs.policy_proof(rows[v]) for v in _enforced_versions(fine) if v in rows],
        exceptions=_enforced_versions(behind),
        lacking=" ".join(filter(None, (
            describe_unknown(unsure),
            f"For {plural(len(without), 'agent')} there never was a policy." if without else "",
        ))),
    )  # fmt: skip


def _enforced_versions(lines: Iterable[Timeline]) -> list[str]:
    return [line.subject for line in lines]


def _is_behind(line: Timeline, course: AgentHistory, span: Period) -> bool:
    """An agent that is away cannot follow: only the time in which it was heard counts."""
    active = course.active[line.subject]
    if active[-1][1] == span.end and line.final_value != Outcome.APPLIED:
        return True
    behind = line.intervals_of(lambda value: value != Outcome.APPLIED)
    presence = course.presence.get(line.subject)
    heard = intersection_of(active, presence.intervals_equal(REPORTING)) if presence else active
    return longest_interval(intersection_of(behind, heard)) > DAY


def _longest_gap(line: Timeline) -> TimelineInterval:
    waiting = [s for s in line.intervals if s.value != Outcome.APPLIED]
    return max(waiting, key=lambda stretch: stretch.length)


def _changes(tx: Tx, span: Period) -> Evidence:
    versions = reads.versions_between(tx, span.org, span.since, span.until)
    rollouts = reads.rollouts_between(tx, span.org, span.since, span.until)
    authors = reads.version_authors(tx, span.org, rollouts)
    alone = [r for r in rollouts if authors.get((r.policy, r.version)) == r.created_by]
    fine, total = audit_proofs(
        tx, span, "policies.write", "rollouts.", phase="outcome", result="ok"
    )
    result = share_result(len(rollouts) - len(alone), len(rollouts)) if rollouts else Result.MET
    if not rollouts and not versions:
        result = Result.NOT_EVIDENCED
    return make_evidence(
        "policies.changes",
        "Changes of policies are looked at by another person, and rolled out",
        result,
        f"{plural(len(versions), 'new version')} and {plural(len(rollouts), 'roll-out')}; "
        f"{len(alone)} were rolled out by whoever wrote the version.",
        figures={"versions": len(versions), "rollouts": len(rollouts), "alone": len(alone)},
        fine=fine,
        total=total,
        exceptions=[f"{r.policy} version {r.version}, by {r.created_by}" for r in alone],
        lacking="" if versions or rollouts else "No policy was changed in the period.",
    )  # fmt: skip


def _breadth(tx: Tx, span: Period, lines: list[Timeline]) -> Evidence:
    """Breadth of the policies in use now, and of those that any agent enforced in the period."""
    used = {
        (name, int(number))
        for line in lines
        for stretch in line.intervals
        if stretch.value == Outcome.APPLIED
        for name, number in stretch.detail.get("contents", {}).items()
    }
    used |= {(p.name, p.stable) for p in policies.list_policies(tx, span.org) if p.stable}
    versions = [
        found for key in sorted(used) if (found := policies.get_version(tx, span.org, *key))
    ]
    wide = {f"{v.name} version {v.version}" for v in versions if any(map(_is_wide, _rules(v)))}
    return make_evidence(
        "policies.breadth",
        "Policies give no more than is needed",
        Result.PARTLY if wide else (Result.MET if versions else Result.NOT_EVIDENCED),
        f"{len(wide)} of {plural(len(versions), 'version')} of policies that were in force in the "
        "period allow everything on every path, or administer. What no rule allows is denied.",
        figures={"versions": len(versions), "wide": len(wide)},
        fine=[SettingProof(f"policy {v.name}", f"version {v.version}") for v in versions],
        exceptions=wide,
        lacking="" if versions else "No policy was in force; agents deny what none allows.",
    )  # fmt: skip


def _rules(version: PolicyVersion) -> Iterable[dict[str, Any]]:
    document = version.document if isinstance(version.document, dict) else {}
    return [rule for rule in document.get("rules", ()) if isinstance(rule, dict)]


def _is_wide(rule: dict[str, Any]) -> bool:
    if rule.get("effect") != "allow" or rule.get("conditions"):
        return False
    strong = _STRONG & set(rule.get("capabilities", ()))
    return bool(strong) and bool(_WIDE & set(rule.get("paths", ())))
