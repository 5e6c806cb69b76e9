"""Join requests: an agent with an address and a pin, and no token, asks; a person decides.

The person approves the pair of keys that asked, by their fingerprint. The agent repeats its request
until there is an answer, and is certified only then: the certificate's life begins when the agent
collects it.
"""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from actors.slewed_clock import has_expired
from actors.world import World
from control.ca.enrolment import (
    agent_name,
    check_binding,
    check_name_free,
    check_organization,
    is_certificate_valid,
)
from control.ca.issuer import CertificateRequester, EnrolmentResult, Issuer, verify_request
from control.ca.revocation import AgentEndedHandler, complete_enrolment
from control.ca.store import CaStore, CaTransaction, IssuedCertificate, JoinRecord, JoinState
from control.crypto import sha256
from control.errors import AuthorizationError, ConflictError, NotFoundError, RateLimitError
from protocols.client_network import client_network, site_network
from protocols.instant import DAY, MINUTE
from protocols.pki.messages import Grant, JoinRequest, Pending

REQUEST_LIFETIME: Final = DAY
"""Of a request, and of an approval that is not collected."""
MAX_PENDING: Final = 10_000
MAX_FOR_ORG: Final = 1_000
"""Pending requests: of all, and for one organization, which anybody can name."""
MAX_OF_CLIENT: Final = 16
MAX_OF_SITE: Final = 64
"""Of one client: a site behind one gateway brings up its agents together; and of an IPv6 /48."""
MAX_PER_MINUTE: Final = 600
MAX_PER_MINUTE_FOR_ORG: Final = 60
RETRY_AFTER: Final = 10
"""Seconds between two questions of an agent that waits."""


class JoinRequests:
    """Takes requests, lists them, and admits those that a person approved."""

    def __init__(
        self, store: CaStore, issuer: Issuer, on_ended: AgentEndedHandler, world: World
    ) -> None:
        """`on_ended` is told of each agent that was replaced."""
        self._store = store
        self._issuer = issuer
        self._on_end = on_ended
        self._world = world

    async def submit_request(self, request: JoinRequest, source: str) -> Grant | Pending:
        """Store a request, or answer one that was decided.

        Raises `ValidationError` for a faulty request, `RateLimitError` when too many are pending,
        `AuthorizationError` when it was refused, `ConflictError` when its name is taken meanwhile,
        or (`key_used`) when its key has had a certificate that has ended: another key is needed.
        """
        asker = verify_request(request.csr)
        check_binding(request.link_key, request.csr, request.proof)
        now, join_id = self._world.wall(), self._world.new_id()

        def step(tx: CaTransaction) -> JoinRecord | EnrolmentResult:
            known = tx.join_of(asker.hash)
            if known is None or _is_over(known, now):
                issued = tx.certificate_of(asker.hash)
                if issued is not None and not _is_in_force(tx, issued, now):
                    raise _key_used()
                fresh = _new_request(request, asker, source, now, known.id if known else join_id)
                return _store_request(tx, fresh)
            if known.link_key != request.link_key:
                raise AuthorizationError("join_refused", "the request was made with another key")
            return self._decided(tx, known, asker, now)

        outcome = await self._store.transact(step)
        if isinstance(outcome, EnrolmentResult):
            return self._issuer.grant_for(complete_enrolment(outcome, self._on_end))
        return Pending(
            id=outcome.id, fingerprint=join_fingerprint(outcome), retry_after=RETRY_AFTER
        )

    async def list_pending(self, org: str | None, limit: int) -> Sequence[JoinRecord]:
        """Pending requests, the oldest first; `org` as in `CaTransaction.joins`."""
        now = self._world.wall()
        return await self._store.transact(
            lambda tx: tx.joins(org, JoinState.PENDING, now, min(limit, MAX_FOR_ORG))
        )

    async def approve_request(
        self,
        join_id: str,
        shown: str,
        *,
        org: str,
        vault: str,
        by: str,
        replace_agent: bool = False,
    ) -> JoinRecord:
        """Approve a request for this name; `shown` is the fingerprint that the person compared.

        Raises `NotFoundError` for an unknown request or organization, `ConflictError` when it was
        decided already, the fingerprint is another one or the name is taken.
        """
        name, now = agent_name(org, vault), self._world.wall()

        def step(tx: CaTransaction) -> JoinRecord:
            join = _require_pending(tx, join_id, now)
            if join_fingerprint(join) != shown:
                raise ConflictError(
                    "fingerprint_mismatch", "this is not the fingerprint that the agent shows"
                )
            check_organization(tx, org)
            check_name_free(tx.agent(name), replace_agent=replace_agent)
            approved = replace(
                _decide(join, JoinState.APPROVED, by, now), name=name, replace=replace_agent
            )
            tx.put_join(approved)
            return approved

        return await self._store.transact(step)

    async def refuse_request(self, join_id: str, by: str) -> JoinRecord:
        """Refuse a request; its key stays refused for a day. Raises as `approve_request`."""
        now = self._world.wall()

        def step(tx: CaTransaction) -> JoinRecord:
            refused = _decide(_require_pending(tx, join_id, now), JoinState.REFUSED, by, now)
            tx.put_join(refused)
            return refused

        return await self._store.transact(step)

    async def get_request(self, join_id: str) -> JoinRecord:
        """The request. Raises `NotFoundError`."""
        found = await self._store.transact(lambda tx: tx.join(join_id))
        if found is None:
            raise NotFoundError("not_found", "there is no such request")
        return found

    def _decided(
        self, tx: CaTransaction, join: JoinRecord, asker: CertificateRequester, now: int
    ) -> JoinRecord | EnrolmentResult:
        if join.state is JoinState.PENDING:
            return join
        if join.state is JoinState.REFUSED or join.name is None:
            raise AuthorizationError("join_refused", "a person refused this request")
        agent, issued = tx.agent(join.name), tx.certificate_of(asker.hash)
        if issued is not None:
            if agent is None or not is_certificate_valid(agent, issued, now):
                raise _key_used()
            return EnrolmentResult(issued, replaced=False)
        check_name_free(agent, replace_agent=join.replace)
        return self._issuer.enrol(tx, join.name, asker, join.link_key, now)


