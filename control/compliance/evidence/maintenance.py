"""Evidence about maintenance, as agents report it: rotations, keys."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from control.compliance.evidence.assessment import (
    Period,
    assess_share,
    describe_unknown,
    make_evidence,
    plural,
    read_timelines,
    share_result,
)
from control.compliance.evidence.timeline import (
    Timeline,
    longest_interval,
    state_proof,
    union_of,
    unknown_periods,
)
from control.model.agents import Life
from control.model.backups import judge_backups
from control.model.compliance import Evidence, ReportedProof, Result
from control.model.history import Aspect
from control.model.records import Sample
from control.model.reported_values import clamp_count
from control.model.rotations import VaultRotations, judge_rotations
from control.model.usage import newest_by_vault
from control.model.vault_reports import vault_key
from control.services.usage import count_above
from control.store import agents, usage
from control.store import compliance_queries as reads
from control.store.rows import Tx
from control.store.vault_reports import backups, rotations
from protocols.instant import DAY, SECOND, rfc3339
from protocols.link.vocabulary import BackupState

MAX_KEY_AGE: Final = 90
"""Days after which a secret should have another version: one of the link's classes."""
NO_BACKUPS: Final = (
    "No agent reported a backup in the period. Turn them on (backup.enabled), or show by hand that "
    "the agents' databases and keys are copied, and that a copy was put back."
)
NO_RESTORES: Final = (
    "No agent reported backups, so no restore of one is proven: show by hand that a copy was put "
    "back."
)
NO_ROTATION_POLICIES: Final = (
    "No agent reported a secret with a rotation policy. Set policies, or show by hand how "
    "credentials are changed."
)
VaultAgents = Mapping[str, Sequence[str]]
"""`vault_key` → active agents of the vault."""
Series = Mapping[str, Sequence[Sample]]
"""Vault → hours."""


def collect_maintenance(tx: Tx, span: Period) -> list[Evidence]:
    """All evidence from agents' reports of their maintenance."""
    agents_ = [a for a in reads.list_agents(tx, span.org) if a.life is Life.ACTIVE]
    active = [a.vault for a in agents_]
    vaults: dict[str, list[str]] = {}
    for agent in agents_:
        vaults.setdefault(vault_key(agent.vault, agent.vault_id), []).append(agent.vault)
    return [
        _backups(tx, span, vaults),
        _restores(tx, span, vaults),
        _rotations(tx, span, active),
        _rotation_debt(tx, span, vaults),
        _keys(tx, span, active),
    ]


def _backups(tx: Tx, span: Period, vaults: VaultAgents) -> Evidence:
    """By vault: whichever of its nodes made them. An unknown failure counts for its vault."""
    made = {v: total_growth(s) for v, s in _series(tx, span, "backups").items()}
    failed = {v: total_growth(s) for v, s in _series(tx, span, "backup_failures").items()}
    reports = backups.list_organization_reports(tx, span.org)
    fine: dict[str, int] = {}
    for key, names in vaults.items():
        newest = max((row.newest for row in reports.get(key, ())), default=0)
        count = sum(made.get(name, 0) for name in names)
        count = count or int(span.since <= newest < span.end)
        if count and not any(failed.get(name) for name in names):
            fine[key] = count
    active = [name for names in vaults.values() for name in names]
    done = sum(made.get(name, 0) for name in active)
    bad = {name: failed[name] for name in active if failed.get(name)}
    failures = sum(bad.values())
    known = bool(done or failures or fine)
    return make_evidence(
        "upkeep.backups",
        "Backups are made",
        share_result(len(fine), len(vaults)) if known else Result.NOT_EVIDENCED,
        f"{plural(done, 'backup')} and {plural(failures, 'failure')} reported; {len(fine)} of "
        f"{plural(len(vaults), 'vault')} made some without a failure.",
        figures={"vaults": len(vaults), "backups": done, "failures": failures},
        wrong=[_reported_value(v, "backup_failures", n, span) for v, n in bad.items()],
        fine=[_reported_value(vaults[key][0], "backups", n, span) for key, n in fine.items()],
        exceptions=[names[0] for key, names in vaults.items() if key not in fine] if known else (),
        lacking="" if known else NO_BACKUPS,
    )


