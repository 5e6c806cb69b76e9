"""The CA's ledger (`control.ca.store.CaStore`) in the database."""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from msgspec import Struct

from control.ca.store import (
    CaTransaction,
    EnrolledAgent,
    EnrolmentToken,
    IssuedCertificate,
    JoinCounts,
    JoinRecord,
    JoinState,
)
from control.crypto import sha256
from control.model.agents import Life, new_agent, with_life
from control.model.history import Aspect, StateChange
from control.model.records import Alert
from control.store import agents, alerts, people
from control.store.history import record_changes
from control.store.legal_holds import is_held
from control.store.rows import Tx, select_by_key, to_columns, to_struct, upsert_statement
from control.store.store import Store
from control.store.tables import ca_agents, ca_certificates, ca_joins, ca_tokens
from protocols.pki.names import AgentName

T = TypeVar("T")
R = TypeVar("R", bound=Struct)

_NO_NAME: Final = ""
_AGENT: Final = select_by_key(ca_agents)
_CERTIFICATE: Final = sa.select(ca_certificates).where(
    ca_certificates.c.serial == sa.bindparam("serial")
)
_CERTIFICATE_OF: Final = sa.select(ca_certificates).where(
    ca_certificates.c.key == sa.bindparam("key", type_=ca_certificates.c.key.type)
)


