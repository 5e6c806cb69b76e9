"""Sources of keys that are down, slow or lying: real servers on this machine."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from actors.testing import FakeWorld
from actors.world import SystemWorld
from protocols.outbound import AddressClass, resolve_host
from tests.support.certificates import Authority
from tests.support.identity_source import (
    PreparedReply,
    SigningKey,
    SourceServer,
    key_set,
    source_server,
)
from vault.authn.jwt import sources
from vault.authn.jwt.compact import InvalidTokenError, parse_token
from vault.authn.jwt.keys import MAX_KEYS, UnusableKeyError, keys_from_jwks, keys_from_pem
from vault.authn.jwt.source_client import MAX_BODY, SourceClient, SourceError, SourceRequest
from vault.authn.jwt.sources import (
    BREAKER_SECONDS,
    REFETCH_SECONDS,
    REFRESH_SECONDS,
    STALE_SECONDS,
    WELL_KNOWN,
    GivenKeys,
    RemoteKeys,
    SourceSettings,
)
from vault.errors import UnavailableError

KEY, OTHER = SigningKey("k-1"), SigningKey("k-2")
TOKEN, OTHERS = parse_token(KEY.sign({"a": 1})), parse_token(OTHER.sign({"a": 1}))
KEYS = "/keys"
SLOW = 1.0  # seconds that a client waits for one that does not answer


class Clock(FakeWorld):
    """Real threads; a monotonic clock that a test sets."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 1000.0

    def monotonic(self) -> float:
        """As set."""
        return self.at

    async def run_sync(self, fn: Any, *args: Any, **options: Any) -> Any:
        """In a thread."""
        return await SystemWorld().run_sync(fn, *args, **options)


@asynccontextmanager
async def remote(
    first: PreparedReply, seconds: float = 60.0
) -> AsyncIterator[tuple[SourceServer, RemoteKeys, Clock]]:
    """Keys at a server that answers so."""
    world = Clock()
    async with source_server({KEYS: first}) as server:
        settings = SourceSettings(jwks_url=server.address + KEYS)
        yield server, RemoteKeys(settings, SourceClient(world, seconds=seconds), world), world


async def test_keys_are_asked_for_once_and_again_after_a_while() -> None:
    """Not for each token; a key that the source withdraws ends with the next time."""
    async with remote(PreparedReply(body=key_set(KEY))) as (server, keys, world):
        for _ in range(3):
            await keys.verify(TOKEN)
        assert len(server.heard) == 1
        server.answers[KEYS] = PreparedReply(body=key_set(OTHER))
        world.at += REFRESH_SECONDS
        with pytest.raises(InvalidTokenError):
            await keys.verify(TOKEN)
        await keys.verify(OTHERS)
        assert len(server.heard) == 2


async def test_an_unknown_key_id_asks_again_at_most_every_so_often() -> None:
    """A rotated key is found; invented key ids make one request in that time."""
    async with remote(PreparedReply(body=key_set(KEY))) as (server, keys, world):
        await keys.verify(TOKEN)
        server.answers[KEYS] = PreparedReply(body=key_set(KEY, OTHER))
        with pytest.raises(InvalidTokenError):
            await keys.verify(OTHERS)
        world.at += REFETCH_SECONDS
        await keys.verify(OTHERS)
        for number in range(20):
            world.at += 1
            with pytest.raises(InvalidTokenError):
                await keys.verify(parse_token(SigningKey(f"k-{number + 9}").sign({})))
        assert len(server.heard) == 2


async def test_many_at_once_ask_once() -> None:
    """They wait for the one answer."""
    async with (
        remote(PreparedReply(body=key_set(KEY))) as (server, keys, _),
        trio.open_nursery() as nursery,
    ):
        for _ in range(30):
            nursery.start_soon(keys.verify, TOKEN)
    assert len(server.heard) == 1


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (PreparedReply(500), "answers 500"),
        (PreparedReply(404), "answers 404"),
        (PreparedReply(302, headers={"Location": "http://169.254.169.254/latest"}), "redirects"),
        (PreparedReply(307, headers={"Location": "http://127.0.0.1:1/"}), "redirects"),
        (PreparedReply(200, b"not json"), "no JSON Web Key Set"),
        (PreparedReply(200, b"{}"), "no JSON Web Key Set"),
        (PreparedReply(200, b'{"keys":[]}'), "no key"),
        (PreparedReply(200, b'{"keys":5}'), "list"),
        (PreparedReply(200, json.dumps({"keys": [{}] * (MAX_KEYS + 1)}).encode()), "list"),
        (PreparedReply(200, b" " * (MAX_BODY + 1)), "longer"),
        (PreparedReply(200, b" " * 65536, endless=True), "within"),
        (PreparedReply(late=True), "within"),
    ],
)  # fmt: skip
async def test_a_source_that_is_no_use(said: PreparedReply, reason: str) -> None:
    """It says so with a 503 that names the reason, follows nobody, and leaves nothing open."""
    seconds = SLOW if reason == "within" else 60.0
    async with remote(said, seconds) as (server, keys, _):
        with pytest.raises(UnavailableError, match=reason) as caught:
            await keys.verify(TOKEN)
        assert caught.value.code == "source_unavailable"
        assert len(server.heard) == 1
        with trio.fail_after(30):
            while server.connections:
                await trio.lowlevel.checkpoint()


