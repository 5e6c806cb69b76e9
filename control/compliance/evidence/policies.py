"""Policies: in force where they should be, changed by two people, and not wider than needed."""

from collections.abc import Iterable
from typing import Any, Final

from control.compliance import proofs
from control.compliance.evidence.common import (
    Span,
    evidence,
    history_of,
    judged,
    lacking_of,
    plural,
    recorded,
    share,
)
from control.compliance.evidence.course import Course, course_of
from control.compliance.evidence.timeline import (
    HOUR,
    Stretch,
    Timeline,
    longest,
    proof,
    unknown,
    within,
)
from control.model.compliance import Evidence, Result, SettingProof
from control.model.history import HEARD, Aspect
from control.model.policies import Outcome, PolicyVersion
from control.store import compliance_reads as reads
from control.store import policies
from control.store.rows import Tx

DAY: Final = 24 * HOUR
_WIDE: Final = frozenset({"*", "**", "secret/*", "secret/**", "+/*"})
_STRONG: Final = frozenset({"*", "sudo", "root"})


def collect(tx: Tx, span: Span) -> list[Evidence]:
    """All that there is about policies."""
    course = course_of(tx, span)
    lines = [line for line in history_of(tx, span, Aspect.POLICY) if line.subject in course.active]
    return [_in_force(tx, span, course, lines), _changes(tx, span), _breadth(tx, span, lines)]


def _in_force(tx: Tx, span: Span, course: Course, lines: list[Timeline]) -> Evidence:
    rows = {row.vault: row for row in reads.signed_of(tx, span.org)}
    behind = [line for line in lines if _is_behind(line, course, span)]
    fine = [line for line in lines if line not in behind]
    failed = sum(any(s.value == Outcome.FAILED for s in line.stretches) for line in lines)
    with_rules = sum(any(s.detail.get("contents") for s in line.stretches) for line in lines)
    without = sorted(course.active.keys() - {line.subject for line in lines})
    unsure = unknown(lines)
    late = [proof(Aspect.POLICY, _longest(line)) for line in behind]
    return evidence(
        "policies.in-force",
        "Each agent enforces the policies that it should",
        judged(len(fine), len(lines), unsure),
        f"{len(fine)} of {plural(len(lines), 'agent')} that a policy was for enforced the bundle "
        "that was meant for them all the time that they were heard, but for at most a day at a "
        f"stretch ({with_rules} had policies in it), and at its end; {failed} refused one. "
        "Bundles are signed by the policy key, and each names the hash of the one before.",
        figures={"active": len(course.active), "in_force": len(fine), "refused": failed,
                 "without": len(without), "unknown": len(unsure)},
        wrong=[*late, *(proofs.policy(rows[v]) for v in _names(behind) if v in rows)],
        fine=[proofs.policy(rows[v]) for v in _names(fine) if v in rows],
        exceptions=_names(behind),
        lacking=" ".join(filter(None, (
            lacking_of(unsure),
            f"For {plural(len(without), 'agent')} there never was a policy." if without else "",
        ))),
    )  # fmt: skip


def _names(lines: Iterable[Timeline]) -> list[str]:
    return [line.subject for line in lines]


def _is_behind(line: Timeline, course: Course, span: Span) -> bool:
    """One that is away cannot follow: only the time that it was heard counts."""
    active = course.active[line.subject]
    if active[-1][1] == span.end and line.end != Outcome.APPLIED:
        return True
    behind = line.times(lambda value: value != Outcome.APPLIED)
    presence = course.presence.get(line.subject)
    heard = within(active, presence.where(HEARD)) if presence else active
    return longest(within(behind, heard)) > DAY


def _longest(line: Timeline) -> Stretch:
    waiting = [s for s in line.stretches if s.value != Outcome.APPLIED]
    return max(waiting, key=lambda stretch: stretch.length)


def _changes(tx: Tx, span: Span) -> Evidence:
    versions = reads.versions_between(tx, span.org, span.since, span.until)
    rollouts = reads.rollouts_between(tx, span.org, span.since, span.until)
    authors = reads.authors(tx, span.org, rollouts)
    alone = [r for r in rollouts if authors.get((r.policy, r.version)) == r.created_by]
    fine, total = recorded(tx, span, "policies.write", "rollouts.", phase="outcome", result="ok")
    result = share(len(rollouts) - len(alone), len(rollouts)) if rollouts else Result.MET
    if not rollouts and not versions:
        result = Result.NOT_EVIDENCED
    return evidence(
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


def _breadth(tx: Tx, span: Span, lines: list[Timeline]) -> Evidence:
    """Of what is in general use now, and of what any agent enforced in the period."""
    used = {
        (name, int(number))
        for line in lines
        for stretch in line.stretches
        if stretch.value == Outcome.APPLIED
        for name, number in stretch.detail.get("contents", {}).items()
    }
    used |= {(p.name, p.stable) for p in policies.policies_of(tx, span.org) if p.stable}
    versions = [found for key in sorted(used) if (found := policies.version(tx, span.org, *key))]
    wide = {f"{v.name} version {v.version}" for v in versions if any(map(_is_wide, _rules(v)))}
    return evidence(
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
