"""The oracle asks a real agent, and tells what was acknowledged there and does not hold."""

from pathlib import Path

from loadtests.durability.deeds import Deed, judge_deeds
from loadtests.durability.process import begin, make_agent


def test_the_oracle_tells_what_was_undone(folder: Path) -> None:
    """A token that still counts, a value that is still read and a key of before: one each."""
    agent = make_agent(folder, folder / "data")
    begin(agent)
    try:
        made = agent.call("POST", "/v1/auth/token/create", {"policies": ["default"]})
        agent.call("POST", "/v1/secret/data/doomed", {"data": {"w": "doomed"}})
        token = made.json["auth"]["client_token"]
        deeds = [
            Deed("revoke", token, "ok"),
            Deed("destroy", "secret/doomed", "ok"),
            Deed("rotate", "2", "ok"),
        ]
        told = list(judge_deeds(agent, deeds))
        assert [words in told[i] for i, words in enumerate(("revoked", "destroyed", "lost"))] == [
            True
        ] * 3
        agent.call("POST", "/v1/auth/token/revoke", {"token": token})
        agent.call("POST", "/v1/secret/destroy/doomed", {"versions": [1]})
        agent.call("POST", "/api/v1/system/rotate")
        assert list(judge_deeds(agent, deeds)) == []
        assert list(judge_deeds(agent, deeds[:1] * 120)) == []  # beyond the pace of failures
    finally:
        agent.kill()
