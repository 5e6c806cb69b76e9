"""HTTP requests to identity sources: key sets, providers, API servers.

An administrator names an address and sees nothing of what is there. Requests are restricted all the
same: https alone (plain http on this machine), never a link-local or reserved address, where clouds
keep credentials; this machine only if the URL says so itself. What a source refers to (the key set
of a provider) may not lie further inside than the source. The connection goes to the address that
was checked, no redirect is followed, time and size are bounded, and so is how many requests run.
"""

import ssl
from collections.abc import Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
import trio
from msgspec import Struct

from actors.errors import LimiterFull
from actors.fair_limiter import FairLimiter, Share
from actors.world import World
from protocols import json_text
from protocols.outbound import (
    AddressClass,
    Resolver,
    TargetUrl,
    classify,
    is_literal,
    is_loopback,
    parse_target,
    resolve_host,
)
from vault.errors import ValidationError

SECONDS: Final = 5.0  # for one answer, from the look-up of the name on
MAX_BODY: Final = 512 * 1024  # bytes; a hundred keys of 4,096 bits have 80 KiB
MAX_CONCURRENT: Final = 16
MAX_CONCURRENT_EACH: Final = 4  # of one source: one that is slow does not hold all
MAX_WAITING: Final = 256
MAX_WAITING_EACH: Final = 64
MAX_CONTEXTS: Final = 64  # TLS set-ups that are kept
MAX_CA: Final = 256 * 1024  # characters
_REQUEST_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")


class SourceError(Exception):
    """A source that could not be asked. `reason` is one of our texts: what an operator looks at."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SourceRequest(Struct, frozen=True, kw_only=True):
    """A request. `source`: whose turn it takes. `ca`: PEM; empty: the system's authorities.

    `names`: those that its certificate may have instead of the URL's. `within`: the class of the
    source that gave the URL; None: an administrator gave it. `content`: a body as it is. `plain`:
    http is enough, as the answer is signed.
    """

    source: str
    url: str
    method: str = "GET"
    headers: Mapping[str, str] = {}
    form: Mapping[str, str] | None = None
    json: Any = None
    ca: str = ""
    names: tuple[str, ...] = ()
    within: AddressClass | None = None
    content: bytes | None = None
    plain: bool = False


class SourceAnswer(Struct, frozen=True):
    """An answer. `reached`: how far inside it came from."""

    status: int
    body: bytes
    reached: AddressClass

    def decode(self, shape: type[T]) -> T:
        """The body as JSON of this shape. Raises `SourceError`."""
        try:
            return json_text.decode(self.body, type=shape)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise SourceError("it answers with something else than expected") from None


class SourceClient:
    """Requests to all sources of one process."""

    def __init__(
        self, world: World, resolver: Resolver = resolve_host, seconds: float = SECONDS
    ) -> None:
        self._world = world
        self._resolve = resolver
        self._seconds = seconds
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._loading = trio.CapacityLimiter(1)
        self._turns = FairLimiter(
            MAX_CONCURRENT,
            group=Share(MAX_CONCURRENT_EACH, MAX_WAITING_EACH),
            member=Share(MAX_CONCURRENT_EACH, MAX_WAITING_EACH),
            waiting=MAX_WAITING,
        )

    async def send(self, request: SourceRequest) -> SourceAnswer:
        """The answer, whatever its status but a redirect. Raises `SourceError`."""
        try:
            target = parse_target(request.url)
        except (ValueError, UnicodeError):
            raise SourceError("its URL is not one to request") from None
        try:
            with trio.fail_after(self._seconds):
                async with self._turns.slot(request.source):
                    address, reached = await self._find_address(target, request)
                    return await self._exchange(request, target, address, reached)
        except trio.TooSlowError:
            raise SourceError(f"it does not answer within {self._seconds:g} s") from None
        except LimiterFull:
            raise SourceError("too many requests to it are waiting") from None

    async def _exchange(
        self, request: SourceRequest, target: TargetUrl, address: str, reached: AddressClass
    ) -> SourceAnswer:
        """The certificate is checked for a name, not for the address."""
        context = await self._context(request.ca)
        import httpx2  # here it is loaded already; an agent that asks no source never loads it

        name = request.names[0] if request.names else target.host
        sent = {**_REQUEST_HEADERS, **request.headers, "Host": target.host_header}
        try:
            async with (
                httpx2.AsyncClient(verify=context, timeout=self._seconds, trust_env=False) as http,
                http.stream(
                    request.method, target.url_at(address), headers=sent, data=request.form,
                    json=request.json, content=request.content, follow_redirects=False,
                    extensions={"sni_hostname": name},
                ) as reply,
            ):  # fmt: skip
                if reply.is_redirect or reply.has_redirect_location:
                    raise SourceError("it redirects, which is not followed")
                return SourceAnswer(reply.status_code, await _read_bounded(reply), reached)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise SourceError(_connection_reason(error)) from None

    async def _find_address(
        self, target: TargetUrl, request: SourceRequest
    ) -> tuple[str, AddressClass]:
        """The address to connect to, and its class. If any of a name's is not allowed, none is."""
        if is_literal(target.host):
            texts = [target.host]
        else:
            try:
                texts = await self._resolve(target.host, target.port)
            except (OSError, UnicodeError):
                raise SourceError("its name does not resolve") from None
        if not texts:
            raise SourceError("its name has no address")
        reached = max(classify(ip_address(text)) for text in texts)
        local = AddressClass.LOOPBACK if is_loopback(target.host) else AddressClass.PRIVATE
        if reached > (local if request.within is None else request.within):
            raise SourceError("its address is not one to connect to")
        is_open = target.scheme == "http" and reached is not AddressClass.LOOPBACK
        if is_open and not request.plain:
            raise SourceError("it needs an https URL")
        return texts[0], reached

    async def _context(self, ca: str) -> ssl.SSLContext:
        found = self._contexts.get(ca)
        if found is None:
            found = await self._world.run_sync(_load_client, ca, limiter=self._loading)
            if len(self._contexts) >= MAX_CONTEXTS:
                self._contexts.clear()
            self._contexts[ca] = found
        return found


