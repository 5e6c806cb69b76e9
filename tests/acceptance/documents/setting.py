"""What a page's examples run against: the comment `<!-- examples: NAME -->` says which."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Final

from tests.acceptance.agent import Agent, dev_agent, own_folder, running, served_agent
from tests.acceptance.command import freehold
from tests.acceptance.control.plane import Plane, dev_plane
from tests.acceptance.documents.console import examples, run
from tests.acceptance.documents.shim import quick_commands

_CHOICE: Final = re.compile(r"<!-- examples: ([a-z-]+) -->")
ORGANIZATION: Final = "acme"
NAME: Final = "web-1"
LINKED_WITHIN: Final = 60.0  # seconds
_ADDRESS: Final = "FREEHOLD_ADDR"
_SET_ADDRESS: Final = re.compile(rf"{_ADDRESS}=\S+")

Environment = Mapping[str, str]
Setting = Callable[[Path], AbstractContextManager[Environment]]


class NoSettingError(Exception):
    """A page has examples and does not say what they run against."""


@contextmanager
def shell(folder: Path) -> Iterator[Environment]:
    """No server at all."""
    yield {_ADDRESS: "https://127.0.0.1:8200"}


@contextmanager
def bare(folder: Path) -> Iterator[Environment]:
    """A development agent; the page sets the variables itself, with the default address."""
    with running(dev_agent(folder)) as started:
        yield {_ADDRESS: started.address}


@contextmanager
def agent(folder: Path) -> Iterator[Environment]:
    """A development agent, and the variables of its root token."""
    with running(dev_agent(folder)) as started:
        yield _agent_variables(started)


@contextmanager
def sealed(folder: Path) -> Iterator[Environment]:
    """An agent that was never initialized; `vault.yaml` is in the folder."""
    with running(served_agent(folder)) as started:
        yield {_ADDRESS: started.address}


@contextmanager
def fleet(folder: Path) -> Iterator[Environment]:
    """A control plane with the organization `acme` and one agent, `web-1`, linked."""
    plane = dev_plane(folder / "plane", "--heartbeat", "10s", "--offline-after", "60s")
    plane.folder.mkdir()
    with running(plane):
        plane.sign_in()
        plane.want(201, "POST", "organizations", {"id": ORGANIZATION, "title": "Acme Ltd"})
        started = dev_agent(folder)
        started.command += ["--heartbeat", "10s"]
        _enrol(plane, started)
        with running(started):
            _wait_until_online(plane)
            yield {
                **_agent_variables(started),
                "FREEHOLD_CONTROL_ADDR": plane.address,
                "FREEHOLD_CONTROL_TOKEN": plane.token,
                "FREEHOLD_ORG": ORGANIZATION,
                "LINK": f"https://127.0.0.1:{plane.link_port}",
            }


SETTINGS: Final[Mapping[str, Setting]] = {
    "shell": shell,
    "bare": bare,
    "agent": agent,
    "sealed": sealed,
    "fleet": fleet,
}


def setting_of(text: str) -> str:
    """The name that the page gives. Raises `NoSettingError`."""
    found = _CHOICE.search(text)
    if found is None or found.group(1) not in SETTINGS:
        raise NoSettingError(f"say what the examples run against: one of {', '.join(SETTINGS)}")
    return found.group(1)


def outputs(text: str) -> list[str]:
    """What the examples of a page give, run in order against a setting of its own."""
    commands = [example.command for example in examples(text)]
    name = setting_of(text)
    with ExitStack() as stack:
        folder = stack.enter_context(own_folder())
        environment = stack.enter_context(SETTINGS[name](folder))
        # How the command starts by itself is for the README's tour.
        programs = "" if name == "bare" else str(stack.enter_context(quick_commands()))
        here = f"{_ADDRESS}={environment[_ADDRESS]}"
        commands = [_SET_ADDRESS.sub(here, each) for each in commands]
        given = run(commands, folder, environment, programs)
        return [output.replace(str(folder), "…") for output in given]


def _agent_variables(started: Agent) -> Environment:
    return {_ADDRESS: started.address, "FREEHOLD_TOKEN": started.token}


def _enrol(plane: Plane, started: Agent) -> None:
    made = plane.want(
        201, "POST", f"organizations/{ORGANIZATION}/enrolment-tokens", {"vault": NAME}
    )
    if started.first is not None:
        started.first(started.data)
    done = freehold(
        "agent", "enrol", "--data-dir", str(started.data),
        "--control", f"https://127.0.0.1:{plane.link_port}", "--pin", made["pin"],
        environment={"FREEHOLD_ENROLMENT_TOKEN": made["secret"]},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def _wait_until_online(plane: Plane) -> None:
    end = time.monotonic() + LINKED_WITHIN
    while time.monotonic() < end:
        listed = plane.want(200, "GET", f"organizations/{ORGANIZATION}/agents")
        if '"state": "online"' in json.dumps(listed):
            return
        time.sleep(0.05)
    raise AssertionError(f"{NAME} is not online within {LINKED_WITHIN} s")
