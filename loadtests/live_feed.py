"""Cost of the live feed: `python -m loadtests.live_feed [--agents N] [--browsers B] [--seconds S]`.

A whole control plane on SQLite in this process, with its server; browsers in a process of their own
that only count what they read. Agents are not linked: their reports (one a minute each, spread) and
links are told to the hub as the gateway tells them. CPU time is that of this process.
"""

import argparse
import json
import resource
import socket
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import trio
from argon2 import PasswordHasher

from actors import SystemWorld
from control.authn.session_opener import SessionRequest
from control.bootstrap import create_dev_authority
from control.config.load import dev_settings
from control.core import Core, live_services, open_control_plane
from control.live.endpoint import LiveEndpoint
from control.live.hub import LiveHub
from control.model.agents import Life, new_agent
from control.model.people import PLATFORM, Organization, Role, TokenKind
from control.store import agents, people
from protocols.http import Limits, serve
from protocols.http.session_key import parts_of
from protocols.link import messages as m
from protocols.link import vocabulary as words

PASSWORD = "correct horse battery"
MINUTE = 60.0


def report(until: int, requests: int) -> m.Metrics:
    """One of an agent."""
    rest = (0,) * len(words.BUCKETS_US)
    return m.Metrics(
        since=0,
        until=until,
        counters=(m.CounterValue(name=words.CounterName.REQUESTS, value=requests),),
        gauges=(m.GaugeValue(name=words.GaugeName.SECRETS, value=12),),
        histograms=(
            m.HistogramValue(
                name=words.HistogramName.REQUEST_DURATION, counts=(requests, *rest), sum_us=0
            ),
        ),
    )


async def fill(core: Core, count: int) -> None:
    """An organization with so many agents, and somebody who may look."""
    for org in (PLATFORM, "acme"):
        row = Organization(org, org, 1)
        await core.store.write(lambda tx, row=row: people.add_organization(tx, row))
    await core.people.users.create_user(None, "acme", "ann", Role.OWNER, PASSWORD)
    now = core.world.now()
    rows = [new_agent("acme", f"vault-{n:05}", Life.ACTIVE, now=now, tags=("prod", "west"))
            for n in range(count)]  # fmt: skip

    def add(tx: Any, some: list[Any]) -> None:
        for row in some:
            agents.add_agent(tx, row)

    for start in range(0, count, 500):
        some = rows[start : start + 500]
        await core.store.write(lambda tx, some=some: add(tx, some))


async def measure(count: int, browsers: int, seconds: float) -> dict[str, Any]:
    """One run."""
    with tempfile.TemporaryDirectory() as folder:
        world = SystemWorld()
        create_dev_authority(Path(folder), world.now())
        cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        settings = dev_settings("127.0.0.1:0", Path(folder))
        async with (
            open_control_plane(settings, world, cheap) as core,
            trio.open_nursery() as nursery,
        ):
            await fill(core, count)
            hub = LiveHub(core.store, core.bus, core.presence, world)
            await nursery.start(hub.run)
            live = LiveEndpoint(live_services(core), hub)
            run = partial(
                serve, live, host="127.0.0.1", port=0, tls=None, limits=Limits(), websockets=True
            )
            handle = await nursery.start(run)
            for n in range(count):
                core.presence.record_message("acme", f"vault-{n:05}")
                hub.on_message("acme", f"vault-{n:05}", report(0, 0))
            found = await _run(core, hub, handle.port, count, browsers, seconds)
            nursery.cancel_scope.cancel()
    return found


async def _run(  # noqa: PLR0917
    core: Core, hub: LiveHub, port: int, count: int, browsers: int, seconds: float
) -> dict[str, Any]:
    sessions = []
    for _ in range(browsers):
        secret, _ = await core.people.accounts.login(
            "acme", "ann", PASSWORD, SessionRequest(TokenKind.BROWSER)
        )
        sessions.append(parts_of(secret))
    argument = json.dumps({"port": port, "sessions": sessions, "seconds": seconds + 4})
    command = [sys.executable, "-m", "loadtests.live_feed", "--client", argument]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:  # noqa: ASYNC220, S603
        await trio.sleep(4)  # snapshots
        began, cpu = time.perf_counter(), time.process_time()
        events = await _report(hub, count, seconds)
        took, used = time.perf_counter() - began, time.process_time() - cpu
        out = await trio.to_thread.run_sync(client.communicate)
    return {
        "agents": count, "browsers": browsers, "events": events, "events_a_second": events / took,
        "cpu_share": used / took, "cpu_us_an_event": 1e6 * used / max(events, 1),
        "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        **(json.loads(out[0]) if browsers else {}),
    }  # fmt: skip


async def _report(hub: LiveHub, count: int, seconds: float) -> int:
    """Every agent once a minute, evenly; how many reports that were."""
    sent, began = 0, trio.current_time()
    while (passed := trio.current_time() - began) < seconds:
        due = int(passed * count / MINUTE)
        while sent < due:
            vault, turn = sent % count, 1 + sent // count
            told = report(60_000 * turn, 600 * turn + sent % 97)
            hub.on_message("acme", f"vault-{vault:05}", told)
            sent += 1
        await trio.sleep(0.01)
    return sent


async def client(port: int, sessions: list[tuple[str, str]], seconds: float) -> None:
    """Browsers that count: bytes of snapshots and of changes, each on average."""
    counts = {"snapshot_bytes": 0, "change_bytes": 0, "messages": 0}

    async def one(cookie: str, key: str) -> None:
        offer = (
            f"GET /api/v1/live HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\n"
            f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://127.0.0.1:{port}\r\n"
            f"Sec-WebSocket-Protocol: freehold.live, freehold.session-key.{key}\r\n"
            f"Cookie: freehold-session-{port}={cookie}\r\n\r\n"
        )
        text = b'{"watch":1,"topic":"fleet","org":"acme"}'
        frame = bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await stream.send_all(offer.encode() + frame)
            with trio.move_on_after(seconds) as scope:
                async for data in stream:
                    early = trio.current_time() < scope.deadline - seconds + 4
                    counts["snapshot_bytes" if early else "change_bytes"] += len(data)
                    counts["messages"] += not early

    async with trio.open_nursery() as nursery:
        for cookie, key in sessions:
            nursery.start_soon(one, cookie, key)
    told = {name: value / max(len(sessions), 1) for name, value in counts.items()}
    told["change_bytes_a_minute"] = told["change_bytes"] * 60 / (seconds - 4)
    print(json.dumps(told))


def main() -> None:
    """Print the figures of one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=100)
    parser.add_argument("--browsers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--client", default="")
    chosen = parser.parse_args()
    if chosen.client:
        trio.run(partial(client, **json.loads(chosen.client)))
    else:
        print(json.dumps(trio.run(measure, chosen.agents, chosen.browsers, chosen.seconds)))


if __name__ == "__main__":
    main()
