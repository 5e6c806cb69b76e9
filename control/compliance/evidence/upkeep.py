"""Upkeep, as agents report it: backups, rotations, keys."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from control.compliance.evidence.common import (
    Span,
    evidence,
    history_of,
    judged,
    lacking_of,
    plural,
    share,
)
from control.compliance.evidence.timeline import (
    HOUR,
    Timeline,
    joined,
    longest,
    proof,
    unknown,
)
from control.model.agents import Life
from control.model.claims import counted
from control.model.compliance import Evidence, ReportedProof, Result
from control.model.history import Aspect
from control.model.records import Sample
from control.services.usage import above
from control.store import compliance_reads as reads
from control.store import usage
from control.store.rows import Tx
from protocols.instant import SECOND

OLD: Final = 90
"""Days after which a secret should have another version: one of the link's classes."""
DAY: Final = 24 * HOUR
NO_BACKUPS: Final = (
    "No agent reported a backup in the period. Agents of this release make none: show by hand that "
    "their databases and keys are copied, and that a copy was put back."
)
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
        lacking="" if known else NO_BACKUPS,
    )


def _rotations(tx: Tx, span: Span, active: list[str]) -> Evidence:
    looks = {look.vault: look for look in usage.looks(tx, span.org, "") if look.vault in active}
    debt = {vault: above(look.age, OLD) for vault, look in looks.items()}
    owing = [vault for vault, count in debt.items() if count]
    due, total = sum(debt.values()), sum(look.total for look in looks.values())
    result = share(len(looks) - len(owing), len(active)) if looks else Result.NOT_EVIDENCED
    return evidence(
        "upkeep.rotations",
        "Secrets are rotated",
        result,
        f"{due} of {plural(total, 'secret')} of {plural(len(looks), 'agent')} that told of them "
        f"have a version in use that is older than {OLD} days, as of their newest look.",
        figures={"secrets": total, "overdue": due, "agents": len(owing), "told": len(looks)},
        wrong=[_told(vault, looks[vault].at, debt[vault]) for vault in owing],
        fine=[_told(vault, looks[vault].at, 0) for vault in looks if vault not in owing],
        exceptions=[*owing, *(v for v in active if looks and v not in looks)],
        lacking="" if looks else "No agent tells how old its secrets are (share_usage).",
    )  # fmt: skip


def _told(vault: str, at: int, count: int) -> ReportedProof:
    name = f"secrets older than {OLD} days"
    return ReportedProof(vault=vault, name=name, value=str(count), at=at * SECOND)


def _keys(tx: Tx, span: Span, active: list[str]) -> Evidence:
    lines = [line for line in history_of(tx, span, Aspect.KEY) if line.subject in active]
    late = [line for line in lines if _is_late(line)]
    changed = [line for line in lines if len({s.value for s in line.stretches}) > 1]
    silent = sorted(set(active) - {line.subject for line in lines})
    unsure = unknown(lines)
    fine = len(lines) - len(late)
    return evidence(
        "upkeep.keys",
        "Keys are changed when they are due",
        judged(fine, len(active), unsure) if lines else Result.NOT_EVIDENCED,
        f"{fine} of {plural(len(active), 'active agent')} changed their key-encrypting key within "
        f"a day of when it was due, or it was not; {len(changed)} changed it in the period. When "
        "it is due by age or by use is for each agent to judge; it changes it by itself.",
        figures={"active": len(active), "told": len(lines), "late": len(late),
                 "changed": len(changed), "unknown": len(unsure)},
        wrong=[proof(Aspect.KEY, line.stretches[-1]) for line in late],
        fine=[proof(Aspect.KEY, s) for line in lines if line not in late for s in line.stretches],
        exceptions=[*(line.subject for line in late), *silent] if lines else (),
        lacking=" ".join(filter(None, (
            lacking_of(unsure),
            f"{plural(len(silent), 'agent')} never told of a key." if silent else "",
        ))),
    )  # fmt: skip


def _is_late(line: Timeline) -> bool:
    """Due for more than a day at a stretch: an agent looks every few minutes, and may be sealed."""
    due = joined((s.since, s.until) for s in line.stretches if s.detail["due"])
    return longest(due) > DAY


def grown(samples: Sequence[Sample]) -> int:
    """By how much a total grew; one that begins anew has begun at 0."""
    steps = (b.last - a.last if b.last >= a.last else b.last for a, b in pairwise(samples))
    first = samples[0].high - samples[0].low if samples else 0
    return counted(int(first + sum(steps)))


def _series(tx: Tx, span: Span, name: str) -> Series:
    return reads.hours(tx, span.org, name, span.since // SECOND, span.until // SECOND)


def _said(vault: str, name: str, value: int, span: Span) -> ReportedProof:
    at = min(span.until, span.now)
    return ReportedProof(vault=vault, name=name, value=str(value), at=at)