def _load_client(ca: str) -> ssl.SSLContext:
    """As `make_context`; loads the HTTP client too, which takes 0.1 s."""
    import httpx2  # noqa: F401  # for the one who waits

    return make_context(ca)


def make_context(ca: str) -> ssl.SSLContext:
    """TLS that trusts these authorities (PEM), or the system's. Raises `SourceError`.

    Authorities of companies often lack extensions that RFC 5280 asks for; Python 3.13 on would
    refuse them, and 3.11 does not.
    """
    try:
        context = ssl.create_default_context(cadata=ca or None)
    except (ssl.SSLError, ValueError):
        raise SourceError("its CA certificate is not one in PEM") from None
    if ca:
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def check_source_url(url: str, field: str) -> None:
    """Raise `ValidationError` for a URL that is never requested."""
    try:
        target = parse_target(url)
    except (ValueError, UnicodeError):
        target = None
    if target is None or (target.scheme == "http" and not is_loopback(target.host)):
        raise ValidationError(
            "url_invalid", f"{field} needs an https URL (http on this machine alone)", field=field
        )


async def _read_bounded(reply: "httpx2.Response") -> bytes:
    """The body as sent: no compression was requested.

    The rest of a body that is too long is read and dropped, within the time of any answer: to stop
    in the middle would leave the client's generators to the garbage collector.
    """
    body, size = bytearray(), 0
    async for piece in reply.aiter_raw():
        size += len(piece)
        if size <= MAX_BODY:
            body += piece
    if size > MAX_BODY:
        raise SourceError(f"its answer is longer than {MAX_BODY >> 10} KiB")
    return bytes(body)


def _connection_reason(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "its certificate is not one to trust: see the CA certificate of the mount"
        cause = cause.__cause__ or cause.__context__
    return "no connection to it, or it broke off"
