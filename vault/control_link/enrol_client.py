"""How the agent asks to be let in, and for each further certificate, over HTTPS.

`POST /link/v1/{enrol,join,renew,rejoin}` (docs/spec/pki.md). Every body is on the egress ledger
before it is sent.
"""

import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol

import httpx2
import msgspec
import trio
from msgspec import Struct

from actors import World
from protocols import json_text
from protocols.link_transport import tls_contexts
from protocols.pki.errors import PinError, PkiError
from protocols.pki.messages import (
    MAX_RESPONSE,
    EnrolRequest,
    Grant,
    JoinRequest,
    Pending,
    RejoinRequest,
    RenewRequest,
    decode_response,
    encode_message,
)
from protocols.pki.trust import TrustStore
from vault.control_link.addresses import ControlPlaneAddresses
from vault.control_link.egress_chain import EgressStream
from vault.control_link.egress_ledger import EgressRecorder
from vault.control_link.identity import AgentCredential, IdentityStore
from vault.control_link.tls_dialer import log_tls_secrets
from vault.model.endpoint import parse_endpoint

STEP_TIMEOUT: Final = 20.0  # seconds for each of connecting, writing and reading
TOTAL_TIMEOUT: Final = 60.0  # seconds for all of it: an answer that drips has an end, too
_KEY_IN_USE: Final = 409
_KEY_USED: Final = "key_used"
_THEIR_FAULT: Final = 500


