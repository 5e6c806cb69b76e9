"""The harness, with agents that are forked."""

import pytest

from loadtests.agent_process import Agent
from tests.acceptance.durability import warm


@pytest.fixture(autouse=True)
def _forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Agent, "spawn", warm.spawn)
    monkeypatch.setattr(Agent, "verify", warm.verify)
