"""A control plane and two agents as processes, as people find them in the morning."""

import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.acceptance.agent import Agent, dev_agent, own_folder, running
from tests.acceptance.command import freehold
from tests.acceptance.control.plane import PASSWORD, Plane, dev_plane

ROLES = ("admin", "viewer")  # and an owner: each costs two hashes of a password
VAULTS = ("one", "two")
MANY = 10_000
LINKED_WITHIN = 120  # seconds
BEAT = ("--heartbeat", "1s")  # an agent's silence is noticed after three


@dataclass
class Estate:
    """`acme` has agents that live; `vast` has ten thousand that were never heard."""

    plane: Plane
    agents: dict[str, Agent]

    @property
    def address(self) -> str:
        """Where a browser goes."""
        return self.plane.address

    def password(self, org: str) -> str:
        """Of everybody in an organization, and of the super-admin `platform/admin`."""
        return self.plane.password_file.read_text().strip() if org == "platform" else PASSWORD


@contextmanager
def estate() -> Iterator[Estate]:
    """All of it, running and linked."""
    with own_folder() as folder, ThreadPoolExecutor() as threads, ExitStack() as stack:
        (folder / "plane").mkdir()
        plane = dev_plane(folder / "plane", *BEAT, "--offline-after", "3s")
        stack.enter_context(running(plane))
        plane.sign_in()
        plane.organization("acme", *ROLES)
        plane.want(201, "POST", "organizations", {"id": "vast"})
        _crowd(plane)
        started = threads.map(partial(_agent, plane, folder), VAULTS)
        made = Estate(plane, dict(zip(VAULTS, started, strict=True)))
        stack.callback(lambda: list(threads.map(Agent.stop, made.agents.values())))
        _until_online(made)
        yield made


def _agent(plane: Plane, folder: Path, vault: str) -> Agent:
    """Enrolled and running."""
    (folder / vault).mkdir()
    agent = dev_agent(folder / vault, workers=1)
    agent.command += BEAT
    made = plane.want(201, "POST", "organizations/acme/enrolment-tokens", {"vault": vault})
    done = freehold(
        "agent", "enrol", "--data-dir", str(agent.data), "--token", made["secret"],
        "--control", f"https://127.0.0.1:{plane.link_port}", "--pin", made["pin"],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    agent.start()
    return agent


def _crowd(plane: Plane) -> None:
    """By the database: ten thousand requests would take minutes."""
    rows = [
        (
            *(
                "vast",
                f"vault-{n:05d}",
                "active",
                "",
                f'["rack-{n % 40}"]',
                "unknown",
                0,
                "{}",
                1,
                1,
            ),
            *("", ""),
        )
        for n in range(MANY)
    ]
    with closing(sqlite3.connect(plane.data / "control.db", timeout=30)) as database, database:
        marks = ", ".join("?" * len(rows[0]))
        database.executemany(f"INSERT INTO agents VALUES ({marks})", rows)  # noqa: S608 - marks


def _until_online(made: Estate) -> None:
    ends = time.monotonic() + LINKED_WITHIN
    while time.monotonic() < ends:
        found = made.plane.want(200, "GET", "organizations/acme/agents")
        if all(agent["presence"] == "online" for agent in found):
            return
        time.sleep(0.1)
    raise AssertionError(f"the agents did not link within {LINKED_WITHIN} s")
