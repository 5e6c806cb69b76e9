"""vault.cluster.shared_limits over a real Redis: by each way to it, and through its troubles."""

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from actors import SystemWorld
from loadtests.process import free_port
from tests.support.certificates import Authority
from tests.support.redis_server import Redis, redis
from vault.authz.rate_limits import TokenBuckets
from vault.cluster.redis import RedisTarget, open_connection
from vault.cluster.shared_limits import ANSWER_SECONDS, SharedLimits
from vault.config.password_file import bind_password
from vault.crypto.keyring import Keyring
from vault.model.server_address import ServerTls, parse_redis_address
from vault.seal.bound_keys import LimitKeys

KEYS = LimitKeys(Keyring.create(1, org="org", vault="vault"))
BURST = 100
PASSWORD = "hunter2 & co"
ACL = "~* resetchannels &freehold.limits.* -@all +publish +subscribe +ping"
WITHIN = 30.0  # seconds, on a busy machine
SLOWLY = 1 / 3600  # tokens a second: a test sees none come back


class Agent:
    """The limit of an agent."""

    def __init__(self, target: RedisTarget, node: str) -> None:
        world = SystemWorld()
        connect = partial(open_connection, target, world)
        self.shared = SharedLimits(KEYS, node, world, connect, receives=True)
        self._world = world
        self._limit = self.shared.track("failures", TokenBuckets(SLOWLY, BURST), BURST)

    def take(self, count: int = 1) -> int:
        """How many of so many requests are granted."""
        return sum(not self._limit.take_token("k", self._world.now()) for _ in range(count))

    async def wait_until(self, holds: Callable[[], object]) -> None:
        """Within the time."""
        with trio.fail_after(WITHIN):
            while not holds():  # noqa: ASYNC110  # no event tells of it
                await trio.sleep(0.01)

    async def wait_connected(self) -> None:
        """Until it is."""
        await self.wait_until(lambda: self.shared.statistics.connected)

    async def wait_failure(self, text: str) -> None:
        """Until it is not connected, for this reason."""
        await self.wait_until(lambda: text in self.shared.statistics.error)
        assert not self.shared.statistics.connected
        assert PASSWORD not in self.shared.statistics.error


@asynccontextmanager
async def agents(target: RedisTarget) -> AsyncIterator[tuple[Agent, Agent]]:
    """Two that run."""
    one, two = Agent(target, "one"), Agent(target, "two")
    async with trio.open_nursery() as nursery:
        for agent in (one, two):
            nursery.start_soon(agent.shared.run)
        yield one, two
        nursery.cancel_scope.cancel()


async def require_shared(one: Agent, two: Agent) -> None:
    """What one takes the other is charged."""
    before = two.shared.statistics.charged
    assert one.take(10) == 10
    await two.wait_until(lambda: two.shared.statistics.charged == before + 10)


@pytest.fixture
def server() -> Iterator[Redis]:
    """A Redis of the test."""
    with redis() as made:
        yield made


def target_of(url: str, tls: ServerTls | None = None, password: Path | None = None) -> RedisTarget:
    """As the settings make it."""
    reader = bind_password("cache.redis.password_file", password)
    return RedisTarget(parse_redis_address(url), tls, reader)


def restart(server: Redis, *options: str) -> None:
    """With other options."""
    server.kill()
    server.start(*options)


async def test_over_a_socket(server: Redis) -> None:
    """What one agent takes the other cannot take; nothing is stored."""
    async with agents(target_of(server.url)) as (one, two):
        await one.wait_connected()
        await two.wait_connected()
        await require_shared(one, two)
        await require_shared(two, one)
        assert one.take(BURST) == two.take(BURST) == BURST - 20
    assert server.command("DBSIZE").strip() == "0"


async def test_with_the_documented_permissions(server: Redis, tmp_path: Path) -> None:
    """A user of its own, its password in a file; over TCP."""
    port, file = free_port(), tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    restart(server, "--port", str(port))
    server.command("ACL", "SETUSER", "freehold", "on", f">{PASSWORD}", *ACL.split())
    server.command("ACL", "SETUSER", "default", "off")
    async with agents(target_of(f"redis://freehold@127.0.0.1:{port}/0", None, file)) as (one, two):
        await one.wait_connected()
        await two.wait_connected()
        await require_shared(one, two)


