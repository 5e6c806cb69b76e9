"""Asking a provider: where, how often, and how much of an answer is read."""

import json
from collections.abc import AsyncIterator
from functools import partial
from ipaddress import ip_address

import pytest
import trio

from actors.testing import FakeWorld
from control.authn import oidc_provider
from control.authn.id_token import ExpectedClaims
from control.authn.oidc_provider import ClientCredentials, ProviderClient, ProviderHosts
from control.errors import AuthenticationError, UnavailableError, ValidationError
from control.notify.errors import PermanentDeliveryError
from protocols.errors import ApiError
from protocols.outbound import Resolver, resolve_host
from tests.unit.control.authn.test_id_token import CLAIMS, RSA, jwk, signed
from tests.unit.control.notify.receiving import Authority

OPEN = ProviderHosts(loopback=True)
NAME = "idp.example"
NAMED = ProviderHosts(hosts=(NAME,))


class Idp:
    """A server that says what a test has put there, and counts who asks."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[str] = []
        self.answers: dict[str, bytes] = {}
        self.bodies: list[bytes] = []
        self.at = "http://127.0.0.1"

    @property
    def issuer(self) -> str:
        """Its name."""
        return f"{self.at}:{self.port}"

    def say(self, path: str, content: object, status: str = "200 OK", extra: str = "") -> None:
        """Answer so."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{extra}"
        self.answers[path] = head.encode() + b"\r\n" + body

    async def serve(self, stream: trio.SocketStream) -> None:
        """One request."""
        async with stream:
            told = b""
            while not _is_whole(told):
                told += await stream.receive_some(65536)
            path = told.split(b" ")[1].decode()
            self.asked.append(path)
            self.bodies.append(told)
            missing = b"HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            await stream.send_all(self.answers.get(path, missing))


def _is_whole(told: bytes) -> bool:
    head, end, body = told.lower().partition(b"\r\n\r\n")
    _, _, length = head.partition(b"content-length: ")
    return bool(end) and len(body) >= int(length.split(b"\r")[0] or 0)


@pytest.fixture
async def idp() -> AsyncIterator[Idp]:
    """With good answers, listening."""
    made = Idp()
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, made.serve, 0, host="127.0.0.1")
        [listener] = await nursery.start(serve)
        made.port = listener.socket.getsockname()[1]
        made.say("/.well-known/openid-configuration", metadata(made))
        made.say("/jwks", {"keys": [jwk(RSA)]})
        yield made
        nursery.cancel_scope.cancel()


def metadata(idp: Idp, **changed: object) -> dict[str, object]:
    """What it says of itself."""
    return {
        "issuer": idp.issuer,
        "authorization_endpoint": f"{idp.issuer}/auth",
        "token_endpoint": f"{idp.issuer}/token",
        "jwks_uri": f"{idp.issuer}/jwks",
        **changed,
    }


@pytest.mark.parametrize(
    ("url", "reach", "fine"),
    [
        ("https://idp.example", ProviderHosts(), True),
        ("https://idp.example:8443/tenant", ProviderHosts(), True),
        ("https://idp.example", ProviderHosts(hosts=("idp.example",)), True),
        ("https://evil.example", ProviderHosts(hosts=("idp.example",)), False),
        ("https://idp.example.evil.example", ProviderHosts(hosts=("idp.example",)), False),
        ("http://idp.example", OPEN, False),
        ("http://127.0.0.1:1", OPEN, True),
        ("http://localhost", OPEN, True),
        ("http://127.0.0.1", ProviderHosts(), False),
        ("http://127.0.0.1@10.0.0.1", OPEN, False),
        ("https://user@idp.example", ProviderHosts(), False),
        ("https://idp.example/#f", ProviderHosts(), False),
        ("https://idp.example\\@10.0.0.1", ProviderHosts(), False),
        ("https://idp.example/a b", ProviderHosts(), False),
        ("https://[half", ProviderHosts(), False),
        ("https://idp.example:99999", ProviderHosts(), False),
        ("ftp://idp.example", ProviderHosts(), False),
        ("file:///etc/passwd", OPEN, False),
        ("", ProviderHosts(), False),
    ],
)
def test_where_a_provider_may_be(url: str, reach: ProviderHosts, *, fine: bool) -> None:
    """https, named hosts if any are named, loopback only for development."""
    providers = ProviderClient(reach, FakeWorld())
    if fine:
        providers.check_url(url)
        return
    with pytest.raises(ValidationError, match="issuer_invalid"):
        providers.check_url(url)


def answering(*addresses: str) -> Resolver:
    """Every name is at these."""

    async def look_up(host: str, port: int) -> list[str]:
        return list(addresses)

    return look_up


