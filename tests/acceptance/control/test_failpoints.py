"""The control plane dies at each step of enrolment, linking and fan-out, one after the other.

The steps are counted, not timed: for each kind of step the flow is done again with the death one of
them later, until it is over before that one comes. After each death it is started again, the same
is asked for again, and what must hold is looked at.
"""

import http.client
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from protocols.link.errors import LinkError
from protocols.link_transport.tls_contexts import pinned_context
from tests.acceptance.agent import running
from tests.acceptance.control.failpoints import PLACES
from tests.acceptance.control.linked import WORLD, Linked, ask
from tests.acceptance.control.plane import Plane, dev_plane
from tests.acceptance.control.test_link import BASE, DOCUMENT, newcomer, shown
from tests.acceptance.control.test_link_crash import alert
from tests.acceptance.maker import Made, Maker

ENROLMENT = ("commit", "committed", "certificate", "handshake", "receive", "send", "end")
FAN_OUT = ("commit", "committed", "sign policy", "sign link", "handshake", "receive", "send")
LINGERS = 1.0
"""Seconds for what follows when the agent has what it wants already: an end of a connection."""
MOST = 40
"""Steps of a kind in one flow; more means that it never ends by itself."""
NOT_OF_THESE = ("control.services.signed_heads.",)
"""Who signs or commits beside: heads of the trail, once a minute, for auditors."""


@dataclass
class Doomed(Plane):
    """A control plane with failpoints. `maker` is what it is forked from."""

    maker: Maker | None = None

    def spawn(self, environment: Mapping[str, str]) -> Made:
        """See `Agent`."""
        assert self.maker is not None
        with self.output_file.open("ab") as out:
            return self.maker.make(self.command, environment, out)


@contextmanager
def doomed(folder: Path) -> Iterator[Doomed]:
    """One that runs, its failpoints not armed, with the organization acme."""
    made = dev_plane(folder)
    maker = Maker(str(folder), module="tests.acceptance.control.failpoints")
    plane = Doomed(folder, made.command, token="", data=made.data, maker=maker)
    try:
        with running(plane):
            plane.sign_in()
            plane.organization("acme")
            yield plane
    finally:
        maker.close()


class Steps:
    """What it dies of."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self.died: list[str] = []

    def arm(self, at: str) -> None:
        """Count from now on, and die at this one."""
        (self._plane.folder / "trace").unlink(missing_ok=True)
        (self._plane.folder / "at").write_text(at)

    @property
    def dead(self) -> bool:
        """Whether it has met its step: what it noted last. The kernel may be at it still."""
        trace, at = self._plane.folder / "trace", self._plane.folder / "at"
        if not (trace.exists() and at.exists()):
            return False
        return at.read_text() in trace.read_text().splitlines()

    def again(self) -> bool:
        """Kill it if it is not dead, and start it; whether it had died of the step."""
        end = time.monotonic() + LINGERS
        while not (struck := self.dead) and time.monotonic() < end:
            time.sleep(0.02)
        at = self._plane.folder / "at"
        if struck:
            self.died.append(at.read_text())
        at.unlink()
        self._plane.kill()
        self._plane.start()
        return struck


def each_step(
    steps: Steps, names: Sequence[str], flow: Callable[[int], None], check: Callable[[int], None]
) -> None:
    """The flow with a death at the first, second, … step of each name, until it is over first.

    Both are told the how-manyth flow it is, from 1. Each kind of step is met at least once.
    """
    turns = itertools.count(1)
    for name in names:
        for at in range(1, MOST):
            turn = next(turns)
            steps.arm(f"{name} {at}")
            flow(turn)
            struck = steps.again()
            check(turn)
            if not struck:
                break
        assert 1 < at < MOST - 1, (name, at, steps.died)


def test_enrolment_survives_a_death_at_each_step(folder: Path) -> None:
    """The same keys and token lead to one certificate, and to an agent that is live."""
    with doomed(folder) as plane:
        steps, tokens, agents = Steps(plane), dict[int, str](), dict[int, Linked]()

        def flow(at: int) -> None:
            agent = agents[at]
            body = {"token": tokens[at], **agent.binding()}
            with suppress(OSError, http.client.HTTPException):
                ask(agent.port, "enrol", body, pinned_context(agent.pin, WORLD.now))

        def check(at: int) -> None:
            agent = agents[at]
            agent.port = plane.link_port
            agent.enrol(tokens[at])
            assert agent.grant is not None
            assert agent.grant.generation == 1, steps.died
            trio.run(_live, plane, agent, f"v{at}")
            invite(at + 1)

        def invite(at: int) -> None:
            made = plane.want(201, "POST", f"{BASE}/enrolment-tokens", {"vault": f"v{at}"})
            tokens[at] = made["secret"]
            agents[at] = Linked(folder / f"v{at}", plane.link_port, made["pin"])

        invite(1)
        each_step(steps, ENROLMENT, flow, check)
        assert plane.want(200, "GET", f"{BASE}/audit/verify")["broken_at"] == 0


def test_linking_and_fan_out_survive_a_death_at_each_step(folder: Path) -> None:
    """The agent ends with the newest bundle, no version twice, and every alert counts once."""
    with doomed(folder) as plane:
        steps, agent = Steps(plane), newcomer(plane, folder, "v")

        def flow(at: int) -> None:
            trio.run(_pushed, plane, agent, steps, at)

        def check(at: int) -> None:
            agent.port = plane.link_port
            trio.run(_caught_up, plane, agent, at)
            wanted = plane.want(200, "GET", f"{BASE}/agents/v/policy")["bundle_version"]
            assert agent.bundles == sorted(set(agent.bundles)), steps.died
            assert agent.bundles[-1] == wanted, steps.died
            found = plane.want(200, "GET", f"{BASE}/alerts?vault=v&limit=500")
            [told] = [row["count"] for row in found if row["code"] == "disk_low"]
            assert told == sum(number + 1 for number in range(1, at + 1)), steps.died
            version(plane)

        version(plane)
        each_step(steps, FAN_OUT, flow, check)


def test_no_step_is_without_a_failpoint(folder: Path) -> None:
    """Whoever commits, signs or touches the link's TLS in these flows is one of `PLACES`."""
    (folder / "watch").touch()
    with doomed(folder) as plane:
        agent = newcomer(plane, folder, "v")
        version(plane)
        trio.run(_pushed, plane, agent, Steps(plane), 1)
    seen = [line.partition(" ") for line in (folder / "seen").read_text().splitlines()]
    stray = {
        f"{caller}: {call}"
        for call, _, caller in seen
        if caller not in PLACES.values() and not caller.startswith(NOT_OF_THESE)
    }
    assert stray == set()
    assert {*ENROLMENT, *FAN_OUT} == {*PLACES, "committed"}
    assert {caller for _, _, caller in seen} >= set(PLACES.values())


