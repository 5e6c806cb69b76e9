"""Upkeep, as agents report it: backups, rotations, keys."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from control.compliance.evidence.common import Span, evidence, plural, share
from control.model.agents import Life
from control.model.compliance import Evidence, ReportedProof, Result
from control.model.records import Sample
from control.store import compliance_reads as reads
from control.store.rows import Tx
from protocols.instant import SECOND
from protocols.link.vocabulary import CommandName, CommandOutcome

Series = Mapping[str, Sequence[Sample]]
"""Vault → hours."""


def collect(tx: Tx, span: Span) -> list[Evidence]:
    """All that agents report of their upkeep."""
    active = [a.vault for a in reads.agents_of(tx, span.org) if a.life is Life.ACTIVE]
    return [_backups(tx, span, active), _rotations(tx, span, active), _keys(tx, span, active)]


def _backups(tx: Tx, span: Span, active: list[str]) -> Evidence:
    made = {v: grown(s) for v, s in _series(tx, span, "backups").items() if v in active}
    failed = {v: grown(s) for v, s in _series(tx, span, "backup_failures").items() if v in active}
    fine = [v for v in made if made[v] and not failed.get(v)]
    done, bad = sum(made.values()), sum(failed.values())
    known = bool(done or bad)
    return evidence(
        "upkeep.backups",
        "Backups are made",
        share(len(fine), len(active)) if known else Result.NOT_EVIDENCED,
        f"{plural(done, 'backup')} and {plural(bad, 'failure')} reported; {len(fine)} of "
        f"{plural(len(active), 'active agent')} made some without a failure.",
        figures={"active": len(active), "backups": done, "failures": bad},
        wrong=[_said(v, "backup_failures", n, span) for v, n in failed.items() if n],
        fine=[_said(v, "backups", made[v], span) for v in fine],
        exceptions=[v for v in active if v not in fine] if known else (),
        lacking="" if known else "No agent reported a backup in the period.",
    )


def _rotations(tx: Tx, span: Span, active: list[str]) -> Evidence:
    told = _series(tx, span, "rotations_due")
    due = {v: int(told[v][-1].last) for v in active if told.get(v)}
    done = sum(grown(s) for v, s in _series(tx, span, "rotations").items() if v in active)
    debt = [v for v, count in due.items() if count]
    overdue = sum(due.values())
    return evidence(
        "upkeep.rotations",
        "Secrets are rotated when they are due",
        share(len(due) - len(debt), len(active)) if due else Result.NOT_EVIDENCED,
        f"{plural(overdue, 'rotation')} overdue at {plural(len(debt), 'agent')}; {done} done in "
        f"the period. {len(due)} of {plural(len(active), 'active agent')} say how many are due.",
        figures={"overdue": overdue, "agents": len(debt), "done": done, "told": len(due)},
        wrong=[_said(v, "rotations_due", due[v], span) for v in debt],
        fine=[_said(v, "rotations_due", 0, span) for v in due if v not in debt],
        exceptions=[*debt, *(v for v in active if due and v not in due)],
        lacking="" if due else "No agent said how many rotations are due.",
    )


def _keys(tx: Tx, span: Span, active: list[str]) -> Evidence:
    wanted, done = str(CommandName.ROTATE_KEK), str(CommandOutcome.DONE)
    asked = [
        row
        for row in reads.commands_between(tx, span.org, span.since, span.until)
        if row.command == wanted
    ]
    changed = {row.vault for row in asked if row.outcome == done} & set(active)
    return evidence(
        "upkeep.keys",
        "Keys are changed",
        share(len(changed), len(active)) if changed else Result.NOT_EVIDENCED,
        f"{len(changed)} of {plural(len(active), 'active agent')} changed their key-encrypting "
        "key in the period because they were asked to. Each also does so by itself.",
        figures={"active": len(active), "asked": len(asked), "changed": len(changed)},
        fine=[
            ReportedProof(
                vault=row.vault,
                name=f"command {row.id} {wanted}",
                value=row.outcome or "no answer yet",
                at=row.done_at or row.created_at,
            )
            for row in asked
        ],
        exceptions=[vault for vault in active if changed and vault not in changed],
        lacking="Agents do not report the age of their keys.",
    )


def grown(samples: Sequence[Sample]) -> int:
    """By how much a total grew; one that begins anew has begun at 0."""
    steps = (b.last - a.last if b.last >= a.last else b.last for a, b in pairwise(samples))
    first = samples[0].high - samples[0].low if samples else 0
    return int(first + sum(steps))


def _series(tx: Tx, span: Span, name: str) -> Series:
    return reads.hours(tx, span.org, name, span.since // SECOND, span.until // SECOND)


def _said(vault: str, name: str, value: int, span: Span) -> ReportedProof:
    at = min(span.until, span.now)
    return ReportedProof(vault=vault, name=name, value=str(value), at=at)
