"""A ledger in memory for simulations and tests, held to the store's contract."""

from collections.abc import Callable, Container, Iterable, Sequence
from hmac import compare_digest
from typing import TypeVar

import trio

from control.ca.store import (
    CaTransaction,
    EnrolledAgent,
    EnrolmentToken,
    IssuedCertificate,
    JoinCounts,
    JoinRecord,
    JoinState,
)
from control.model.records import Alert
from protocols.pki.names import AgentName

T = TypeVar("T")


class MemoryCaStore:
    """Transactions one after the other, each on a copy."""

    def __init__(self, organizations: Container[str] | None = None) -> None:
        """`organizations`: those that there are; None: every one."""
        self._committed = MemoryCaTransaction(organizations)

    async def transact(self, step: Callable[[CaTransaction], T]) -> T:
        """See `CaStore`. A checkpoint; then no other task runs until it is done."""
        await trio.lowlevel.checkpoint()
        tx = self._committed.copy()
        result = step(tx)
        self._committed = tx
        return result


class MemoryCaTransaction:
    """See `CaTransaction`."""

    def __init__(self, organizations: Container[str] | None = None) -> None:
        self._organizations = organizations
        self._tokens: dict[str, EnrolmentToken] = {}
        self._agents: dict[AgentName, EnrolledAgent] = {}
        self._certificates: dict[str, IssuedCertificate] = {}
        self._serials: dict[bytes, str] = {}
        self._joins: dict[str, JoinRecord] = {}
        self._alerts: dict[str, Alert] = {}

    def copy(self) -> "MemoryCaTransaction":
        """The same rows; they are frozen, so copying the tables is enough."""
        made = MemoryCaTransaction(self._organizations)
        for table, rows in vars(self).items():
            if isinstance(rows, dict):
                setattr(made, table, dict(rows))
        return made

    def has_organization(self, org: str) -> bool:
        """By id."""
        return self._organizations is None or org in self._organizations

    def token(self, token_hash: bytes) -> EnrolmentToken | None:
        """By hash."""
        return _first(t for t in self._tokens.values() if compare_digest(t.hash, token_hash))

    def tokens(self, org: str, limit: int) -> Sequence[EnrolmentToken]:
        """Newest first."""
        own = [t for t in self._tokens.values() if t.name.org == org]
        return sorted(own, key=lambda t: (t.created_at, t.id), reverse=True)[:limit]

    def put_token(self, token: EnrolmentToken) -> None:
        """Add or replace."""
        self._tokens[token.id] = token

    def delete_token(self, org: str, token_id: str) -> bool:
        """Remove; whether it was there."""
        token = self._tokens.get(token_id)
        if token is None or token.name.org != org:
            return False
        del self._tokens[token_id]
        return True

    def agent(self, name: AgentName) -> EnrolledAgent | None:
        """By name."""
        return self._agents.get(name)

    def put_agent(self, agent: EnrolledAgent) -> None:
        """Add or replace."""
        self._agents[agent.name] = agent

    def certificate(self, serial: str) -> IssuedCertificate | None:
        """By serial."""
        return self._certificates.get(serial)

    def certificate_of(self, key: bytes) -> IssuedCertificate | None:
        """By key."""
        serial = self._serials.get(key)
        return None if serial is None else self._certificates[serial]

    def certificates(self, name: AgentName, now: int) -> Sequence[IssuedCertificate]:
        """Unexpired ones, by generation."""
        own = [i for i in self._certificates.values() if i.name == name and i.not_after >= now]
        return sorted(own, key=lambda i: (i.generation, i.serial))

    def put_certificate(self, issued: IssuedCertificate) -> None:
        """Add or replace. Raises `ValueError` for a key that another one has."""
        if self._serials.get(issued.key, issued.serial) != issued.serial:
            raise ValueError("this key has a certificate already")
        self._certificates[issued.serial] = issued
        self._serials[issued.key] = issued.serial

    def join(self, join_id: str) -> JoinRecord | None:
        """By id."""
        return self._joins.get(join_id)

    def join_of(self, key: bytes) -> JoinRecord | None:
        """By key."""
        return _first(j for j in self._joins.values() if j.key == key)

    def put_join(self, join: JoinRecord) -> None:
        """Add or replace. Raises `ValueError` for a key that another one has."""
        other = self.join_of(join.key)
        if other is not None and other.id != join.id:
            raise ValueError("this key asks already")
        self._joins[join.id] = join

    def joins(
        self, org: str | None, state: JoinState, now: int, limit: int
    ) -> Sequence[JoinRecord]:
        """Unexpired, oldest first."""
        found = [j for j in self._live(state, now) if org is None or j.org == org]
        return sorted(found, key=lambda j: (j.requested_at, j.id))[:limit]

    def count_joins(self, join: JoinRecord, since: int) -> JoinCounts:
        """Who else asks."""
        others = [j for j in self._joins.values() if j.id != join.id]
        now = join.requested_at
        pending = [j for j in others if j.state is JoinState.PENDING and j.expires_at > now]
        lately = [j for j in others if j.requested_at >= since]
        return JoinCounts(
            pending=len(pending),
            of_org=sum(j.org == join.org for j in pending),
            of_client=sum(j.client == join.client for j in pending),
            of_site=sum(j.site == join.site for j in pending),
            lately=len(lately),
            lately_of_org=sum(j.org == join.org for j in lately),
        )

    def latest_expiry(self) -> int:
        """0 for none."""
        kept = (i.not_after for i in self._certificates.values() if i.revoked_at is None)
        return max(kept, default=0)

    def raise_alert(self, alert: Alert) -> None:
        """Keep it."""
        self._alerts[alert.id] = alert

    @property
    def alerts(self) -> Sequence[Alert]:
        """All, in the order in which they were raised."""
        return list(self._alerts.values())

    def delete_expired(self, before: int) -> int:
        """Remove what expired before; what an agent may come back by stays."""
        tokens = [t.id for t in self._tokens.values() if t.expires_at < before]
        joins = [j.id for j in self._joins.values() if j.expires_at < before]
        kept = self._newest() | {agent.name: agent.confirmed for agent in self._agents.values()}
        old = [
            i
            for i in self._certificates.values()
            if i.not_after < before and i.generation < kept[i.name]
        ]
        for token_id in tokens:
            del self._tokens[token_id]
        for join_id in joins:
            del self._joins[join_id]
        for issued in old:
            del self._certificates[issued.serial], self._serials[issued.key]
        return len(tokens) + len(joins) + len(old)

    def _live(self, state: JoinState, now: int) -> Iterable[JoinRecord]:
        return (j for j in self._joins.values() if j.state is state and j.expires_at > now)

    def _newest(self) -> dict[AgentName, int]:
        newest: dict[AgentName, int] = {}
        for issued in self._certificates.values():
            newest[issued.name] = max(newest.get(issued.name, 0), issued.generation)
        return newest


def _first(found: Iterable[T]) -> T | None:
    return next(iter(found), None)
