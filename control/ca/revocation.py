"""Admission of agents by certificate, revocation, and detection of stolen certificates.

Each certificate of an agent has a generation, stored beside its serial. Once an agent has been seen
with generation n, a peer that proves the agent's link key under an older one, in a session that
began after that, has a copy. Two peers that renew the same certificate with different keys are two,
as well. Either way nobody can tell which of them is the agent: it is locked, all its certificates
are revoked, its connection ends, and a person enrols it anew. A handshake alone proves nothing of
the kind: an attacker on the wire can delay the agent's own handshake until it has a newer
certificate.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, NoReturn, TypeAlias, TypeVar

from msgspec.structs import replace

from actors.world import World
from control.ca.issuer import EnrolmentResult, Issuer
from control.ca.store import AgentState, CaStore, CaTransaction, EnrolledAgent, IssuedCertificate
from control.errors import AuthorizationError
from control.model.conditions import AGENT_LOCKED
from control.model.records import Alert, Severity
from protocols.pki.chain import VerifiedAgent as Peer
from protocols.pki.names import AgentName

T = TypeVar("T")

STOLEN_REASON: Final = "an older certificate was used after a newer one: one of them was stolen"

REPLACED: Final = "replaced"
"""Of a connection whose agent is another one now, enrolled anew under the name."""

_REFUSED: Final = "the certificate is not valid any more: a person must enrol the agent again"


class AgentEnded(NamedTuple):
    """An agent whose connections must end now. `alert`: id of the alert about it.

    `state`: its own, or `REPLACED`; then connections of `generation` or a later one stay.
    """

    name: AgentName
    state: str
    reason: str
    alert: str = ""
    generation: int = 0


AgentEndedHandler: TypeAlias = Callable[[AgentEnded], None]
"""Called after the commit; must not block (`cast_nowait` to the gateway)."""


class StolenCertificateLock(NamedTuple):
    """A step that has found a stolen certificate and locked the agent: it must commit."""

    agent: EnrolledAgent
    alert: str


class AdmittedPeer(NamedTuple):
    """A peer that may begin a session."""

    agent: EnrolledAgent
    outdated: bool
    """It shows an older certificate than it was seen with: it may prove itself, for
    `lock_stolen`."""


class Revocation:
    """Admits peers, and ends agents."""

    def __init__(
        self, store: CaStore, issuer: Issuer, on_ended: AgentEndedHandler, world: World
    ) -> None:
        self._store = store
        self._issuer = issuer
        self._on_end = on_ended
        self._world = world

    async def admit_peer(self, peer: Peer) -> AdmittedPeer:
        """The agent behind a TLS connection with a verified chain; called at each handshake.

        Raises `AuthorizationError` when the certificate or the agent is not valid.
        """
        now = self._world.wall()

        def step(tx: CaTransaction) -> AdmittedPeer:
            agent, issued = verify_presented(tx, peer, now)
            if issued.generation > agent.confirmed:
                agent = replace(agent, confirmed=issued.generation)
                tx.put_agent(agent)
            return AdmittedPeer(agent, issued.generation < agent.confirmed)

        return await self._store.transact(step)

    async def lock_stolen(self, peer: Peer) -> NoReturn:
        """Lock the agent of a peer that was `outdated` and proved the link key in a new session.

        Raises `AuthorizationError` always.
        """
        now = self._world.wall()

        def step(tx: CaTransaction) -> EnrolledAgent | StolenCertificateLock:
            agent, issued = verify_presented(tx, peer, now)
            outdated = issued.generation < agent.confirmed
            return self.lock_in_transaction(tx, agent, now) if outdated else agent

        self.raise_if_locked(await self._store.transact(step))
        raise AuthorizationError("certificate_refused", _REFUSED)

    def lock_in_transaction(
        self, tx: CaTransaction, agent: EnrolledAgent, now: int
    ) -> StolenCertificateLock:
        """Lock the agent of a stolen certificate. The step returns this: raising would roll back.

        The alert is part of the step: no crash comes between the lock and the alert.
        """
        alert = Alert(
            id=self._world.new_id(),
            org=agent.name.org,
            vault=agent.name.vault,
            code=AGENT_LOCKED,
            severity=Severity.CRITICAL,
            message=f"agent {agent.name.vault} is locked: {STOLEN_REASON}; enrol it anew",
            at=now,
            acknowledged_by="",
            acknowledged_at=0,
        )
        tx.raise_alert(alert)
        return StolenCertificateLock(
            self._issuer.deactivate(tx, agent, AgentState.LOCKED, STOLEN_REASON, now), alert.id
        )

    def raise_if_locked(self, outcome: T | StolenCertificateLock) -> T:
        """Publish a lock that a step returned, and raise `AuthorizationError` for it."""
        if isinstance(outcome, StolenCertificateLock):
            self.notify_ended(outcome.agent, outcome.alert)
            raise AuthorizationError(
                "agent_locked", f"{STOLEN_REASON}; a person must enrol it anew"
            )
        return outcome

    def notify_ended(self, agent: EnrolledAgent, alert: str = "") -> None:
        """End the agent's connections."""
        self._on_end(AgentEnded(agent.name, agent.state, agent.reason, alert))


def complete_enrolment(entry: EnrolmentResult, on_end: AgentEndedHandler) -> IssuedCertificate:
    """The certificate of an admitted agent; connections of the replaced one end."""
    if entry.replaced:
        reason = "another agent was enrolled under its name"
        generation = entry.issued.generation
        on_end(AgentEnded(entry.issued.name, REPLACED, reason, generation=generation))
    return entry.issued


def verify_presented(
    tx: CaTransaction, peer: Peer, now: int
) -> tuple[EnrolledAgent, IssuedCertificate]:
    """The agent and the certificate that a peer shows, both valid at this moment.

    Raises `AuthorizationError`, also for a certificate that was never recorded: an attacker with
    the intermediate's key and without the ledger cannot admit anybody.
    """
    issued, agent = tx.certificate(peer.leaf.serial), tx.agent(peer.name)
    if issued is None or agent is None or issued.name != peer.name or issued.key != peer.leaf.key:
        raise AuthorizationError("certificate_refused", _REFUSED)
    if agent.state is not AgentState.ACTIVE or issued.revoked_at is not None:
        raise AuthorizationError("certificate_refused", _REFUSED)
    if not issued.not_before <= now <= issued.not_after:
        raise AuthorizationError("certificate_expired", "the certificate is not valid now")
    return agent, issued