async def test_a_source_that_is_down() -> None:
    """Nobody listens."""
    async with remote(PreparedReply()) as (server, _, world):
        address = server.address
    keys = RemoteKeys(SourceSettings(jwks_url=address), SourceClient(world), world)
    with pytest.raises(UnavailableError, match="no connection"):
        await keys.verify(TOKEN)


async def test_a_source_that_fails_again_and_again_is_left_alone_for_a_while() -> None:
    """The breaker opens: no request for some seconds, then one."""
    async with remote(PreparedReply(500)) as (server, keys, world):
        for _ in range(10):
            with pytest.raises(UnavailableError):
                await keys.verify(TOKEN)
            world.at += 0.001
        assert len(server.heard) == sources.BREAKER_FAILURES
        server.answers[KEYS] = PreparedReply(body=key_set(KEY))
        world.at += BREAKER_SECONDS
        await keys.verify(TOKEN)
        assert len(server.heard) == sources.BREAKER_FAILURES + 1


async def test_known_keys_count_for_an_hour_while_the_source_does_not_answer() -> None:
    """What is up stays up; what cannot be asked for too long does not count."""
    async with remote(PreparedReply(body=key_set(KEY))) as (server, keys, world):
        await keys.verify(TOKEN)
        server.answers[KEYS] = PreparedReply(500)
        world.at += STALE_SECONDS - 1
        await keys.verify(TOKEN)
        with pytest.raises(UnavailableError):  # not known, and nobody can say
            await keys.verify(OTHERS)
        world.at += 1
        with pytest.raises(UnavailableError):
            await keys.verify(TOKEN)


async def test_a_cancelled_caller_leaves_the_question_to_the_next() -> None:
    """A source that was slow for one caller is asked by another."""
    async with remote(PreparedReply(late=True)) as (server, keys, _):
        with trio.move_on_after(0.05):
            await keys.verify(TOKEN)
        server.answers[KEYS] = PreparedReply(body=key_set(KEY))
        await keys.verify(TOKEN)


def provider(address: str, **changed: object) -> PreparedReply:
    """A provider's metadata."""
    said = {"issuer": address, "jwks_uri": address + KEYS, **changed}
    return PreparedReply(body=json.dumps(said).encode())


async def test_discovery() -> None:
    """The metadata name the key set."""
    world = Clock()
    async with source_server({KEYS: PreparedReply(body=key_set(KEY))}) as server:
        server.answers[WELL_KNOWN] = provider(server.address, token_endpoint="https://t.example/")
        settings = SourceSettings(discovery_url=server.address)
        keys = RemoteKeys(settings, SourceClient(world), world)
        await keys.verify(TOKEN)
        metadata, reached = await keys.metadata()
        assert metadata.token_endpoint == "https://t.example/"
        assert reached is AddressClass.LOOPBACK


@pytest.mark.parametrize(
    "changed",
    [
        {"issuer": "https://other.example"}, {"jwks_uri": "https://169.254.169.254/keys"},
        {"jwks_uri": "file:///etc/passwd"}, {"jwks_uri": "http://10.0.0.1/keys"}, {"jwks_uri": 5},
    ],
)  # fmt: skip
async def test_metadata_that_lie(changed: dict[str, Any]) -> None:
    """Another issuer, or keys where nobody may be sent to."""
    world = Clock()
    async with source_server({KEYS: PreparedReply(body=key_set(KEY))}) as server:
        server.answers[WELL_KNOWN] = provider(server.address, **changed)
        keys = RemoteKeys(
            SourceSettings(discovery_url=server.address), SourceClient(world, seconds=SLOW), world
        )
        with pytest.raises(UnavailableError):
            await keys.verify(TOKEN)
        assert [heard.target for heard in server.heard] == [WELL_KNOWN]


