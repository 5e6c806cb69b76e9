"""The control plane is killed at every step of enrolment and fan-out: nothing is lost or twice."""

from pathlib import Path

import trio

from protocols.link import messages as m
from protocols.link import vocabulary as words
from protocols.link_transport.tls_contexts import pinned_context
from tests.acceptance.agent import running
from tests.acceptance.control.linked import WORLD, Linked, ask
from tests.acceptance.control.plane import Plane, dev_plane
from tests.acceptance.control.test_link import BASE, newcomer, push, shown

KILLS = 4
AGENTS = 8


def alert(number: int) -> m.Alert:
    """One that can be told apart from others."""
    return m.Alert(
        alert_id=number.to_bytes(16),
        code=words.AlertCode.DISK_LOW,
        severity=words.Severity.INFO,
        raised_at=number,
        subject=bytes(16),
        count=number + 1,
    )


def restarted(plane: Plane, agents: list[Linked]) -> None:
    """Killed and started again, which takes another port: a development plane's is the kernel's."""
    plane.kill()
    plane.start()
    for agent in agents:
        agent.port = plane.link_port


async def emptied(agents: list[Linked]) -> None:
    """Wait until all that they had to say is acknowledged."""
    with trio.fail_after(90):
        while True:
            if not any(agent.outbox.entries for agent in agents):
                return
            await trio.sleep(0.05)


async def test_a_fan_out_that_is_killed_goes_on(folder: Path) -> None:
    """Each agent ends with the newest bundle, no version twice, every alert exactly once."""
    plane = dev_plane(folder)
    with running(plane):
        plane.sign_in()
        plane.organization("acme")
        names = [f"v{number}" for number in range(AGENTS)]
        agents = [newcomer(plane, folder, name) for name in names]
        for kill in range(KILLS):
            for agent in agents:
                await agent.outbox.append(alert(kill))
            push(plane, f"p{kill}", *names)
            async with trio.open_nursery() as nursery:
                for agent in agents:
                    nursery.start_soon((await agent.dial(nursery)).run)
                await trio.sleep(0.03 * kill)
                restarted(plane, agents)
                nursery.cancel_scope.cancel()
        async with trio.open_nursery() as nursery:
            for agent in agents:
                nursery.start_soon((await agent.dial(nursery)).run)
            every = {f"p{kill}": 1 for kill in range(KILLS)}
            for name in names:
                await shown(plane, name, outcome="applied", policies=every)
            await emptied(agents)
            nursery.cancel_scope.cancel()
        wanted = plane.want(200, "GET", f"{BASE}/agents/v0/policy")["bundle_version"]
        for agent in agents:
            assert agent.bundles == sorted(set(agent.bundles))
            assert agent.bundles[-1] == wanted
        for name in names:
            found = plane.want(200, "GET", f"{BASE}/alerts?vault={name}")
            [told] = [row for row in found if row["code"] == "disk_low"]
            assert told["count"] == sum(kill + 1 for kill in range(KILLS)), told


async def test_an_enrolment_that_is_killed_can_be_asked_again(folder: Path) -> None:
    """With the same keys and token it leads to one certificate, whenever the kill came."""
    plane = dev_plane(folder)
    with running(plane):
        plane.sign_in()
        plane.organization("acme")
        for number in range(KILLS):
            name = f"v{number}"
            made = plane.want(201, "POST", f"{BASE}/enrolment-tokens", {"vault": name})
            agent = Linked(folder / name, plane.link_port, made["pin"])
            body = {"token": made["secret"], **agent.binding()}
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.to_thread.run_sync, asked, agent, body)
                await trio.sleep(0.01 * number)
                await trio.to_thread.run_sync(restarted, plane, [agent])
            agent.enrol(made["secret"])
            assert agent.grant is not None
            assert agent.grant.generation == 1
            async with agent.connected():
                await shown(plane, name, life="active", presence="online")
        verdict = plane.want(200, "GET", f"{BASE}/audit/verify")
        assert verdict["broken_at"] == 0


def asked(agent: Linked, body: object) -> None:
    """Enrol, whatever becomes of it."""
    try:
        ask(agent.port, "enrol", body, pinned_context(agent.pin, WORLD.now))
    except OSError:
        return