def _restores(tx: Tx, span: Period, vaults: VaultAgents) -> Evidence:
    """As of each vault's newest report."""
    reports = backups.list_organization_reports(tx, span.org)
    now = min(span.until, span.now)
    judged = {key: judge_backups(reports.get(key, ()), now) for key in vaults}
    told = {key: each for key, each in judged.items() if each is not None}
    making = {key: each for key, each in told.items() if each.state is not BackupState.OFF}
    fine = {key: each for key, each in told.items() if each.is_fresh}
    longest = max((each.rto for each in fine.values()), default=0)
    return make_evidence(
        "upkeep.restores",
        "Backups are proven by restores",
        share_result(len(fine), len(vaults)) if making else Result.NOT_EVIDENCED,
        f"{len(fine)} of {plural(len(vaults), 'vault')} have a restore certificate that proves a "
        f"recent backup, as of their newest report; the longest such restore took {longest} s.",
        figures={"vaults": len(vaults), "told": len(told), "proven": len(fine), "rto": longest},
        wrong=[
            ReportedProof(
                vault=vaults[key][0],
                name="backup proven by a restore",
                value=rfc3339(each.proven) if each.proven else "never",
                at=now,
            )
            for key, each in told.items()
            if key not in fine
        ],
        fine=[
            ReportedProof(
                vault=vaults[key][0],
                name="restore certificate",
                value=each.certificate_hex,
                at=each.proven,
            )
            for key, each in fine.items()
        ],
        exceptions=[names[0] for key, names in vaults.items() if key not in fine] if making else (),
        lacking="" if making else NO_RESTORES,
    )


def _rotations(tx: Tx, span: Period, active: list[str]) -> Evidence:
    looks = {
        look.vault: look
        for look in usage.list_inventories(tx, span.org, "")
        if look.vault in active
    }
    debt = {vault: count_above(look.age, MAX_KEY_AGE) for vault, look in looks.items()}
    owing = [vault for vault, count in debt.items() if count]
    by_vault = newest_by_vault(looks.values(), agents.list_vault_ids(tx, span.org))
    due = sum(debt[look.vault] for look in by_vault)
    total = sum(look.total for look in by_vault)
    result = share_result(len(looks) - len(owing), len(active)) if looks else Result.NOT_EVIDENCED
    return make_evidence(
        "upkeep.rotations",
        "Secrets are rotated",
        result,
        f"{due} of {plural(total, 'secret')} of {plural(len(looks), 'agent')} that told of them "
        f"have a version in use that is older than {MAX_KEY_AGE} days, as of their newest look.",
        figures={"secrets": total, "overdue": due, "agents": len(owing), "told": len(looks)},
        wrong=[_reported_count(vault, looks[vault].at, debt[vault]) for vault in owing],
        fine=[_reported_count(vault, looks[vault].at, 0) for vault in looks if vault not in owing],
        exceptions=[*owing, *(v for v in active if looks and v not in looks)],
        lacking="" if looks else "No agent tells how old its secrets are (share_usage).",
    )  # fmt: skip


