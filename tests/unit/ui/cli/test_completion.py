"""Names that the shell completes: asked of the server, quickly or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.ui.cli.conftest import FakeAgent, Run

FREEHOLD = str(Path(sys.executable).parent / "freehold")
SHELL = "complete_bash"


def complete(agent: FakeAgent, line: str, **variables: str) -> list[str]:
    """What bash would offer at the end of this line."""
    words = line.split(" ")
    done = subprocess.run(
        [FREEHOLD], check=False, capture_output=True, text=True,
        env={
            "PATH": os.environ["PATH"], "HOME": os.environ["HOME"],
            "FREEHOLD_ADDR": agent.address, "FREEHOLD_TOKEN": "t",
            "_FREEHOLD_COMPLETE": SHELL, "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1),
            **variables,
        },
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


def test_a_secret_of_the_folder_that_is_typed(agent: FakeAgent) -> None:
    """Only that folder is listed."""
    names = [{"name": f"secret/app/{each}"} for each in ("db", "dns", "key")]
    agent.answer({"secrets": names, "cursor": ""})
    assert complete(agent, "freehold secret get secret/app/d") == [
        "secret/app/db", "secret/app/dns",
    ]  # fmt: skip
    assert agent.asked == [("GET", "/api/v1/secrets?prefix=secret%2Fapp&limit=1000", None)]


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("freehold user get a", {"users": [{"username": "ann"}, {"username": "bob"}]}),
        ("freehold policy delete a", {"policies": ["ann", "bob"]}),
        ("freehold user create x --role a", {"roles": [{"name": "ann"}, {"name": "bob"}]}),
        ("freehold mount get a", {"mounts": [{"path": "ann"}, {"path": "bob"}]}),
    ],
)
def test_other_names(line: str, answer: object, agent: FakeAgent) -> None:
    """Of arguments and of options."""
    agent.answer(answer)
    assert complete(agent, line) == ["ann"]


def test_an_agent_of_the_fleet(agent: FakeAgent) -> None:
    """At the control plane."""
    agent.answer([{"vault": "web-1"}, {"vault": "db-1"}])
    variables = {
        "FREEHOLD_CONTROL_ADDR": agent.address, "FREEHOLD_CONTROL_TOKEN": "c",
        "FREEHOLD_ORG": "acme",
    }  # fmt: skip
    assert complete(agent, "freehold fleet agent get w", **variables) == ["web-1"]
    assert agent.seen[0].headers["authorization"] == "Bearer c"


def test_a_refusal_offers_nothing_and_says_nothing(agent: FakeAgent) -> None:
    """A shell is no place for an error."""
    agent.answer({"message": "permission denied"}, 403)
    assert complete(agent, "freehold secret get s") == []
    assert complete(agent, "freehold secret get s", FREEHOLD_ADDR="http://127.0.0.1:1") == []


def test_commands_are_completed_without_a_server(agent: FakeAgent, cli: Run, home: Path) -> None:
    """Groups, verbs and options."""
    assert complete(agent, "freehold sec") == ["secret"]
    assert complete(agent, "freehold secret und") == ["undelete"]
    assert "--expires-at" in complete(agent, "freehold secret put --exp")
    assert agent.seen == []
