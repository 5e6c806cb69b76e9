"""What becomes of the link on bad networks: cut, silent, one-sided, slow, out of order.

Real processes on hosts of their own (network namespaces), packets on wires that the test holds.
Whatever happens: the agent serves, the dead are noticed, and afterwards each side has exactly what
the other gave it.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.acceptance.command import freehold
from tests.acceptance.link.estate import Estate, Site, estate, until
from tests.acceptance.link.netns import DEVICE

OFFLINE = {"offline", "queueing"}
PACE = 3
"""Attempts a second at most: they are a second apart on average (`reconnect_within`)."""


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[Estate, Site, Site]]:
    """A site whose network is bad, and one whose network is good."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")  # which fails on CI (tests/conftest.py)
    with estate("bad", "good") as (whole, (bad, good)):
        yield whole, bad, good


@contextmanager
def outage(whole: Estate, bad: Site, good: Site) -> Iterator[None]:
    """The block begins once both ends have noticed, with things waiting at either side.

    It heals the network; afterwards the agent must be level with its control plane.
    """
    applied, begun = bad.applied(), time.monotonic()
    until(lambda: bad.state in OFFLINE, "the agent notices")
    until(lambda: whole.presence(bad) == "offline", "the control plane notices")
    until(lambda: whole.presence(good) == "online", "the other is heard")
    bad.serves("while away")
    bad.alarmed()
    until(lambda: bad.state == "queueing", "what is to be told waits")
    whole.push()
    whole.settled(good)
    assert bad.status["attempts"] <= 5 + PACE * (time.monotonic() - begun)
    yield
    whole.settled(bad)
    bad.serves("back again")
    assert bad.applied() == applied + 1


def test_a_cable_that_is_pulled_and_put_back(place: tuple[Estate, Site, Site]) -> None:
    """Nobody is told by TCP: silence alone says it."""
    whole, bad, good = place
    bad.host.link(DEVICE, "down")
    with outage(whole, bad, good):
        bad.host.link(DEVICE, "up")


@pytest.mark.parametrize("which", ["up", "down"])
def test_a_black_hole(place: tuple[Estate, Site, Site], which: str) -> None:
    """In one direction, the other still carries: neither end may believe in half a link."""
    whole, bad, good = place
    way = bad.wire.there if which == "up" else bad.wire.back
    way.blocked = True
    with outage(whole, bad, good):
        way.blocked = False


def test_an_agent_whose_host_vanishes(place: tuple[Estate, Site, Site]) -> None:
    """No FIN, no RST: its connection stays half open until its silence ends it."""
    whole, bad, good = place
    block(bad, blocked=True)
    bad.agent.kill()
    until(lambda: whole.presence(bad) == "offline", "the control plane notices")
    until(lambda: whole.presence(good) == "online", "the other is heard")
    whole.push()
    block(bad, blocked=False)
    bad.start()
    whole.settled(bad)
    bad.serves("risen")


def test_a_control_plane_whose_host_vanishes(place: tuple[Estate, Site, Site]) -> None:
    """The agents keep half-open connections to it, notice, queue, and come back one by one."""
    whole, bad, good = place
    sites = (bad, good)
    sessions = {site.name: site.sessions() for site in sites}
    for site in sites:
        block(site, blocked=True)
    whole.plane.kill()
    for site in sites:
        until(lambda site=site: site.state in OFFLINE, "the agent notices")
        site.serves("alone")
        site.alarmed()
    whole.start()
    for site in sites:
        block(site, blocked=False)
    for site in sites:
        whole.settled(site)
        assert 1 <= site.sessions() - sessions[site.name] <= 3  # on a busy machine


def test_a_slow_and_lossy_link(place: tuple[Estate, Site, Site]) -> None:
    """400 ms, 64 kbit/s and every twentieth packet lost: it syncs, and stays on line."""
    whole, bad, good = place
    block(bad, blocked=True)
    with outage(whole, bad, good):
        for way in bad.wire.ways:
            way.blocked, way.delay, way.rate, way.loss = False, 0.4, 64_000, 0.05
        until(lambda: bad.state == "syncing", "it syncs")
    whole.push()
    whole.settled(bad)
    assert all(way.dropped for way in bad.wire.ways)
    for way in bad.wire.ways:
        way.delay = way.rate = way.loss = 0.0


def test_packets_that_come_twice_or_late(place: tuple[Estate, Site, Site]) -> None:
    """What TCP puts right is not seen above it.

    On a busy machine a second without a turn ends a session as well; not three times in a row.
    """
    whole, bad, _ = place
    for way in bad.wire.ways:
        way.delay, way.twice, way.late = 0.01, 0.3, 0.3
    uncut = [pushed_without_a_cut(whole, bad) for _ in range(3)]
    assert all(way.repeated and way.overtaken for way in bad.wire.ways)
    assert any(uncut)
    for way in bad.wire.ways:
        way.delay = way.twice = way.late = 0.0


def pushed_without_a_cut(whole: Estate, site: Site) -> bool:
    """One more version reaches it; whether its session is the same."""
    sessions = site.sessions()
    whole.push()
    whole.settled(site)
    return site.sessions() == sessions


def test_the_ledger_has_every_byte_that_was_on_the_wire(place: tuple[Estate, Site, Site]) -> None:
    """By the owner's own capture and the agent's key log; a message that it lacks would show."""
    whole, bad, good = place
    for site in (bad, good):
        site.host.inside(site.agent.stop)
    for host in (bad.host, whole.host):  # a last packet of an old connection would be in the file
        until(lambda host=host: not host.connected(), "old connections are over", 180.0)
    capture, keys = bad.agent.folder / "wire.pcap", bad.agent.folder / "tls.log"
    with capture.open("wb") as file:
        bad.wire.capture(file)
        bad.start()
        whole.settled(bad)
        whole.push()
        whole.settled(bad)
        bad.host.inside(bad.agent.stop)
        bad.wire.captured()
    config = str(bad.agent.folder / "vault.yaml")
    words = ("agent", "egress", "compare", "--config", config, "--keylog", str(keys), "--pcap")
    done = freehold("-o", "json", *words, str(capture))
    assert done.returncode == 0, (done.stdout, done.stderr)
    found = json.loads(done.stdout)
    assert found["connections"] >= 1
    assert found["messages"] == found["matched"] > 5
    assert found["other_bytes"] <= 2 * found["connections"]  # the number that a close has
    parts = ("message_bytes", "protocol_bytes", "other_bytes", "handshake_bytes", "sealing_bytes")
    assert found["wire_bytes"] == sum(found[part] for part in parts)
    keys.write_text("")
    blind = freehold("-o", "json", *words, str(capture))
    assert blind.returncode == 1
    assert json.loads(blind.stdout)["unread"]
    for site in (bad, good):
        site.start()


def block(site: Site, *, blocked: bool) -> None:
    """Both directions of its wire."""
    for way in site.wire.ways:
        way.blocked = blocked
