"""Queries that only the collection of evidence needs."""

from collections.abc import Iterable
from typing import Any, Final

import sqlalchemy as sa
from msgspec import Struct

from control.ca.store import IssuedCertificate
from control.model.agents import Agent
from control.model.people import Role
from control.model.policies import AssignmentState, PolicyVersion, Rollout, SignedAssignment
from control.model.records import Alert, Sample, Severity, WitnessedCheckpoint
from control.store.rows import Tx, fetch_all, to_struct
from control.store.tables import (
    agents,
    alerts,
    assignments,
    ca_certificates,
    memberships,
    policy_versions,
    rollouts,
    samples,
    second_factors,
    series,
    users,
    witnessed,
)
from control.store.usage import HOUR
from protocols.link.fields import SIGNATURE_SIZE
from protocols.pki.names import AgentName

MAX_ROWS: Final = 10_000
"""Rows of a kind that one report looks at: alerts, commands, versions, roll-outs."""


class PersonRow(Struct, frozen=True):
    """Somebody who may act in the organization."""

    name: str
    role: Role
    guarded: bool
    """Whether there is a second factor in force."""
    last: int
    """When they last signed in; when the account was made if that never happened."""


def list_persons(tx: Tx, org: str) -> list[PersonRow]:
    """Everybody whose account is not disabled, guests included."""
    u, f, m = users.c, second_factors.c, memberships.c
    columns = u.org, u.name, u.last_login, u.created_at, f.confirmed
    mine = sa.and_(f.org == u.org, f.name == u.name)
    whole = sa.select(*columns, u.role).select_from(users.outerjoin(second_factors, mine))
    home = whole.where(u.org == org, sa.not_(u.disabled))
    guests = (
        sa.select(*columns, m.role)
        .select_from(
            memberships.join(users, sa.and_(u.org == m.home, u.name == m.name)).outerjoin(
                second_factors, mine
            )
        )
        .where(m.org == org, sa.not_(u.disabled))
    )
    return [
        PersonRow(f"{home_}/{name}", Role(role), bool(confirmed), last or made)
        for chosen in (home, guests)
        for home_, name, last, made, confirmed, role in tx.execute(chosen)
    ]


def list_agents(tx: Tx, org: str) -> list[Agent]:
    """All of an organization, by name."""
    t = agents.c
    return fetch_all(tx, Agent, agents.select().where(t.org == org).order_by(t.vault))


def signed_assignments(tx: Tx, org: str) -> list[SignedAssignment]:
    """What each agent should have, by name; no bundle is read for it."""
    t = assignments.c
    signature = sa.func.substr(t.bundle, 1, SIGNATURE_SIZE, type_=sa.LargeBinary())
    standing = (t[name] for name in AssignmentState.__struct_fields__)
    chosen = sa.select(*standing, signature.label("signature")).where(t.org == org)
    return fetch_all(tx, SignedAssignment, chosen.order_by(t.vault))


def witnessed_checkpoints(tx: Tx, org: str) -> list[WitnessedCheckpoint]:
    """The newest cosigned checkpoint of each agent."""
    return fetch_all(tx, WitnessedCheckpoint, witnessed.select().where(witnessed.c.org == org))


def newest_certificates(tx: Tx, org: str) -> dict[str, IssuedCertificate]:
    """Of each agent the one of the highest generation."""
    t = ca_certificates.c
    chosen = ca_certificates.select().where(t.org == org).order_by(t.generation, t.serial)
    return {issued.name.vault: issued for issued in _issued(tx, chosen)}


def revoked_certificates(tx: Tx, org: str, since: int, until: int) -> list[IssuedCertificate]:
    """Those that were revoked in the period, the oldest first."""
    t = ca_certificates.c
    within = t.revoked_at >= since, t.revoked_at < until
    return _issued(
        tx,
        ca_certificates.select()
        .where(t.org == org, *within)
        .order_by(t.revoked_at)
        .limit(MAX_ROWS),
    )


def alerts_between(tx: Tx, org: str, since: int, until: int) -> list[Alert]:
    """The newest first."""
    return fetch_all(tx, Alert, _between(alerts, alerts.c.at, org, since, until))


def critical_alerts_before(tx: Tx, org: str, until: int) -> list[Alert]:
    """Critical ones that were raised before and not over by then, the newest first; of any age."""
    a = alerts.c
    lasts = sa.or_(a.ended_at == 0, a.ended_at >= until)
    mine = a.org == org, a.severity == Severity.CRITICAL, a.at < until, lasts
    chosen = sa.select(alerts).where(*mine)
    return fetch_all(tx, Alert, chosen.order_by(a.at.desc(), a.id).limit(MAX_ROWS))


def versions_between(tx: Tx, org: str, since: int, until: int) -> list[PolicyVersion]:
    """Versions of policies that were written in the period, the newest first."""
    chosen = _between(policy_versions, policy_versions.c.created_at, org, since, until)
    return fetch_all(tx, PolicyVersion, chosen)


def rollouts_between(tx: Tx, org: str, since: int, until: int) -> list[Rollout]:
    """Roll-outs that were begun in the period, the newest first."""
    return fetch_all(tx, Rollout, _between(rollouts, rollouts.c.created_at, org, since, until))


def version_authors(tx: Tx, org: str, begun: Iterable[Rollout]) -> dict[tuple[str, int], str]:
    """Policy and version → who wrote it, of what these roll-outs brought."""
    t = policy_versions.c
    names = sorted({rollout.policy for rollout in begun})
    chosen = sa.select(t.name, t.version, t.created_by).where(t.org == org, t.name.in_(names))
    return {(name, version): by for name, version, by in tx.execute(chosen)}


def sample_hours(tx: Tx, org: str, name: str, since: int, until: int) -> dict[str, list[Sample]]:
    """Vault → the hours of this series in a time of Unix seconds."""
    s, t = series.c, samples.c
    chosen = (
        sa.select(s.vault, *(t[field] for field in Sample.__struct_fields__))
        .select_from(series.join(samples, t.series == s.id))
        .where(s.org == org, s.name == name, t.resolution == HOUR)
        .where(t.at >= since - since % HOUR, t.at < until)
        .order_by(s.vault, t.at)
    )
    found: dict[str, list[Sample]] = {}
    for row in tx.execute(chosen).mappings():
        found.setdefault(row["vault"], []).append(to_struct(Sample, row))
    return found


def _between(
    table: sa.Table, at: sa.ColumnElement[int], org: str, since: int, until: int
) -> sa.Select[Any]:
    within = table.c.org == org, at >= since, at < until
    return table.select().where(*within).order_by(at.desc()).limit(MAX_ROWS)


def _issued(tx: Tx, chosen: sa.Select[Any]) -> list[IssuedCertificate]:
    return [
        to_struct(IssuedCertificate, row, name=AgentName(row["org"], row["vault"]))
        for row in tx.execute(chosen).mappings()
    ]