class SqlCaStore:
    """Transactions of the ledger."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def transact(self, step: Callable[[CaTransaction], T]) -> T:
        """See `CaStore`; raises `UnavailableError` when the database does not work."""
        return await self._store.write(lambda tx: step(SqlCaTransaction(tx)))


def revoked_serials(tx: Tx, now: int) -> frozenset[str]:
    """Serials of certificates that were revoked and have not expired."""
    t = ca_certificates.c
    chosen = sa.select(t.serial).where(t.revoked_at.is_not(None), t.not_after >= now)
    return frozenset(tx.execute(chosen).scalars())


def unused_approvals(tx: Tx, account: str) -> list[JoinRecord]:
    """Requests to join that an account has approved and that no agent has used."""
    j, c = ca_joins.c, ca_certificates.c
    used = sa.exists().where(c.key == j.key)
    chosen = sa.select(ca_joins).where(
        j.state == JoinState.APPROVED, j.decided_by == account, ~used
    )
    return [_join(row) for row in tx.execute(chosen.order_by(j.id)).mappings()]


class SqlCaTransaction:
    """One transaction, also for steps that change other tables."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    def has_organization(self, org: str) -> bool:
        """By id."""
        return people.get_organization(self._tx, org) is not None

    def token(self, token_hash: bytes) -> EnrolmentToken | None:
        """The token with this hash."""
        chosen = sa.select(ca_tokens).where(ca_tokens.c.hash == token_hash)  # not secret: SQL
        return self._first_row(EnrolmentToken, chosen)

    def tokens(self, org: str, limit: int) -> Sequence[EnrolmentToken]:
        """Newest first."""
        t = ca_tokens.c
        chosen = sa.select(ca_tokens).where(t.org == org)
        return self._all_rows(
            EnrolmentToken, chosen.order_by(t.created_at.desc(), t.id.desc()).limit(limit)
        )

    def put_token(self, token: EnrolmentToken) -> None:
        """Add or replace."""
        self._put(ca_tokens, ("id",), _row_of(token))

    def delete_token(self, org: str, token_id: str) -> bool:
        """Remove; whether it was there."""
        t = ca_tokens.c
        return (
            self._tx.execute(ca_tokens.delete().where(t.org == org, t.id == token_id)).rowcount > 0
        )

    def agent(self, name: AgentName) -> EnrolledAgent | None:
        """The agent of this name."""
        return self._first_row(EnrolledAgent, _AGENT, org=name.org, vault=name.vault)

    def put_agent(self, agent: EnrolledAgent) -> None:
        """Add or replace."""
        self._put(ca_agents, ("org", "vault"), _row_of(agent))
        self._follow(agent)

    def _follow(self, agent: EnrolledAgent) -> None:
        """Change the agent's life in the registry in the same transaction."""
        life = Life(agent.state.value)
        known = agents.get_agent(self._tx, *agent.name)
        if known is None:
            agents.add_agent(self._tx, new_agent(*agent.name, life, now=agent.changed_at))
        elif known.life is not life:
            agents.put_agent(self._tx, with_life(known, life, agent.reason, now=agent.changed_at))
            alerts.follow_life(self._tx, *agent.name, life, agent.changed_at)

    def certificate(self, serial: str) -> IssuedCertificate | None:
        """By serial."""
        return self._first_row(IssuedCertificate, _CERTIFICATE, serial=serial)

    def certificate_of(self, key: bytes) -> IssuedCertificate | None:
        """By key."""
        return self._first_row(IssuedCertificate, _CERTIFICATE_OF, key=key)

    def certificates(self, name: AgentName, now: int) -> Sequence[IssuedCertificate]:
        """Unexpired ones, by generation."""
        t = ca_certificates.c
        chosen = sa.select(ca_certificates).where(
            *_named(ca_certificates, name), t.not_after >= now
        )
        return self._all_rows(IssuedCertificate, chosen.order_by(t.generation, t.serial))

    def put_certificate(self, issued: IssuedCertificate) -> None:
        """Add or replace. Raises `ValueError` for a key that another one has."""
        other = self.certificate_of(issued.key)
        if other is not None and other.serial != issued.serial:
            raise ValueError("this key has a certificate already")
        self._put(ca_certificates, ("serial",), _row_of(issued))
        record_changes(self._tx, [certificate_turn(issued)])

    def join(self, join_id: str) -> JoinRecord | None:
        """By id."""
        return self._join(sa.select(ca_joins).where(ca_joins.c.id == join_id))

    def join_of(self, key: bytes) -> JoinRecord | None:
        """By key."""
        return self._join(sa.select(ca_joins).where(ca_joins.c.key == key))

    def put_join(self, join: JoinRecord) -> None:
        """Add or replace. Raises `ValueError` for a key that another one has."""
        other = self.join_of(join.key)
        if other is not None and other.id != join.id:
            raise ValueError("this key asks already")
        row = to_columns(join)
        name: AgentName | None = row.pop("name")
        row["given_org"] = _NO_NAME if name is None else name.org
        row["given_vault"] = _NO_NAME if name is None else name.vault
        self._put(ca_joins, ("id",), row)

    def joins(
        self, org: str | None, state: JoinState, now: int, limit: int
    ) -> Sequence[JoinRecord]:
        """Unexpired, oldest first."""
        t = ca_joins.c
        chosen = sa.select(ca_joins).where(t.state == state, t.expires_at > now)
        if org is not None:
            chosen = chosen.where(t.org == org)
        rows = self._tx.execute(chosen.order_by(t.requested_at, t.id).limit(limit)).mappings()
        return [_join(row) for row in rows]

    def count_joins(self, join: JoinRecord, since: int) -> JoinCounts:
        """Who else asks; every pending one is looked at, which their bound allows."""
        t = ca_joins.c
        pending = sa.select(
            sa.func.count(), _among(t.org, join.org), _among(t.client, join.client),
            _among(t.site, join.site),
        ).where(
            t.state == JoinState.PENDING, t.expires_at > join.requested_at, t.id != join.id
        )  # fmt: skip
        lately = sa.select(sa.func.count(), _among(t.org, join.org)).where(
            t.requested_at >= since, t.id != join.id
        )
        every, of_org, of_client, of_site = self._tx.execute(pending).one()
        late, late_of_org = self._tx.execute(lately).one()
        return JoinCounts(
            pending=every,
            of_org=of_org,
            of_client=of_client,
            of_site=of_site,
            lately=late,
            lately_of_org=late_of_org,
        )

    def latest_expiry(self) -> int:
        """By the index of ends; 0 for none."""
        t = ca_certificates.c
        chosen = sa.select(t.not_after).where(t.revoked_at.is_(None))
        found = self._tx.execute(chosen.order_by(t.not_after.desc()).limit(1)).scalar()
        return 0 if found is None else int(found)

    def raise_alert(self, alert: Alert) -> None:
        """Store the alert with its notices."""
        alerts.fire_alerts(self._tx, alert)

    def delete_expired(self, before: int) -> int:
        """Remove what expired before; what an agent may come back by stays."""
        old, newer = ca_certificates, ca_certificates.alias()
        superseded = sa.exists().where(
            newer.c.org == old.c.org,
            newer.c.vault == old.c.vault,
            newer.c.generation > old.c.generation,
        )
        agent = ca_agents
        last_seen = sa.exists().where(
            agent.c.org == old.c.org,
            agent.c.vault == old.c.vault,
            agent.c.confirmed <= old.c.generation,
        )
        return sum(
            self._tx.execute(statement).rowcount
            for statement in (
                ca_tokens.delete().where(
                    ca_tokens.c.expires_at < before,
                    ~is_held(ca_tokens.c.org, ca_tokens.c.created_at, ca_tokens.c.vault),
                ),
                ca_joins.delete().where(
                    ca_joins.c.expires_at < before,
                    ~is_held(ca_joins.c.org, ca_joins.c.requested_at),
                ),
                old.delete().where(
                    old.c.not_after < before,
                    superseded,
                    ~last_seen,
                    ~is_held(old.c.org, old.c.not_before, old.c.vault),
                ),
            )
        )

    def _join(self, statement: sa.Select[Any]) -> JoinRecord | None:
        row = self._tx.execute(statement).mappings().first()
        return None if row is None else _join(row)

    def _first_row(self, shape: type[R], statement: sa.Select[Any], **values: Any) -> R | None:
        row = self._tx.execute(statement, values).mappings().first()
        return None if row is None else _struct_of(shape, row)

    def _all_rows(self, shape: type[R], statement: sa.Select[Any]) -> list[R]:
        return [_struct_of(shape, row) for row in self._tx.execute(statement).mappings()]

    def _put(self, table: sa.Table, keys: tuple[str, ...], row: dict[str, Any]) -> None:
        insert = upsert_statement(self._tx, table)
        others = {name: insert.excluded[name] for name in row if name not in keys}
        self._tx.execute(
            insert.on_conflict_do_update(index_elements=list(keys), set_=others), [row]
        )