async def test_over_tls(server: Redis, tmp_path: Path) -> None:
    """Only to a server whose certificate is trusted and of its name."""
    port, authority = free_port(), Authority(tmp_path, "ours")
    certificate, key = authority.issue("redis", "127.0.0.1")
    restart(
        server, "--tls-port", str(port), "--tls-auth-clients", "no",
        "--tls-cert-file", str(certificate), "--tls-key-file", str(key),
    )  # fmt: skip
    url = f"rediss://127.0.0.1:{port}"
    async with agents(target_of(url, ServerTls(ca_file=authority.file))) as (one, two):
        await one.wait_connected()
        await two.wait_connected()
        await require_shared(one, two)
    for faulty, text in (
        (target_of(url, ServerTls()), "its certificate is not trusted"),
        (target_of(f"rediss://localhost:{port}", ServerTls(ca_file=authority.file)), "certificate"),
        (target_of(url, ServerTls(ca_file=tmp_path / "none")), "cache.redis.tls: a file cannot be"),
    ):
        async with agents(faulty) as (one, _):
            await one.wait_failure(text)


async def test_a_wrong_password_is_mended_while_it_runs(server: Redis, tmp_path: Path) -> None:
    """The limits are local until then; the file is read for each connection."""
    file = tmp_path / "password"
    server.command("CONFIG", "SET", "requirepass", PASSWORD)
    async with agents(target_of(server.url, None, file)) as (one, two):
        await one.wait_failure("cache.redis.password_file: ")
        file.write_text("another one")
        await one.wait_failure("wrong user or password")
        assert one.take(10) == 10
        file.write_text(PASSWORD)
        await one.wait_connected()
        await two.wait_connected()
        await require_shared(one, two)


@pytest.mark.parametrize(
    ("permissions", "text"),
    [("", "wants a password"), ("+subscribe &*", "lacks a perm"), ("+publish &*", "lacks a perm")],
)
async def test_what_it_may_not_do(server: Redis, permissions: str, text: str) -> None:
    """It says so."""
    port = free_port()
    restart(server, "--port", str(port))
    server.command("ACL", "SETUSER", "u", "on", f">{PASSWORD}", *permissions.split())
    server.command("CONFIG", "SET", "requirepass", PASSWORD)
    user = "u:hunter2%20%26%20co@" if permissions else ""
    async with agents(target_of(f"redis://{user}127.0.0.1:{port}")) as (one, _):
        await one.wait_failure(text)


async def test_killed_and_started_again(server: Redis) -> None:
    """Each agent has its own limit meanwhile; afterwards they share again."""
    async with agents(target_of(server.url)) as (one, two):
        await one.wait_connected()
        await two.wait_connected()
        server.kill()
        await one.wait_until(lambda: not one.shared.statistics.connected)
        await two.wait_until(lambda: not two.shared.statistics.connected)
        assert (one.take(30), two.take(30)) == (30, 30)
        server.start()
        await one.wait_connected()
        await two.wait_connected()
        await require_shared(one, two)
        server.command("FLUSHALL")
        await require_shared(two, one)


async def test_stopped(server: Redis) -> None:
    """Taking a token does not wait for it; that it is away is noticed within seconds."""
    async with agents(target_of(server.url)) as (one, two):
        await one.wait_connected()
        await two.wait_connected()
        server.freeze()
        begun = trio.current_time()
        assert one.take(10) == 10
        assert trio.current_time() - begun < ANSWER_SECONDS
        await one.wait_failure("does not answer in time")
        await two.wait_failure("does not answer in time")
        server.thaw()
        await one.wait_connected()
        await two.wait_connected()
        await require_shared(one, two)


async def test_slow(server: Redis) -> None:
    """Late, and still shared."""
    async with agents(target_of(server.url)) as (one, two):
        await one.wait_connected()
        await two.wait_connected()
        server.command("CLIENT", "PAUSE", "400", "ALL")
        await require_shared(one, two)
        assert one.shared.statistics.connected


async def test_something_else_listens() -> None:
    """It is mute, or not Redis; or nothing listens."""

    async def refuse(stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        async with agents(target_of(f"redis://127.0.0.1:{port}")) as (one, _two):
            await one.wait_failure("does not answer in time")
    async with agents(target_of(f"redis://127.0.0.1:{port}")) as (one, _two):
        await one.wait_failure("no connection (ConnectionRefusedError)")
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, refuse, port, host="127.0.0.1")
        await nursery.start(serve)
        async with agents(target_of(f"redis://127.0.0.1:{port}")) as (one, _two):
            await one.wait_failure("is not Redis 6 or later")
        nursery.cancel_scope.cancel()
