"""The machine's clock is wrong for a moment, and right again: what that does to credentials.

`time.time_ns`, which is all that an agent asks for the time, is put forward by what a file says.
"""

import os
import subprocess
from pathlib import Path
from typing import Final

import pytest

from loadtests.agent_process import Client
from tests.acceptance.agent import PATIENCE, Agent, dev_agent, running
from tests.acceptance.command import FREEHOLD
from tests.acceptance.workers.fleet import pinned, workers_of
from tests.support.polling import await_value, looks

DAY: Final = 86_400
CUSTOM: Final = """\
import pathlib, time
real, place = time.time_ns, pathlib.Path({place!r})
time.time_ns = lambda: real() + int(place.read_text()) * 10**9
"""


class Clock:
    """The agent's clock; `set` it to so many seconds ahead of the truth."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "python"
        self.folder.mkdir()
        self._place = self.folder / "ahead"
        (self.folder / "sitecustomize.py").write_text(CUSTOM.format(place=str(self._place)))
        self.set(0)

    def set(self, seconds: int) -> None:
        """At once, for all processes."""
        new = self._place.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self._place)


@pytest.fixture
def clock(folder: Path) -> Clock:
    """A right one."""
    return Clock(folder)


@pytest.fixture(params=[1, 2], ids=["1 worker", "2 workers"])
def agent(request: pytest.FixtureRequest, folder: Path, clock: Clock) -> Agent:
    """By this clock, not started."""
    made = dev_agent(folder, workers=request.param)
    made.environment["PYTHONPATH"] = str(clock.folder)
    return made


def token(agent: Agent, ttl: str) -> str:
    """A new one that ends."""
    made = agent.call("POST", "/v1/auth/token/create", {"ttl": ttl, "policies": ["root"]})
    return str(made.json["auth"]["client_token"])


def statuses(agent: Agent, text: str) -> set[int]:
    """What each process says to this token."""
    if not workers_of(agent):  # the one process answers by itself
        return {agent.call("GET", "/v1/secret/data/a", token=text).status}
    with pinned(agent, text) as clients:
        return {status(client) for client in clients}


def status(client: Client) -> int:
    """What it says, but for its rate limit: a bucket of a clock that was ahead has one token."""
    for _ in looks(PATIENCE):
        if (answer := client.call("GET", "/v1/secret/data/a").status) != 429:
            return answer
    return 429


def write(agent: Agent, name: str) -> None:
    """A secret."""
    answer = agent.call("POST", f"/v1/secret/data/{name}", {"data": {"k": "v"}})
    assert answer.status == 200


def test_a_wrong_reading_leaves_no_trace(agent: Agent, clock: Clock) -> None:
    """What seemed expired is back; what was issued meanwhile is refused; no secret is lost."""
    with running(agent):
        write(agent, "a")
        right = token(agent, "1h")
        clock.set(400 * DAY)
        assert statuses(agent, right) == {403}
        wrong = token(agent, "1h")
        assert statuses(agent, wrong) == {200}
        write(agent, "b")
        clock.set(0)
        for text, status in ((right, 200), (wrong, 403), (token(agent, "1h"), 200)):
            assert statuses(agent, text) == {status}
        assert agent.call("GET", "/v1/secret/data/b").status == 200
        await_value(lambda: "the machine's clock was ahead" in agent.output(), 60 + PATIENCE)
    with running(agent):
        for text, status in ((right, 200), (wrong, 403), (token(agent, "1h"), 200)):
            assert statuses(agent, text) == {status}
        assert agent.call("GET", "/v1/secret/data/b").status == 200


def test_a_start_with_a_wrong_clock_leaves_no_trace(agent: Agent, clock: Clock) -> None:
    """Once it is right, in the same run and in the next."""
    with running(agent):
        write(agent, "a")
        right = token(agent, "1h")
    clock.set(400 * DAY)
    with running(agent):
        assert statuses(agent, right) == {403}
        clock.set(0)
        assert statuses(agent, right) == {200}
        clock.set(400 * DAY)
    clock.set(0)
    with running(agent):
        assert statuses(agent, right) == {200}


def test_a_clock_that_is_set_back_revives_nothing(agent: Agent, clock: Clock) -> None:
    """While the agent runs, and while it does not."""
    with running(agent):
        write(agent, "a")
        short = token(agent, "2s")
        until(agent, short, 403)
        clock.set(-DAY)
        assert statuses(agent, short) == {403}
    with running(agent):
        assert statuses(agent, short) == {403}


@pytest.mark.parametrize("agent", [2], ids=["2 workers"], indirect=True)
def test_a_confirmed_clock_is_taken_by_all_without_a_restart(agent: Agent, clock: Clock) -> None:
    """It was ahead for so long, or confirmed by mistake, that the agent's time is ahead of it."""
    with running(agent):
        write(agent, "a")
        right = token(agent, "1h")
    clock.set(400 * DAY)
    confirm(agent, clock)
    with running(agent):
        clock.set(0)
        assert statuses(agent, right) == {403}
        confirm(agent, clock)
        until(agent, right, 200)


def confirm(agent: Agent, clock: Clock) -> None:
    """As the operator of this machine does; an acceptance of another hour does not count."""
    anchor = str(agent.data / "vault.anchor")
    words = ("operator", "confirm-clock", "--anchor", anchor, "--reason", "looked at it")
    environment = os.environ | {"PYTHONPATH": str(clock.folder)}
    subprocess.run([FREEHOLD, *words], env=environment, check=True, capture_output=True)


def until(agent: Agent, text: str, status: int) -> None:
    """Return once all processes answer so. A clock is looked at each minute."""
    await_value(lambda: statuses(agent, text) == {status}, 60 + PATIENCE)
