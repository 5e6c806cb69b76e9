"""kill -9 of an agent while break-glass holders open it: `make break-glass-kills ROUNDS=100`.

Whenever it dies, the use is on record and counted before anything is open, the count never goes
back, and the same holders open the vault after it.
"""

import random
import sys
import threading
import time
from pathlib import Path

from tests.acceptance.agent import Agent, own_folder, running, served_agent
from tests.acceptance.serve.test_break_glass import SET, allow, make_set, offer, status, trace
from tests.acceptance.serve.test_root_key import put

SPAN = 1.5  # of the time that an opening takes, within which it is killed


class Victim:
    """An agent with people's shares, and a set of 2 of 2."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        made = put(agent, "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1}, token="")
        agent.token, self.share = made["root_token"], made["keys_base64"][0]
        self.unseal()
        self.shares = make_set(agent, shares=2, threshold=2)
        self.uses = 0
        self.seen: dict[str, int] = {}

    def unseal(self) -> None:
        """By the other key."""
        assert put(self.agent, "/v1/sys/unseal", {"key": self.share}, token="")["sealed"] is False

    def restart(self) -> None:
        """Sealed."""
        self.agent.start()
        assert status(self.agent)["sealed"]

    def measure(self) -> float:
        """Seconds that an opening takes."""
        self.agent.stop()
        self.restart()
        code = allow(self.agent)
        assert offer(self.agent, self.shares[0], code).status == 200
        began = time.monotonic()
        assert offer(self.agent, self.shares[1], code).json["sealed"] is False
        self.uses += 1
        return time.monotonic() - began

    def round(self, delay: float) -> str:
        """Kill it so long after the last share was sent. What was found."""
        agent = self.agent
        agent.stop()
        self.restart()
        before = status(agent).get("break_glass_uses", 0)
        code = allow(agent)
        assert offer(agent, self.shares[0], code).status == 200
        answers: list[bool] = []
        asked = threading.Thread(target=self._ask, args=(code, answers))
        asked.start()
        time.sleep(delay)
        agent.kill()
        asked.join()
        permit = agent.data / "vault.anchor.break-glass"
        was_permitted = permit.exists()
        self.restart()
        uses = status(agent).get("break_glass_uses", 0)
        self.unseal()
        phases = [phase for phase, _ in trace(agent)]
        intents, outcomes = phases.count("intent"), phases.count("outcome")
        assert before <= uses <= before + 1, (before, uses)
        assert outcomes <= uses <= intents, (outcomes, uses, intents)
        assert agent.call("GET", SET).json["uses"] == uses
        if answers == [True]:
            assert (uses, was_permitted) == (before + 1, False)
        if not was_permitted:
            assert outcomes > self.seen.get("outcomes", 0)
        found = (
            "open" if answers == [True] else "recorded" if outcomes > self.seen.get("outcomes", 0)
            else "counted" if uses > before
            else "intent" if intents > self.seen.get("intents", 0) else "nothing"
        )  # fmt: skip
        self.seen = {"outcomes": outcomes, "intents": intents}
        permit.unlink(missing_ok=True)
        return found

    def _ask(self, code: str, answers: list[bool]) -> None:
        try:
            answers.append(offer(self.agent, self.shares[1], code).json["sealed"] is False)
        except (OSError, ValueError, AttributeError):  # it was killed before its answer
            return


def run(folder: Path, delays: list[float] | int) -> dict[str, int]:
    """How often each state was found."""
    server = {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": 1}
    agent = served_agent(folder, {"server": server, "encryption": {"key_management": "shamir"}})
    found: dict[str, int] = {}
    with running(agent):
        victim = Victim(agent)
        span = victim.measure() * SPAN
        phases = [phase for phase, _ in trace(agent)]
        victim.seen = {"outcomes": phases.count("outcome"), "intents": phases.count("intent")}
        shares = [random.random() for _ in range(delays)] if isinstance(delays, int) else delays  # noqa: S311  # moments
        for share in shares:
            state = victim.round(span * share)
            found[state] = found.get(state, 0) + 1
        agent.stop()
        assert agent.verify().returncode == 0
        assert "Traceback" not in agent.output()
    return found


if __name__ == "__main__":
    with own_folder() as place:
        sys.stdout.write(f"{run(place, int(sys.argv[1]))}\n")