def _rotation_debt(tx: Tx, span: Period, vaults: VaultAgents) -> Evidence:
    """As of each vault's newest report, and by what has become due since."""
    reports = rotations.list_organization_reports(tx, span.org)
    now = min(span.until, span.now)
    judged = {key: judge_rotations(reports.get(key, ()), now) for key in vaults}
    told = {key: each for key, each in judged.items() if each is not None and each.counts.policies}
    fine = {key: each for key, each in told.items() if not each.owed}
    owed = sum(each.owed for each in told.values())
    managed = sum(each.counts.policies for each in told.values())
    return make_evidence(
        "upkeep.rotation-debt",
        "Rotations are made when they are due",
        share_result(len(fine), len(vaults)) if told else Result.NOT_EVIDENCED,
        f"{owed} of {plural(managed, 'secret')} with a rotation policy are overdue or wait for a "
        f"person; {len(fine)} of {plural(len(vaults), 'vault')} have rotation policies and owe no "
        "rotation, as of their newest report.",
        figures={"vaults": len(vaults), "told": len(told), "secrets": managed, "owed": owed},
        wrong=[_reported_debt(vaults[key][0], each) for key, each in told.items()
               if key not in fine],
        fine=[_reported_debt(vaults[key][0], each) for key, each in fine.items()],
        exceptions=[names[0] for key, names in vaults.items() if key not in fine] if told else (),
        lacking="" if told else NO_ROTATION_POLICIES,
    )  # fmt: skip


def _reported_debt(vault: str, seen: VaultRotations) -> ReportedProof:
    return ReportedProof(
        vault=vault, name="rotations owed", value=str(seen.owed), at=seen.counts.counted_at
    )


def _reported_count(vault: str, at: int, count: int) -> ReportedProof:
    name = f"secrets older than {MAX_KEY_AGE} days"
    return ReportedProof(vault=vault, name=name, value=str(count), at=at * SECOND)


def _keys(tx: Tx, span: Period, active: list[str]) -> Evidence:
    lines = [line for line in read_timelines(tx, span, Aspect.KEY) if line.subject in active]
    late = [line for line in lines if _is_late(line)]
    changed = [line for line in lines if len({s.value for s in line.intervals}) > 1]
    silent = sorted(set(active) - {line.subject for line in lines})
    unsure = unknown_periods(lines)
    fine = len(lines) - len(late)
    return make_evidence(
        "upkeep.keys",
        "Keys are changed when they are due",
        assess_share(fine, len(active), unsure) if lines else Result.NOT_EVIDENCED,
        f"{fine} of {plural(len(active), 'active agent')} changed their key-encrypting key within "
        f"a day of when it was due, or it was not; {len(changed)} changed it in the period. When "
        "it is due by age or by use is for each agent to judge; it changes it by itself.",
        figures={"active": len(active), "told": len(lines), "late": len(late),
                 "changed": len(changed), "unknown": len(unsure)},
        wrong=[state_proof(Aspect.KEY, line.intervals[-1]) for line in late],
        fine=[state_proof(Aspect.KEY, s) for line in lines if line not in late
              for s in line.intervals],
        exceptions=[*(line.subject for line in late), *silent] if lines else (),
        lacking=" ".join(filter(None, (
            describe_unknown(unsure),
            f"{plural(len(silent), 'agent')} never told of a key." if silent else "",
        ))),
    )  # fmt: skip


def _is_late(line: Timeline) -> bool:
    """Whether a rotation was due for more than a day at a stretch.

    Agents check every few minutes, and may be sealed.
    """
    due = union_of((s.since, s.until) for s in line.intervals if s.detail["due"])
    return longest_interval(due) > DAY


def total_growth(samples: Sequence[Sample]) -> int:
    """The growth of a total; one that is smaller than before has begun at 0."""
    steps = (b.last - a.last if b.last >= a.last else b.last for a, b in pairwise(samples))
    first = samples[0].high - samples[0].low if samples else 0
    return clamp_count(int(first + sum(steps)))


def _series(tx: Tx, span: Period, name: str) -> Series:
    return reads.sample_hours(tx, span.org, name, span.since // SECOND, span.until // SECOND)


def _reported_value(vault: str, name: str, value: int, span: Period) -> ReportedProof:
    at = min(span.until, span.now)
    return ReportedProof(vault=vault, name=name, value=str(value), at=at)