def join_fingerprint(join: JoinRecord) -> str:
    """The fingerprint that a person compares: 80 bits over both keys, in five groups of hex digits.

    An attacker would have to find a second pair with the same 80 bits while a person waits.
    """
    digits = sha256(join.key + join.link_key).hex()[:20]
    return "-".join(digits[i : i + 4] for i in range(0, 20, 4))


def _is_in_force(tx: CaTransaction, issued: IssuedCertificate, now: int) -> bool:
    agent = tx.agent(issued.name)
    return agent is not None and is_certificate_valid(agent, issued, now)


def _key_used() -> ConflictError:
    """The error for a key whose certificate has ended; a valid one is renewed by its agent."""
    return ConflictError(
        "key_used", "this key has had a certificate that does not count any more; make a new key"
    )


def _store_request(tx: CaTransaction, join: JoinRecord) -> JoinRecord:
    now = join.requested_at
    crowd = tx.count_joins(join, now - MINUTE)
    full = (
        crowd.pending >= MAX_PENDING
        or crowd.of_org >= MAX_FOR_ORG
        or crowd.of_client >= MAX_OF_CLIENT
        or crowd.of_site >= MAX_OF_SITE
        or crowd.lately >= MAX_PER_MINUTE
        or crowd.lately_of_org >= MAX_PER_MINUTE_FOR_ORG
    )
    if full:
        raise RateLimitError(
            "too_many_joins", "too many agents ask to join: try again later", retry_after=60
        )
    tx.put_join(join)
    return join


def _new_request(
    request: JoinRequest, asker: CertificateRequester, source: str, now: int, join_id: str
) -> JoinRecord:
    return JoinRecord(
        id=join_id,
        key=asker.hash,
        link_key=request.link_key,
        org=request.org,
        label=request.label,
        source=source,
        client=client_network(source),
        site=site_network(source),
        requested_at=now,
        expires_at=now + REQUEST_LIFETIME,
    )


def _is_over(join: JoinRecord, now: int) -> bool:
    return has_expired(join.decided_at or join.requested_at, join.expires_at, now)


def _require_pending(tx: CaTransaction, join_id: str, now: int) -> JoinRecord:
    join = tx.join(join_id)
    if join is None or _is_over(join, now):
        raise NotFoundError("not_found", "there is no such request")
    if join.state is not JoinState.PENDING:
        raise ConflictError("join_decided", f"the request is {join.state} already")
    return join


def _decide(join: JoinRecord, state: JoinState, by: str, now: int) -> JoinRecord:
    return replace(
        join, state=state, decided_by=by, decided_at=now, expires_at=now + REQUEST_LIFETIME
    )
