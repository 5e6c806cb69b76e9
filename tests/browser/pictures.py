"""The README's pictures: `make pictures`, or `python -m tests.browser.pictures`.

The fleet is a seeded one (`stage`); the one agent is a real one that enrolled at a real control
plane and is read from and written to while it is looked at.
"""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Final

import trio
from playwright.sync_api import Browser, Page

from control.model.records import Severity
from loadtests.dashboard.browser import NARROW, WIDE, Scheme, Size, chromium, sign_in, window
from loadtests.dashboard.environment import ORG, PASSWORD, PERSON, running_environment
from tests.acceptance.agent import Agent
from tests.browser.estate import Estate, estate

FOLDER: Final = Path("docs/pictures")
FLEET: Final = 120
WATCHED: Final = 75_000  # milliseconds that the one agent is looked at
MOST: Final = 150_000  # bytes of a picture
NAMES: Final = 20  # secrets
PAUSE: Final = 0.02  # seconds between an application's requests


def main() -> int:
    """Take all of them; returns the exit code."""
    FOLDER.mkdir(exist_ok=True)
    trio.run(_fleet)
    with estate() as made, chromium() as browser, _busy(made.agents["one"]):
        _agent(browser, made)
    large = [file for file in FOLDER.glob("*.png") if file.stat().st_size > MOST]
    for file in large:
        print(f"{file} has more than {MOST:,} bytes", file=sys.stderr)
    return 1 if large else 0


async def _fleet() -> None:
    async with running_environment(FLEET, hours=0) as made:
        silent = f"{made.fleet[7].name} has been silent for five minutes"
        await made.raise_alert(made.fleet[7].name, "agent_offline", Severity.WARNING, silent)
        address = f"http://127.0.0.1:{made.port}"
        await trio.to_thread.run_sync(partial(_fleets, address))


def _fleets(address: str) -> None:
    shots: tuple[tuple[str, Size, Scheme], ...] = (
        ("fleet-dark", WIDE, "dark"),
        ("fleet-narrow", NARROW, "light"),
    )
    with chromium() as browser:
        for name, size, scheme in shots:
            with window(browser, size, scheme) as page:
                sign_in(page.context, address, ORG, PERSON, PASSWORD)
                page.goto(address)
                page.get_by_role("heading", name="Requests per second").wait_for()
                page.wait_for_timeout(1500)
                _take(page, name)


def _agent(browser: Browser, made: Estate) -> None:
    with window(browser, WIDE, "light") as page:
        sign_in(page.context, made.address, "acme", "admin", made.password("acme"))
        page.goto(f"{made.address}/agents/one?tab=actors")
        page.get_by_role("heading", name="one", level=1).wait_for()
        page.wait_for_timeout(WATCHED)
        _take(page, "agent-light")


@contextmanager
def _busy(agent: Agent) -> Iterator[None]:
    """An application that reads and now and then writes."""
    over = threading.Event()

    def work() -> None:
        with agent.client() as client:
            turn = 0
            while not over.wait(PAUSE * (1 + turn // 300 % 3)):
                path = f"/v1/secret/data/app/{turn % NAMES}"
                writes = turn % 50 < NAMES
                done = (
                    client.call("POST", path, {"data": {"value": f"value {turn}"}})
                    if writes
                    else client.call("GET", path)
                )
                if done.status >= HTTPStatus.BAD_REQUEST:
                    raise RuntimeError(f"{path}: {done.status} {done.body!r}")
                turn += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _take(page: Page, name: str) -> None:
    """Without what moves, in a palette of 256 colours."""
    file = FOLDER / f"{name}.png"
    page.screenshot(path=file, scale="css", animations="disabled")
    command = ["pngquant", "--force", "--skip-if-larger", "--strip", "--speed", "1",
               "--output", str(file), "256", str(file)]  # fmt: skip
    done = subprocess.run(command, check=False)  # our own command
    if done.returncode not in (0, 98):  # 98: it would be larger
        done.check_returncode()
    print(f"{file}: {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    sys.exit(main())
