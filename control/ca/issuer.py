"""Issues certificates in a transaction, for every kind of admission.

A key is certified once, ever: a request with the same key is answered with the same certificate, of
whatever kind it was, and a retry after a lost answer changes nothing.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.x509 import Certificate
from msgspec.structs import replace

from control.ca.clock_guard import ClockGuard
from control.ca.store import AgentState, CaTransaction, EnrolledAgent, IssuedCertificate
from control.errors import ConflictError, UnavailableError, ValidationError
from protocols.pki.authority import CrossCertificate, IssuingAuthority
from protocols.pki.certificates import key_identifier, serial_of, to_der, validity_period
from protocols.pki.errors import AuthorityError, CsrError
from protocols.pki.issuance import issue_agent
from protocols.pki.keys import key_hash
from protocols.pki.messages import Grant
from protocols.pki.names import AgentName
from protocols.pki.pin import pin_of
from protocols.pki.requests import verify_csr
from protocols.pki.trust import TrustStore

AgentObserver: TypeAlias = Callable[[CaTransaction, EnrolledAgent], None]
"""Told in the same transaction of each agent that enrols or whose state changes."""


class CertificateRequester(NamedTuple):
    """The requester: a key that was proven by its request."""

    public: EllipticCurvePublicKey
    hash: bytes


class EnrolmentResult(NamedTuple):
    """The certificate of an admission."""

    issued: IssuedCertificate
    replaced: bool
    """Whether another one had the name until now: its connection is to end."""


class IssuingState(NamedTuple):
    """The certificates to issue with: replaced as a whole in a rollover."""

    authority: IssuingAuthority
    trust: TrustStore
    previous: tuple[Certificate, ...] = ()
    """Other intermediates whose certificates still count."""
    cross: CrossCertificate | None = None
    """How who trusts only the root before comes to trust the newest."""


class ControlKeys(NamedTuple):
    """The control plane's Ed25519 public keys, 32 bytes each."""

    link: bytes
    policy: bytes


def no_observer(_tx: CaTransaction, _agent: EnrolledAgent) -> None:
    """A `AgentObserver` that does nothing."""


class Issuer:
    """Issues with the intermediate."""

    def __init__(
        self,
        issuing_state: IssuingState,
        keys: ControlKeys,
        clock_guard: ClockGuard,
        observer: AgentObserver = no_observer,
    ) -> None:
        self.issuing_state = issuing_state
        self.clock_guard = clock_guard
        self._keys = keys
        self._follow = observer

    @property
    def pin(self) -> str:
        """The pin of the root of the control plane's own certificates, which agents check."""
        return pin_of(self.issuing_state.authority.root)

    def enrol(
        self,
        tx: CaTransaction,
        name: AgentName,
        requester: CertificateRequester,
        link_key: bytes,
        now: int,
    ) -> EnrolmentResult:
        """Record an agent that starts anew: all certificates of its name are revoked.

        An agent that was locked is active again. Raises as `renew`.
        """
        before = tx.agent(name)
        issued = self._issue(tx, name, requester, (before.generation if before else 0) + 1, now)
        for old in tx.certificates(name, now):
            if old.revoked_at is None:
                tx.put_certificate(replace(old, revoked_at=now))
        tx.put_certificate(issued)
        agent = EnrolledAgent(
            name=name,
            state=AgentState.ACTIVE,
            generation=issued.generation,
            confirmed=issued.generation,
            link_key=link_key,
            enrolled_at=now,
            changed_at=now,
        )
        tx.put_agent(agent)
        self._follow(tx, agent)
        return EnrolmentResult(issued, before is not None)

    def renew(
        self,
        tx: CaTransaction,
        agent: EnrolledAgent,
        requester: CertificateRequester,
        now: int,
        *,
        confirmed: int,
    ) -> IssuedCertificate:
        """Record the agent's next certificate; the request confirms the present one.

        Raises `ConflictError` when the key has been certified before, `UnavailableError` when the
        authority has expired or the clock is behind.
        """
        issued = self._issue(tx, agent.name, requester, agent.generation + 1, now)
        tx.put_certificate(issued)
        tx.put_agent(
            replace(agent, generation=issued.generation, confirmed=confirmed, changed_at=now)
        )
        return issued

    def deactivate(
        self, tx: CaTransaction, agent: EnrolledAgent, state: AgentState, reason: str, now: int
    ) -> EnrolledAgent:
        """Give the agent this state, and revoke all its certificates."""
        ended = deactivate_agent(tx, agent, state, reason, now=now)
        self._follow(tx, ended)
        return ended

    def grant_for(self, issued: IssuedCertificate) -> Grant:
        """The answer with this certificate.

        Raises `ConflictError` for one of an authority that is gone (a rollover has ended).
        """
        cross = self.issuing_state.cross
        return Grant(
            org=issued.name.org,
            vault=issued.name.vault,
            generation=issued.generation,
            chain=[issued.der, to_der(self._signer(issued))],
            roots=self.issuing_state.trust.to_der(),
            cross=None if cross is None else to_der(cross.certificate),
            link_key=self._keys.link,
            policy_key=self._keys.policy,
        )

    def _issue(
        self,
        tx: CaTransaction,
        name: AgentName,
        asker: CertificateRequester,
        generation: int,
        now: int,
    ) -> IssuedCertificate:
        self.clock_guard.check_clock(tx, name)
        if tx.certificate_of(asker.hash) is not None:
            raise ConflictError("key_used", "this key has had a certificate; make a new key")
        authority = self.issuing_state.authority
        try:
            leaf = issue_agent(authority, name, asker.public, now)
        except AuthorityError as error:
            raise UnavailableError("authority_expired", str(error)) from None
        begin, end = validity_period(leaf)
        return IssuedCertificate(
            serial=serial_of(leaf),
            key=asker.hash,
            name=name,
            generation=generation,
            der=to_der(leaf),
            issuer=authority.id,
            not_before=begin,
            not_after=end,
        )

    def _signer(self, issued: IssuedCertificate) -> Certificate:
        authority, elders = self.issuing_state.authority, self.issuing_state.previous
        for candidate in (authority.certificate, *elders):
            if key_identifier(candidate) == issued.issuer:
                return candidate
        raise ConflictError("authority_gone", "its authority is no longer in use; make a new key")


def deactivate_agent(
    tx: CaTransaction, agent: EnrolledAgent, state: AgentState, reason: str, *, now: int
) -> EnrolledAgent:
    """The agent with its new state, its certificates revoked."""
    for issued in tx.certificates(agent.name, now):
        if issued.revoked_at is None:
            tx.put_certificate(replace(issued, revoked_at=now))
    ended = replace(agent, state=state, reason=reason, changed_at=now)
    tx.put_agent(ended)
    return ended


def verify_request(csr: bytes) -> CertificateRequester:
    """The requester. Raises `ValidationError` for a request that `verify_csr` refuses."""
    try:
        public = verify_csr(csr)
    except CsrError as error:
        raise ValidationError(error.code, str(error), field="csr") from None
    return CertificateRequester(public, key_hash(public))