def version(plane: Plane) -> None:
    """The next version of a policy for all, which nobody gets yet."""
    path = f"{BASE}/policies/p"
    plane.want(201, "POST", f"{path}/versions", {"document": DOCUMENT})
    plane.want(200, "PUT", f"{path}/targets", {"targets": [{"all": True}]})


def roll_out(plane: Plane, number: int) -> int:
    """Ask for it; the status, 0 for no answer."""
    body = {"version": number}
    try:
        return plane.ask("POST", f"{BASE}/policies/p/rollouts", body).status
    except (OSError, http.client.HTTPException):
        return 0


async def _live(plane: Plane, agent: Linked, vault: str) -> None:
    async with agent.connected():
        await shown(plane, vault, life="active", presence="online")


async def _pushed(plane: Plane, agent: Linked, steps: Steps, number: int) -> None:
    """Link, say something, and take the policy's version, or see the control plane die."""
    await agent.outbox.append(alert(number))
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_linked, agent)
            while not (steps.dead or await _applied(plane, number)):
                await trio.to_thread.run_sync(roll_out, plane, number)
                await trio.sleep(0.2)
            nursery.cancel_scope.cancel()


async def _caught_up(plane: Plane, agent: Linked, number: int) -> None:
    """The same, of one that lives; and until it has all that the agent had to say."""
    with trio.fail_after(60):
        async with agent.connected():
            while agent.outbox.entries or not await _applied(plane, number):
                await trio.to_thread.run_sync(roll_out, plane, number)
                await trio.sleep(0.2)


async def _linked(agent: Linked) -> None:
    """Stay connected as long as that goes."""
    while True:
        try:
            async with trio.open_nursery() as nursery:
                await (await agent.dial(nursery)).run()
                nursery.cancel_scope.cancel()
        except* LinkError:
            pass  # dead, or not there yet
        await trio.sleep(0.1)


async def _applied(plane: Plane, number: int) -> bool:
    try:
        path = f"{BASE}/agents/v/policy"
        answer = await trio.to_thread.run_sync(plane.ask, "GET", path)
    except (OSError, http.client.HTTPException):
        return False
    if answer.status != 200:
        return False
    shown_: dict[str, Any] = answer.json
    return shown_["outcome"] == "applied" and shown_["policies"] == {"p": number}