@pytest.fixture
async def hidden() -> AsyncIterator[tuple[Idp, Authority]]:
    """A provider `idp.example` by TLS, within: its name leads to this machine."""
    made, authority = Idp(), Authority()
    made.at = f"https://{NAME}"
    async with trio.open_nursery() as nursery:
        serve = partial(
            trio.serve_ssl_over_tcp, made.serve, 0, authority.server(NAME), host="127.0.0.1"
        )
        [listener] = await nursery.start(serve)
        made.port = listener.transport_listener.socket.getsockname()[1]
        made.say("/.well-known/openid-configuration", metadata(made))
        made.say("/jwks", {"keys": [jwk(RSA)]})
        yield made, authority
        nursery.cancel_scope.cancel()


async def test_nobody_names_a_provider_within(
    hidden: tuple[Idp, Authority], world: FakeWorld
) -> None:
    """By whichever name; the settings that can allow it are told."""
    idp, authority = hidden
    providers = ProviderClient(ProviderHosts(), world, answering("127.0.0.1"), authority.trust())
    for issuer in (idp.issuer, f"https://127.0.0.1:{idp.port}", f"https://[::1]:{idp.port}"):
        with pytest.raises(ApiError, match=r"issuer_private|oidc_unavailable") as told:
            await providers.fetch_metadata(issuer)
        assert "identity.private" in told.value.message
        assert "identity.hosts" in told.value.message
    assert idp.asked == []


@pytest.mark.parametrize("key", ["jwks_uri", "token_endpoint"])
async def test_nor_does_a_provider_name_an_endpoint_within(
    key: str, idp: Idp, world: FakeWorld
) -> None:
    """Each is looked at when it is asked: what is there gets nothing, not even the code."""
    idp.say(
        "/.well-known/openid-configuration",
        metadata(idp, **{key: f"https://within.example:{idp.port}/x"}),
    )
    providers = ProviderClient(OPEN, world, answering("10.0.0.1"))
    with pytest.raises(UnavailableError, match="oidc_unavailable"):
        await providers.exchange_code(
            idp.issuer, ClientCredentials("freehold", "s"), "c", "v", "http://x/cb"
        )
    assert "/x" not in idp.asked


async def test_whom_the_operator_names_may_be_within(
    hidden: tuple[Idp, Authority], world: FakeWorld
) -> None:
    """At the address that was looked at, and proven by its name; asked as what it calls itself."""
    idp, authority = hidden
    here = answering("127.0.0.1")
    told = await ProviderClient(NAMED, world, here, authority.trust()).fetch_metadata(idp.issuer)
    assert told.jwks_uri == f"{idp.issuer}/jwks"
    assert f"host: {NAME}:{idp.port}".encode() in idp.bodies[0].lower()
    idp.at = "https://other.example"
    others = ProviderClient(ProviderHosts(("other.example",)), world, here, authority.trust())
    with pytest.raises(UnavailableError):
        await others.fetch_metadata(idp.issuer)
    assert len(idp.asked) == 2


@pytest.mark.parametrize(
    ("address", "fine"),
    [
        ("10.1.2.3", True),
        ("172.31.0.1", True),
        ("192.168.0.1", True),
        ("100.64.0.1", True),
        ("fd00::1", True),
        ("::ffff:10.1.2.3", True),
        ("93.184.215.14", True),
        ("127.0.0.1", False),
        ("::1", False),
        ("169.254.169.254", False),
        ("::ffff:169.254.169.254", False),
        ("fe80::1", False),
        ("0.0.0.0", False),
    ],
)
async def test_what_private_allows(address: str, *, fine: bool) -> None:
    """Networks of an organization; not this machine, nor what a cloud has on the link."""
    outward = ProviderHosts(private=True).address_policy("idp.example")
    if fine:
        assert ip_address(await outward.resolve_address(address, 443, resolve_host)) == ip_address(
            address
        )
        return
    with pytest.raises(PermanentDeliveryError):
        await outward.resolve_address(address, 443, resolve_host)


async def test_a_slow_provider_does_not_hold_all(idp: Idp, world: FakeWorld) -> None:
    """However many wait for it, another one is asked meanwhile."""
    reached = trio.Event()
    waiting = 0

    async def silence(stream: trio.SocketStream) -> None:
        nonlocal waiting
        async with stream:
            waiting += 1
            if waiting == oidc_provider.MAX_CONCURRENT_EACH:
                reached.set()
            await trio.sleep_forever()

    providers = ProviderClient(OPEN, world)
    async with trio.open_nursery() as nursery:
        [slow] = await nursery.start(partial(trio.serve_tcp, silence, 0, host="127.0.0.1"))
        issuer = f"http://127.0.0.1:{slow.socket.getsockname()[1]}"
        for _ in range(2 * oidc_provider.MAX_CONCURRENT):
            nursery.start_soon(providers.fetch_metadata, issuer)
        await reached.wait()
        with trio.fail_after(oidc_provider.SECONDS / 2):
            await providers.fetch_metadata(idp.issuer)
        assert waiting == oidc_provider.MAX_CONCURRENT_EACH
        nursery.cancel_scope.cancel()