@pytest.mark.parametrize(
    ("url", "addresses", "within"),
    [
        ("https://169.254.169.254/", [], None),
        ("https://[fe80::1]/", [], None),
        ("https://[::ffff:169.254.169.254]/", [], None),
        ("https://0.0.0.0/", [], None),
        ("https://224.0.0.1/", [], None),
        ("https://idp.example/", ["169.254.169.254"], None),
        ("https://idp.example/", ["127.0.0.1"], None),
        ("https://idp.example/", ["93.184.215.14", "::1"], None),
        ("https://idp.example/", ["10.0.0.1"], AddressClass.PUBLIC),
        ("https://localhost/", ["127.0.0.1"], AddressClass.PRIVATE),
        ("https://idp.example/", [], None),
        ("http://10.0.0.1/", [], None),
        ("http://idp.example/", ["10.0.0.1"], None),
        ("ftp://idp.example/", [], None),
        ("https://user@idp.example/", [], None),
    ],
)  # fmt: skip
async def test_addresses_that_are_not_connected_to(
    url: str, addresses: list[str], within: AddressClass | None
) -> None:
    """By any spelling or name; no further inside than who gave the URL."""
    asked = []

    async def resolver(host: str, _: int) -> list[str]:
        asked.append(host)
        return addresses

    client = SourceClient(Clock(), resolver, seconds=SLOW)
    with pytest.raises(SourceError, match=r"URL|address|https"):
        await client.send(SourceRequest(source="s", url=url, within=within))


async def test_the_authority_of_the_mount(tmp_path: Path) -> None:
    """TLS with a CA of its own; another CA is refused, and so is a certificate for another name."""
    authority, other = Authority(tmp_path, "ours"), Authority(tmp_path, "other")
    answers: dict[str, Any] = {KEYS: PreparedReply(body=key_set(KEY))}
    world = Clock()

    async def loopback(host: str, port: int) -> list[str]:
        return await resolve_host("127.0.0.1" if host == "localhost" else host, port)

    async with source_server(answers, authority.issue("server", "127.0.0.1")) as server:
        for ca, url, good in (
            (authority.file.read_text(), server.address, True),
            (other.file.read_text(), server.address, False),
            ("", server.address, False),
            (authority.file.read_text(), server.address.replace("127.0.0.1", "localhost"), False),
        ):
            settings = SourceSettings(jwks_url=url + KEYS, ca=ca)
            keys = RemoteKeys(settings, SourceClient(world, loopback), world)
            if good:
                await keys.verify(TOKEN)
            else:
                with pytest.raises(UnavailableError, match="certificate"):
                    await keys.verify(TOKEN)
    with pytest.raises(SourceError, match="CA certificate"):
        await SourceClient(world).send(SourceRequest(source="s", url=server.address, ca="x"))


async def test_given_keys() -> None:
    """By id from a key set; in PEM a key has none, and each is tried."""
    await GivenKeys(keys_from_jwks(key_set(KEY, OTHER))).verify(OTHERS)
    await GivenKeys(keys_from_pem([KEY.pem(), OTHER.pem()])).verify(OTHERS)
    with pytest.raises(InvalidTokenError):
        await GivenKeys(keys_from_pem([KEY.pem()])).verify(OTHERS)
    renamed = parse_token(OTHER.sign({}, kid="k-1"))
    with pytest.raises(InvalidTokenError):
        await GivenKeys(keys_from_jwks(key_set(KEY, OTHER))).verify(renamed)


def test_pinned_algorithms() -> None:
    """A key that is not for one of them is no key."""
    both = key_set(KEY, SigningKey("r", "RS256"))
    assert len(keys_from_jwks(both).keys) == 2
    assert [key.kid for key in keys_from_jwks(both, ("RS256",)).keys] == ["r"]
    with pytest.raises(UnusableKeyError):
        keys_from_pem([KEY.pem()], ("RS256",))
    with pytest.raises(UnusableKeyError):
        keys_from_pem(["x"])
    for wrong in ({"use": "enc"}, {"key_ops": ["sign"]}, {"d": "AAAA"}, {"alg": "HS256"}):
        with pytest.raises(UnusableKeyError):
            keys_from_jwks(json.dumps({"keys": [KEY.jwk(**wrong)]}))
