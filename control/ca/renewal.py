"""Renewal: a certificate is exchanged for the next, before it expires or after.

Before: the TLS connection shows the present one (`renew`). After: the link key that was bound at
enrolment and the expired certificate's own key sign (`rejoin`), for an agent that was offline for
longer than a certificate lives.
When to renew is the agent's to decide (`due`), so a fleet does not come all at once.
"""

from typing import Final

from actors.world import World
from control.ca.enrolment import agent_name
from control.ca.issuer import CertificateRequester, Issuer, verify_request
from control.ca.revocation import Revocation, StolenCertificateLock, verify_presented
from control.ca.store import AgentState, CaStore, CaTransaction, EnrolledAgent, IssuedCertificate
from control.errors import AuthenticationError, ConflictError, RateLimitError
from protocols.instant import DAY, MINUTE, SECOND
from protocols.pki.chain import VerifiedAgent as Peer
from protocols.pki.errors import ChainError, CsrError
from protocols.pki.messages import Grant, RejoinRequest, RenewRequest
from protocols.pki.proof import verify_possession, verify_rejoin

REJOIN_GRACE: Final = 90 * DAY
"""What an agent may be away for; `link.return_within`."""
MIN_RENEWAL_INTERVAL: Final = MINUTE
"""From one renewal to the next. An agent rests for five times as long by itself."""
_UNKNOWN: Final = "this agent cannot rejoin: a person must enrol it"


class Renewal:
    """Gives an agent its next certificate."""

    def __init__(
        self,
        store: CaStore,
        issuer: Issuer,
        revocation: Revocation,
        world: World,
        grace: int = REJOIN_GRACE,
    ) -> None:
        """`grace`: nanoseconds after its end for which a certificate can bring its agent back."""
        self._store = store
        self._issuer = issuer
        self._revocation = revocation
        self._world = world
        self._grace = grace

    async def renew(self, peer: Peer, request: RenewRequest) -> Grant:
        """The next certificate of the peer, whose chain TLS has verified.

        The agent stores its new key before it asks, and asks again with the same key if no answer
        comes. Raises `ValidationError` for a faulty request, `AuthorizationError` for a certificate
        that does not count (a stolen one locks the agent), `ConflictError` for a key that has had
        another certificate, `RateLimitError` for one that comes right after the last renewal.
        """
        asker, now = verify_request(request.csr), self._world.wall()

        def step(tx: CaTransaction) -> IssuedCertificate | StolenCertificateLock:
            agent, issued = verify_presented(tx, peer, now)
            return self._next(tx, agent, issued, asker, now)

        outcome = await self._store.transact(step)
        return self._issuer.grant_for(self._revocation.raise_if_locked(outcome))

    async def rejoin(self, request: RejoinRequest) -> Grant:
        """A certificate for an agent whose last has expired, proven by its link key and that one's.

        A request that is replayed names a key that has had its certificate: it gets that one, or
        nothing, and locks nobody. Raises as `renew`; `AuthenticationError` for a wrong proof, an
        unknown agent and one that was away for too long alike; `UnavailableError` where only the
        two clocks can tell a lost answer from a theft, and differ.
        """
        asker, now = verify_request(request.csr), self._world.wall()
        name = agent_name(request.org, request.vault)

        def step(tx: CaTransaction) -> IssuedCertificate | StolenCertificateLock:
            agent, issued = tx.agent(name), tx.certificate(request.serial)
            if agent is None or issued is None or not _is_proven(agent, issued, request):
                raise AuthenticationError("rejoin_refused", _UNKNOWN)
            if issued.revoked_at is not None or agent.state is not AgentState.ACTIVE:
                raise AuthenticationError("rejoin_refused", _UNKNOWN)
            if now > issued.not_after + self._grace:
                raise AuthenticationError("rejoin_refused", _UNKNOWN)
            return self._next(tx, agent, issued, asker, now, returning=True)

        outcome = await self._store.transact(step)
        return self._issuer.grant_for(self._revocation.raise_if_locked(outcome))

    def _next(
        self,
        tx: CaTransaction,
        agent: EnrolledAgent,
        shown: IssuedCertificate,
        asker: CertificateRequester,
        now: int,
        *,
        returning: bool = False,
    ) -> IssuedCertificate | StolenCertificateLock:
        known = tx.certificate_of(asker.hash)
        if known is not None:
            return _repeat_grant(agent, known, now)
        self._issuer.clock_guard.check_clock(
            tx, agent.name
        )  # before anybody is locked by a wrong clock
        if not _may_follow(tx, agent, shown, now):
            if returning and now <= shown.not_after:
                raise self._issuer.clock_guard.clock_disagreement(agent.name)
            return self._revocation.lock_in_transaction(tx, agent, now)
        _check_interval(agent, now)
        return self._issuer.renew(tx, agent, asker, now, confirmed=shown.generation)


def _may_follow(
    tx: CaTransaction, agent: EnrolledAgent, shown: IssuedCertificate, now: int
) -> bool:
    """Whether the agent's next certificate can follow on the one that it shows.

    On its newest always. On the newest that it was seen with, when those after it were never used
    and have expired: their answers were lost, and the agent was away. A thief of one of
    them could have used it, which would have confirmed it; from now on it is worth nothing.
    """
    if shown.generation == agent.generation:
        return True
    usable = any(one.generation > shown.generation for one in tx.certificates(agent.name, now))
    return shown.not_after < now and shown.generation == agent.confirmed and not usable


def _check_interval(agent: EnrolledAgent, now: int) -> None:
    """Each renewal costs a signature and rows that are kept for years. Raises `RateLimitError`.

    An agent that has just enrolled may renew: a person approved it. No agent waits for a clock that
    was ahead.
    """
    since = now - agent.changed_at
    if agent.changed_at != agent.enrolled_at and 0 <= since < MIN_RENEWAL_INTERVAL:
        left = -(-(MIN_RENEWAL_INTERVAL - since) // SECOND)
        raise RateLimitError(
            "renewed_just_now",
            f"this agent's certificate was renewed just now; ask again in {left} s",
            retry_after=left,
        )


def _repeat_grant(agent: EnrolledAgent, known: IssuedCertificate, now: int) -> IssuedCertificate:
    """The certificate that this key has, when it is the agent's newest and still counts."""
    newest = known.name == agent.name and known.generation == agent.generation
    if not newest or known.revoked_at is not None or known.not_after < now:
        raise ConflictError("key_used", "this key has had a certificate; make a new key")
    return known


def _is_proven(agent: EnrolledAgent, issued: IssuedCertificate, request: RejoinRequest) -> bool:
    asked = agent.name, request.serial, request.csr
    try:
        verify_rejoin(agent.link_key, *asked, request.proof)
        verify_possession(issued.der, *asked, request.held)
    except (CsrError, ChainError):
        return False
    return issued.name == agent.name