async def test_what_it_says_is_believed_for_an_hour(idp: Idp, world: FakeWorld) -> None:
    """Then it is asked again."""
    providers = ProviderClient(OPEN, world)
    for _ in range(3):
        await providers.fetch_metadata(idp.issuer)
    assert len(idp.asked) == 2
    world.advance(3600)
    await providers.fetch_metadata(idp.issuer)
    assert len(idp.asked) == 4


async def test_a_new_key_is_fetched_and_an_unknown_one_not_for_ever(
    idp: Idp, world: FakeWorld
) -> None:
    """A key id that somebody makes up asks the provider once a minute, not at each try."""
    providers = ProviderClient(OPEN, world)
    claims = {"iss": idp.issuer, "exp": 2**40, "iat": 0}
    expected = ExpectedClaims(idp.issuer, "freehold", CLAIMS["nonce"], world.now())
    idp.say("/jwks", {"keys": []})
    for _ in range(5):
        with pytest.raises(AuthenticationError):
            await providers.verify_id_token(idp.issuer, signed(claims), expected)
    assert idp.asked.count("/jwks") == 1
    idp.say("/jwks", {"keys": [jwk(RSA)]})
    world.advance(60)
    assert (await providers.verify_id_token(idp.issuer, signed(claims), expected))["sub"] == "u-1"
    assert idp.asked.count("/jwks") == 2


@pytest.mark.parametrize(
    "changed",
    [
        {"issuer": "https://other.example"},
        {"jwks_uri": "http://169.254.169.254/latest"},
        {"token_endpoint": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"end_session_endpoint": "http://10.0.0.1/"},
    ],
)
async def test_what_it_points_to_is_checked_too(
    idp: Idp, world: FakeWorld, changed: dict[str, object]
) -> None:
    """It cannot send us, or a browser, where it could not be itself."""
    idp.say("/.well-known/openid-configuration", metadata(idp, **changed))
    with pytest.raises(ValidationError):
        await ProviderClient(OPEN, world).fetch_metadata(idp.issuer)
    assert idp.asked == ["/.well-known/openid-configuration"]


async def test_answers_are_bounded(
    idp: Idp, world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In size, time and kind; a redirect is not followed; the error tells nothing of them."""
    path = "/.well-known/openid-configuration"
    providers = ProviderClient(OPEN, world)
    idp.say("/secret", {"inside": "canary"})
    cases: list[tuple[object, str, str]] = [
        (b"[" * 300_000, "200 OK", ""),
        (b"x" * (oidc_provider.MAX_BODY + 1), "200 OK", ""),
        (b"canary", "200 OK", ""),
        (b"", "302 Found", f"Location: {idp.issuer}/secret\r\n"),
        (b"canary", "500 No", ""),
    ]
    for content, status, extra in cases:
        idp.say(path, content, status, extra)
        with pytest.raises(UnavailableError) as told:
            await providers.fetch_metadata(idp.issuer)
        assert "canary" not in str(told.value)
    assert "/secret" not in idp.asked
    monkeypatch.setattr(oidc_provider, "SECONDS", 0.05)
    idp.answers[path] = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"  # and never the body
    with pytest.raises(UnavailableError):
        await providers.fetch_metadata(idp.issuer)


async def test_a_host_that_is_none(world: FakeWorld) -> None:
    """A label that no name has is refused; a name without address does not answer."""
    with pytest.raises(ValidationError):
        await ProviderClient(ProviderHosts(), world).fetch_metadata(f"https://{'a' * 70}.invalid")
    with pytest.raises(UnavailableError):
        await ProviderClient(ProviderHosts(), world, answering()).fetch_metadata(
            "https://none.invalid"
        )


async def test_a_code_for_a_token(idp: Idp, world: FakeWorld) -> None:
    """By the way of telling who we are that the provider knows, odd characters and all."""
    providers = ProviderClient(OPEN, world)
    idp.say("/token", {"id_token": "a.b.c", "access_token": "not looked at"})
    exchange = partial(providers.exchange_code, idp.issuer)
    assert (
        await exchange(ClientCredentials("free hold", "s:/%"), "c", "v", "http://x/cb") == "a.b.c"
    )
    assert b"authorization: basic znjlzsuymghvbgq6cyuzqsuyriuynq==" in idp.bodies[-1].lower()
    await exchange(ClientCredentials("freehold", ""), "c", "v", "http://x/cb")
    assert b"client_id=freehold" in idp.bodies[-1]
    assert b"authorization:" not in idp.bodies[-1].lower()
    for content, status, error in (
        ({"error": "invalid_grant"}, "400 Bad Request", AuthenticationError),
        ({"access_token": "x"}, "200 OK", UnavailableError),
    ):
        idp.say("/token", content, status)
        with pytest.raises(error):
            await exchange(ClientCredentials("freehold", "s"), "c", "v", "http://x/cb")
