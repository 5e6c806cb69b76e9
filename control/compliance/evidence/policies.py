"""Policies: in force where they should be, changed by two people, and not wider than needed."""

from collections.abc import Iterable
from typing import Any, Final

from control.compliance import proofs
from control.compliance.evidence.common import Span, evidence, plural, recorded, share
from control.model.agents import Life
from control.model.compliance import Evidence, Result, SettingProof
from control.model.policies import Outcome, PolicyVersion
from control.store import compliance_reads as reads
from control.store import policies
from control.store.rows import Tx

_WIDE: Final = frozenset({"*", "**", "secret/*", "secret/**", "+/*"})
_STRONG: Final = frozenset({"*", "sudo", "root"})


def collect(tx: Tx, span: Span) -> list[Evidence]:
    """All that there is about policies."""
    return [_in_force(tx, span), _changes(tx, span), _breadth(tx, span)]


def _in_force(tx: Tx, span: Span) -> Evidence:
    active = {a.vault for a in reads.agents_of(tx, span.org) if a.life is Life.ACTIVE}
    rows = [row for row in reads.assignments_of(tx, span.org) if row.vault in active]
    behind = [r for r in rows if r.outcome is not Outcome.APPLIED or r.applied != r.version]
    with_rules = sum(1 for row in rows if row.contents)
    fine = [row for row in rows if row not in behind]
    failed = sum(row.outcome is Outcome.FAILED for row in behind)
    without = sorted(active - {row.vault for row in rows})
    return evidence(
        "policies.in-force",
        "Each agent enforces the policies that it should",
        share(len(fine), len(rows)),
        f"{len(fine)} of {plural(len(rows), 'agent')} that a policy is for enforce exactly the "
        f"bundle that is meant for them ({with_rules} have policies in it); {failed} refused it. "
        "Bundles are signed by the policy key, and each names the hash of the one before.",
        figures={"active": len(active), "in_force": len(fine), "refused": failed,
                 "without": len(without)},
        wrong=[proofs.policy(row) for row in behind],
        fine=[proofs.policy(row) for row in fine],
        exceptions=[row.vault for row in behind],
        lacking=f"For {plural(len(without), 'agent')} there never was a policy." if without else "",
    )  # fmt: skip


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


def _breadth(tx: Tx, span: Span) -> Evidence:
    stable = [
        found
        for policy in policies.policies_of(tx, span.org)
        if policy.stable and (found := policies.version(tx, span.org, policy.name, policy.stable))
    ]
    wide = {v.name: rule for v in stable for rule in _rules(v) if _is_wide(rule)}
    return evidence(
        "policies.breadth",
        "Policies give no more than is needed",
        Result.PARTLY if wide else (Result.MET if stable else Result.NOT_EVIDENCED),
        f"{len(wide)} of {plural(len(stable), 'policy', 'policies')} in general use allow "
        "everything on every path, or administer. What no rule allows is denied.",
        figures={"policies": len(stable), "wide": len(wide)},
        fine=[SettingProof(f"policy {v.name}", f"version {v.version} is stable") for v in stable],
        exceptions=wide,
        lacking="" if stable else "No policy is in general use; agents deny what none allows.",
    )  # fmt: skip


def _rules(version: PolicyVersion) -> Iterable[dict[str, Any]]:
    document = version.document if isinstance(version.document, dict) else {}
    return [rule for rule in document.get("rules", ()) if isinstance(rule, dict)]


def _is_wide(rule: dict[str, Any]) -> bool:
    if rule.get("effect") != "allow" or rule.get("conditions"):
        return False
    strong = _STRONG & set(rule.get("capabilities", ()))
    return bool(strong) and bool(_WIDE & set(rule.get("paths", ())))