def certificate_turn(issued: IssuedCertificate) -> StateChange:
    """That it was issued, or revoked."""
    revoked = issued.revoked_at or 0
    return StateChange(
        org=issued.name.org,
        aspect=Aspect.CERTIFICATE,
        subject=issued.name.vault,
        at=revoked or issued.not_before,
        value=issued.serial,
        detail={
            "generation": issued.generation,
            "issuer": issued.issuer,
            "not_before": issued.not_before,
            "not_after": issued.not_after,
            "revoked_at": revoked,
            "digest": sha256(issued.der).hex(),
        },
    )


def _among(column: sa.ColumnElement[str], value: str) -> sa.ColumnElement[int]:
    """Of the chosen rows, how many have this."""
    return sa.func.count(sa.case((column == value, 1)))


def _named(table: sa.Table, name: AgentName) -> tuple[sa.ColumnElement[bool], ...]:
    return (table.c.org == name.org, table.c.vault == name.vault)


def _row_of(row: Struct) -> dict[str, Any]:
    """The struct's fields, its name as two columns."""
    fields = to_columns(row)
    name: AgentName = fields.pop("name")
    return {**fields, "org": name.org, "vault": name.vault}


def _struct_of(shape: type[R], row: sa.RowMapping) -> R:
    return to_struct(shape, row, name=AgentName(row["org"], row["vault"]))


def _join(row: sa.RowMapping) -> JoinRecord:
    org, vault = row["given_org"], row["given_vault"]
    return to_struct(JoinRecord, row, name=None if org == _NO_NAME else AgentName(org, vault))
