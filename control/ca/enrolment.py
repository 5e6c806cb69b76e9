"""Enrolment: a token that a person made admits one agent, once.

The token is used up and the certificate recorded in one transaction. A repetition of the request
with the same key gets the same answer: a lost reply or a crash of either side costs nothing.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from actors.slewed_clock import has_expired
from actors.world import World
from control.ca.issuer import CertificateRequester, EnrolmentResult, Issuer, verify_request
from control.ca.revocation import AgentEndedHandler, complete_enrolment
from control.ca.store import (
    AgentState,
    CaStore,
    CaTransaction,
    EnrolledAgent,
    EnrolmentToken,
    IssuedCertificate,
)
from control.crypto import new_bearer_secret, secret_digest
from control.errors import (
    AuthenticationError,
    ConflictError,
    NotFoundError,
    RateLimitError,
    ValidationError,
)
from protocols.pki.errors import CsrError, PkiNameError
from protocols.pki.messages import EnrolRequest, Grant
from protocols.pki.names import AgentName
from protocols.pki.proof import verify_binding

PREFIX: Final = "fhe"
TOKEN_LIFETIME: Final = 600 * 1_000_000_000
MAX_TOKENS: Final = 1_000
"""Tokens of one organization, used and expired ones among them until `delete_expired` removes
them."""

_REFUSED: Final = "the token is unknown, used or expired: ask for a new one"


class IssuedEnrolmentToken(NamedTuple):
    """A token with its text, which is shown once."""

    text: str
    record: EnrolmentToken
    pin: str
    """Of the authority that the agent must find at the other end."""

    def __repr__(self) -> str:
        return f"NewToken(record={self.record!r})"


class Enrolment:
    """Makes tokens and redeems them."""

    def __init__(
        self, store: CaStore, issuer: Issuer, on_ended: AgentEndedHandler, world: World
    ) -> None:
        """`on_ended` is told of each agent that was replaced."""
        self._store = store
        self._issuer = issuer
        self._on_end = on_ended
        self._world = world

    async def create_token(
        self, org: str, vault: str, created_by: str, *, replace_agent: bool = False
    ) -> IssuedEnrolmentToken:
        """Make a token for this name, valid for 600 s.

        Raises `ValidationError` for an invalid name, `NotFoundError` where there is no such
        organization, `ConflictError` when the agent exists and may not be replaced,
        `RateLimitError` when the organization has too many tokens.
        """
        now, text = self._world.wall(), new_bearer_secret(PREFIX)
        token = EnrolmentToken(
            id=self._world.new_id(),
            hash=secret_digest(text),
            name=agent_name(org, vault),
            replace=replace_agent,
            created_by=created_by,
            created_at=now,
            expires_at=now + TOKEN_LIFETIME,
        )

        def step(tx: CaTransaction) -> None:
            check_organization(tx, org)
            check_name_free(tx.agent(token.name), replace_agent=replace_agent)
            if len(tx.tokens(org, MAX_TOKENS)) >= MAX_TOKENS:
                raise RateLimitError(
                    "too_many_tokens",
                    "the organization has too many tokens: withdraw some, or wait ten minutes",
                    retry_after=600,
                )
            tx.put_token(token)

        await self._store.transact(step)
        return IssuedEnrolmentToken(text, token, self._issuer.pin)

    async def list_tokens(self, org: str) -> Sequence[EnrolmentToken]:
        """The organization's tokens, newest first."""
        return await self._store.transact(lambda tx: tx.tokens(org, MAX_TOKENS))

    async def withdraw_token(self, org: str, token_id: str) -> None:
        """Delete a token. Raises `NotFoundError`."""
        if not await self._store.transact(lambda tx: tx.delete_token(org, token_id)):
            raise NotFoundError("not_found", "there is no such token")

    async def token_subject(self, text: str) -> AgentName | None:
        """The agent that a token is for, whether it is valid or not; None for an unknown token."""
        token_hash = secret_digest(text)
        token = await self._store.transact(lambda tx: tx.token(token_hash))
        return None if token is None else token.name

    async def enrol_agent(self, request: EnrolRequest) -> Grant:
        """Admit the agent that the token names.

        Raises `ValidationError` for a faulty request, `AuthenticationError` for an invalid token
        (without the reason), `ConflictError` when its agent exists and may not be replaced or when
        the key has had a certificate.
        """
        asker = verify_request(request.csr)
        check_binding(request.link_key, request.csr, request.proof)
        token_hash, now = secret_digest(request.token), self._world.wall()

        def step(tx: CaTransaction) -> EnrolmentResult:
            token = tx.token(token_hash)
            if token is None:
                raise AuthenticationError("token_refused", _REFUSED)
            if token.used_at is not None:
                return EnrolmentResult(
                    _repeat_grant(tx, token, asker, request.link_key, now), replaced=False
                )
            if has_expired(token.created_at, token.expires_at, now):
                raise AuthenticationError("token_refused", _REFUSED)
            check_name_free(tx.agent(token.name), replace_agent=token.replace)
            entry = self._issuer.enrol(tx, token.name, asker, request.link_key, now)
            tx.put_token(replace(token, used_at=now, used_by=asker.hash))
            return entry

        return self._issuer.grant_for(
            complete_enrolment(await self._store.transact(step), self._on_end)
        )

    async def delete_expired(self, before: int) -> int:
        """Delete what expired before the instant (`CaTransaction`); how many rows."""
        return await self._store.transact(lambda tx: tx.delete_expired(before))


def agent_name(org: str, vault: str) -> AgentName:
    """The name. Raises `ValidationError`."""
    try:
        return AgentName.from_slugs(org, vault)
    except PkiNameError as error:
        raise ValidationError(error.code, str(error), field="name") from None


def check_organization(tx: CaTransaction, org: str) -> None:
    """Raise `NotFoundError` unless the organization exists."""
    if not tx.has_organization(org):
        raise NotFoundError("not_found", "there is no such organization")


def check_name_free(agent: EnrolledAgent | None, *, replace_agent: bool) -> None:
    """Raise `ConflictError` unless a new agent may have this name."""
    if agent is None:
        return
    if agent.state is AgentState.RETIRED:
        raise ConflictError("agent_retired", "the agent was retired: its name is not given again")
    if not replace_agent:
        raise ConflictError("agent_exists", "the agent exists: use a token that may replace it")


def check_binding(link_key: bytes, csr: bytes, proof: bytes) -> None:
    """Raise `ValidationError` unless the requester has the link key."""
    try:
        verify_binding(link_key, csr, proof)
    except CsrError as error:
        raise ValidationError(error.code, str(error), field="proof") from None


def _repeat_grant(
    tx: CaTransaction, token: EnrolmentToken, asker: CertificateRequester, link_key: bytes, now: int
) -> IssuedCertificate:
    """The answer to a used token: the same one to the same key, as long as it is valid."""
    issued, agent = tx.certificate_of(asker.hash), tx.agent(token.name)
    same = token.used_by == asker.hash  # not secret: a public key
    same = same and issued is not None and agent is not None
    if not same or issued is None or agent is None or agent.link_key != link_key:
        raise AuthenticationError("token_refused", _REFUSED)
    if not is_certificate_valid(agent, issued, now) or issued.generation != agent.generation:
        raise AuthenticationError("token_refused", _REFUSED)
    return issued


def is_certificate_valid(agent: EnrolledAgent, issued: IssuedCertificate, now: int) -> bool:
    """Whether the certificate is valid for its agent."""
    valid = issued.revoked_at is None and now <= issued.not_after
    return valid and agent.state is AgentState.ACTIVE and issued.name == agent.name