class EnrolError(Exception):
    """The control plane was not reached (`status` is 0) or did not agree (HTTP's).

    `code` is the control plane's own, where it gave one.
    """

    def __init__(self, message: str, status: int = 0, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class HttpPost(Protocol):
    """Sends one request body to the control plane; `post` over the network, or a double."""

    async def __call__(
        self, context: ssl.SSLContext, endpoint: str, path: str, body: bytes
    ) -> bytes:
        """The body of a 200 or 202. Raises `EnrolError`."""
        ...


class EnrolTarget(Struct, frozen=True, kw_only=True):
    """Where the control plane is, and how it is known before anything is trusted."""

    endpoint: str
    pin: str


class Enroller:
    """Asks, takes what is granted, and stores it."""

    def __init__(
        self,
        store: IdentityStore,
        egress: EgressRecorder,
        world: World,
        send: HttpPost | None = None,
        keylog: Path | None = None,
        *,
        addresses: ControlPlaneAddresses | None = None,
    ) -> None:
        """`keylog`: where TLS secrets go so that the owner can decrypt a capture.

        `addresses`: of an agent that knows several; it asks the next one after one that fails.
        """
        self._keylog = keylog
        self._addresses = addresses or ControlPlaneAddresses((), world)
        self._store = store
        self._egress = egress
        self._world = world
        self._send = send or post_request

    async def enrol(self, target: EnrolTarget, token: str) -> None:
        """Be let in by a token. Raises `EnrolError`, `PkiError`."""
        try:
            await self._enrol(target, token)
        except EnrolError as error:
            # Only then: another key in place of a lost answer's would look like a thief's.
            if error.code != _KEY_USED:
                raise
            await self._world.run_sync(self._store.discard_next_key)
            await self._enrol(target, token)

    async def join(self, target: EnrolTarget, *, org: str = "", label: str = "") -> Pending | None:
        """Ask a person to let us in; None once it is done. Raises as `enrol`."""
        try:
            return await self._join(target, org, label)
        except EnrolError as error:
            if error.code != _KEY_USED:
                raise
            await self._world.run_sync(self._store.discard_next_key)
            return await self._join(target, org, label)

    async def _join(self, target: EnrolTarget, org: str, label: str) -> Pending | None:
        csr, link_key, bound = await self._world.run_sync(self._bound_request)
        request = JoinRequest(csr=csr, link_key=link_key, proof=bound, org=org, label=label)
        answer = await self._ask_by_pin(target, "join", encode_message(request))
        return answer if isinstance(answer, Pending) else None

    async def renew(self, credential: AgentCredential) -> None:
        """Get the next certificate: by the present one, or after its end by the link key."""
        if self._world.wall() < credential.expires:
            await self._ask(credential, "renew", credential.identity, self._renewal)
        else:
            await self._ask(credential, "rejoin", None, lambda: self._return(credential))

    async def _enrol(self, target: EnrolTarget, token: str) -> None:
        csr, link_key, bound = await self._world.run_sync(self._bound_request)
        request = EnrolRequest(token=token, csr=csr, link_key=link_key, proof=bound)
        answer = await self._ask_by_pin(target, "enrol", encode_message(request))
        if isinstance(answer, Pending):
            raise EnrolError(
                "the control plane answered the enrolment token with `pending`: get a new one"
            )

    async def _ask_by_pin(self, target: EnrolTarget, path: str, body: bytes) -> Grant | Pending:
        context = tls_contexts.pinned_context(target.pin, self._world.wall)
        answer = await self._exchange(context, target.endpoint, path, body)
        if isinstance(answer, Grant):
            trust = TrustStore.from_pin([answer.chain[0], *answer.roots], target.pin)
            await self._world.run_sync(
                self._store.store_enrolment, answer, target.endpoint, trust, self._world.wall()
            )
        return answer

    async def _ask(
        self,
        held: AgentCredential,
        path: str,
        identity: tls_contexts.TlsIdentity | None,
        make: Callable[[], bytes],
    ) -> None:
        body = await self._world.run_sync(make)
        context = tls_contexts.agent_context(identity, held.trust, self._world.wall)
        try:
            answer = await self._exchange(context, held.enrolment.endpoint, path, body)
        except EnrolError as error:
            if error.status == _KEY_IN_USE:  # our key has had its certificate, and that is over
                await self._world.run_sync(self._store.discard_next_key)
            raise
        if isinstance(answer, Pending):
            raise EnrolError("the control plane answers a renewal as if we had joined")
        await self._world.run_sync(self._store.store_renewal, answer, self._world.wall())

    async def _exchange(
        self, context: ssl.SSLContext, endpoint: str, path: str, body: bytes
    ) -> Grant | Pending:
        address = self._addresses.address_for(endpoint)
        sending = EgressStream(
            kind="request",
            peer=address,
            path=f"/link/v1/{path}",
            connection=self._world.new_id(),
        )
        log_tls_secrets(context, self._keylog)
        await self._egress.record(sending, [body])
        try:
            return decode_response(await self._send(context, address, sending.path, body))
        except EnrolError as error:
            if not error.status or error.status >= _THEIR_FAULT:
                self._addresses.use_next()
            raise

    def _bound_request(self) -> tuple[bytes, bytes, bytes]:
        self._store.prepare()
        csr = self._store.create_request()
        return csr, *self._store.prove_link_key(csr)

    def _renewal(self) -> bytes:
        return encode_message(RenewRequest(csr=self._store.create_request()))

    def _return(self, held: AgentCredential) -> bytes:
        csr = self._store.create_request()
        by_link_key, by_certificate = self._store.prove_rejoin(held, csr)
        request = RejoinRequest(
            org=held.name.org,
            vault=held.name.vault,
            serial=held.serial,
            csr=csr,
            proof=by_link_key,
            held=by_certificate,
        )
        return encode_message(request)


async def post_request(context: ssl.SSLContext, endpoint: str, path: str, body: bytes) -> bytes:
    """One request on a connection of its own, with TLS or not at all. Raises `EnrolError`."""
    try:
        endpoint = parse_endpoint(endpoint)
    except ValueError as error:
        raise EnrolError(f"the control plane's address {error}: nothing is sent there") from None
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    try:
        with trio.fail_after(TOTAL_TIMEOUT):
            async with (
                httpx2.AsyncClient(verify=context, timeout=STEP_TIMEOUT, trust_env=False) as client,
                client.stream("POST", endpoint + path, content=body, headers=headers) as reply,
            ):
                answer = await _bounded(reply)
    except trio.TooSlowError:
        raise EnrolError(f"cannot reach {endpoint}: the answer took too long") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, ssl.SSLError, OSError) as error:
        raise EnrolError(f"cannot reach {endpoint}: {describe_connection_error(error)}") from error
    if reply.status_code not in {200, 202}:
        raise refusal_error(reply.status_code, answer)
    return answer


