"""Rotations of a database user while the agent is killed again and again.

`python -m tests.acceptance.rotation.kills --kills 500` rotates a user at a PostgreSQL, and kills
the agent at each state of a rotation, before, within and behind what it does there
(`failpoints`). All the time an application logs in with what it has fetched from the agent, for no
longer than the grace period of what it has, as the agent may be down. `make rotation-kills`.
"""

import argparse
import http.client
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.acceptance.agent import PATIENCE, own_folder, running
from tests.acceptance.agent import dev_agent as plain_agent
from tests.acceptance.rotation.failpoints import POINTS, MortalAgent
from tests.contract.rotation.targets import PostgresqlTarget
from tests.scratch import use_memory
from tests.support.postgres import postgres

NAME: Final = "secret/db/app"
GRACE: Final = 3.0  # seconds
MARGIN: Final = 1.0  # seconds before the end of it when an application begins no login
SAY_EVERY: Final = 25  # kills
_LOOK: Final = 0.05  # seconds


@dataclass
class Application:
    """Fetches the credential and logs in."""

    logins: int = 0
    fetches: int = 0
    failed: list[str] = field(default_factory=list)


@dataclass
class Drill:
    """What was seen."""

    agent: MortalAgent
    target: PostgresqlTarget
    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    before: dict[str, str] = field(default_factory=dict)

    def prepare(self) -> None:
        """The first user and its secret, what the agent connects with, and the policy."""
        name, target = self.target.names[0], self.target
        target.server.run(f"CREATE ROLE {name} LOGIN PASSWORD 'first'")
        target.server.run(f"GRANT with_password TO {name}")
        target.server.run(f"GRANT {name} TO rotation_admin WITH ADMIN OPTION")
        config = {"users": target.names, "owner": target.owner, "member_of": ["with_password"]}
        policy = {
            "rotator": "postgresql", "config": config, "connection": "secret/admin",
            "grace": f"{GRACE:g}s", "retry": {"attempts": 5, "base": "1s", "cap": "2s"},
        }  # fmt: skip
        value = {"username": name, "password": "first"}
        for path, stored in {NAME: value, "secret/admin": dict(target.connection())}.items():
            self._call("POST", "/api/v1/secrets", {"name": path, "value": stored}, status=201)
        self._call("PUT", f"/api/v1/rotation/{NAME}", policy, status=204)

    def kill(self, state: str, moment: str) -> None:
        """Start the agent, which dies there: in the rotation under way or in one behind it."""
        self.agent.die_at(state, moment)
        self.agent.start()
        process = self.agent.process
        assert process is not None
        end = time.monotonic() + PATIENCE
        while process.poll() is None:
            assert time.monotonic() < end, f"stuck on the way to {state} {moment}: {self._latest()}"
            try:
                self.begin_if_over()
            except (OSError, http.client.HTTPException):
                continue  # it has died
            time.sleep(_LOOK)
        self.agent.kill()
        self.kills[state, moment] += 1

    def begin_if_over(self) -> None:
        """Begin the next rotation once the one before is over, and was what it has to be."""
        rotation = self._latest()
        if rotation is None or rotation["ended_at"]:
            self.check_end(rotation)
            self.before = self._value()[1]
            self._call("POST", f"/api/v1/rotate/{NAME}", None, status=202)

    def check_end(self, rotation: dict[str, Any] | None) -> None:
        """Of a rotation that is over: it was done once, or not at all."""
        if rotation is None or self.ended.total() == rotation["number"]:
            return  # seen before: the agent died as it began the next one
        state, (version, current) = rotation["state"], self._value()
        self.ended[state] += 1
        assert rotation["number"] == self.ended.total(), "one was begun twice"
        assert version == 1 + self.ended["retired"], (version, self.ended)
        assert self.target.accepts(current)
        assert self.target.accepts(self.before) == (state == "undone"), rotation
        assert (self.before == current) == (state == "undone")

    def finish(self) -> None:
        """Let the last one come to its end by itself."""
        self.agent.environment = {}
        with running(self.agent):
            end = time.monotonic() + PATIENCE
            while not (self._latest() or {"ended_at": 1})["ended_at"]:
                assert time.monotonic() < end, self._latest()
                time.sleep(_LOOK)
            self.check_end(self._latest())
        assert self.agent.verify().returncode == 0

    def _latest(self) -> dict[str, Any] | None:
        shown = self._call("GET", f"/api/v1/rotation/{NAME}", None, status=200)
        return next(iter(shown["rotations"]), None)

    def _value(self) -> tuple[int, dict[str, str]]:
        shown = self._call("GET", f"/api/v1/secrets/{NAME}", None, status=200)
        return shown["version"], shown["value"]

    def _call(self, method: str, path: str, body: object, *, status: int) -> Any:
        answered = self.agent.call(method, path, body)
        assert answered.status == status, answered.body
        return answered.json

    @contextmanager
    def application(self) -> Iterator[Application]:
        """One that logs in for the length of the block."""
        seen, done = Application(), threading.Event()

        def work() -> None:
            known: dict[str, str] = {}
            fetched = 0.0
            while not done.is_set():
                asked = time.monotonic()
                try:
                    answer = self.agent.call("GET", f"/api/v1/secrets/{NAME}")
                    if answer.status == http.HTTPStatus.OK:
                        known, fetched = answer.json["value"], asked
                        seen.fetches += 1
                except (OSError, http.client.HTTPException):
                    pass
                if not known or time.monotonic() > fetched + GRACE - MARGIN:
                    done.wait(_LOOK)
                elif self.target.accepts(known):
                    seen.logins += 1
                elif time.monotonic() < fetched + GRACE:  # else it was not quick enough
                    seen.failed.append(f"{known['username']}, {time.monotonic() - fetched:.2f} s")

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield seen
        finally:
            done.set()
            thread.join()


def points(kills: int, seed: int) -> Iterator[tuple[str, str]]:
    """Where to die, in the order of the states; some are left out, so that rotations differ."""
    chance, place = random.Random(seed), 0  # noqa: S311  # no secret
    for _ in range(kills):
        yield POINTS[place % len(POINTS)]
        place += chance.choice((1, 2, 5))  # with 28 points each is met


def play(folder: Path, target: PostgresqlTarget, places: Iterator[tuple[str, str]]) -> str:
    """Kill it at all of them. Returns what was seen; raises `AssertionError`."""
    plain = plain_agent(folder, workers=1)
    agent = MortalAgent(folder, plain.command, data=plain.data, first=plain.first)
    drill = Drill(agent, target)
    with running(agent):
        drill.prepare()
    begun = time.monotonic()
    with drill.application() as seen:
        for number, (state, moment) in enumerate(places, 1):
            drill.kill(state, moment)
            if number % SAY_EVERY == 0:
                _say(f"{number} kills, {seen.logins} logins, {dict(drill.ended)}")
        drill.finish()
    assert not seen.failed, seen.failed
    assert seen.logins
    return (
        f"{drill.kills.total()} kills at {len(drill.kills)} places in "
        f"{time.monotonic() - begun:.0f} s; rotations: {dict(drill.ended)}; "
        f"{seen.fetches} fetches, {seen.logins} logins, {len(seen.failed)} failed"
    )


def main() -> None:
    """Play it and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    use_memory()
    with postgres() as server, own_folder() as folder:
        _say(play(folder, PostgresqlTarget(server), points(chosen.kills, chosen.seed)))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