async def _bounded(reply: httpx2.Response) -> bytes:
    """The body as it is on the wire. One that is too long is read on and let go, for a while.

    To stop in the middle would leave the client's generators to the garbage collector.
    """
    answer, size = bytearray(), 0
    async for part in reply.aiter_raw():
        size += len(part)
        if size <= MAX_RESPONSE:
            answer += part
    if size > MAX_RESPONSE:
        raise EnrolError("the control plane's answer is too long")
    return bytes(answer)


def refusal_error(status: int, answer: bytes) -> EnrolError:
    """An answer that is neither 200 nor 202, in the control plane's own words if it has some."""
    try:
        told = json_text.decode(answer)
        return EnrolError(
            f"the control plane refuses: {told['message']}", status, str(told["code"])
        )
    except (msgspec.DecodeError, KeyError, TypeError, IndexError):
        return EnrolError(f"the control plane answers {status}", status)


# Why a control plane was not reached, in words: libraries hand on errors that print as nothing.
#
# Never what the peer sent, which is not known to be the control plane.


MAX_DEPTH: Final = 16
"""Errors behind one another that are looked at."""


def describe_connection_error(error: BaseException) -> str:
    """One clause, from what is behind this error of a request; never empty."""
    behind = list(_behind(error, MAX_DEPTH))
    for kind, told in _KINDS:
        for one in behind:
            if isinstance(one, kind):
                return told(one)
    return str(error) or type(error).__name__


def _behind(error: BaseException | None, deep: int) -> Iterator[BaseException]:
    """The error, and what it was made of: hidden contexts too, each attempt of several."""
    while error is not None and deep > 0:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for one in error.exceptions[:MAX_DEPTH]:
                yield from _behind(one, deep - 1)
        error, deep = error.__cause__ or error.__context__, deep - 1


def _pin(_: BaseException) -> str:
    return (
        "what answers does not have the pin: it is another control plane, its port for browsers "
        "(agents' is `link.listen` in its settings), or another's pin"
    )


def _stranger(error: BaseException) -> str:
    return f"what answers does not prove to be the control plane: {error}"


def _unverified(error: BaseException) -> str:
    return f"what answers does not prove to be the control plane: {_get(error, 'verify_message')}"


def _untold(error: BaseException) -> str:
    reason = _get(error, "reason").replace("_", " ").lower()
    return f"no TLS with what answers ({reason}): is it the port for agents?"


def _cut(_: BaseException) -> str:
    return "it cut the connection"


def _slow(_: BaseException) -> str:
    return "it did not answer in time"


def _name(error: BaseException) -> str:
    return f"its name cannot be resolved: {_get(error, 'strerror')}"


def _refused(_: BaseException) -> str:
    return "the connection is refused: nothing listens there"


def _system(error: BaseException) -> str:
    return _get(error, "strerror")


def _get(error: BaseException, name: str) -> str:
    return getattr(error, name, None) or str(error) or type(error).__name__


_KINDS: Final = (
    (PinError, _pin),
    (PkiError, _stranger),
    (ssl.SSLCertVerificationError, _unverified),
    ((ssl.SSLEOFError, ssl.SSLZeroReturnError), _cut),
    (ssl.SSLError, _untold),
    ((httpx2.TimeoutException, trio.TooSlowError, TimeoutError), _slow),
    (socket.gaierror, _name),
    (ConnectionRefusedError, _refused),
    (ConnectionError, _cut),
    (OSError, _system),
)
"""Whichever is there counts, the first of these first: a cause says more than what it led to."""
