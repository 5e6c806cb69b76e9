"""A root key that several providers wrap: a token, a file, and another vault."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from loadtests.agent_process import AgentError
from tests.acceptance.agent import Agent, running, served_agent
from tests.acceptance.serve.test_hsm import initialize, reads, status
from tests.acceptance.workers.waiting import await_true
from tests.support.softhsm import Token
from tests.support.transit import KEY, transit


@pytest.fixture
def token(folder: Path) -> Token:
    """A token with one key."""
    made = Token(folder / "softhsm")
    made.change_keys({"label": "root", "id": "01", "value": "5a17" * 16})
    return made


def agent_with(folder: Path, token: Token, *providers: Any, **sections: Any) -> Agent:
    """Not started."""
    folder.mkdir(exist_ok=True)
    server = {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": 2}
    section = {"key_management": "providers", "providers": list(providers)}
    agent = served_agent(folder, {"server": server, "encryption": section, **sections})
    agent.environment["SOFTHSM2_CONF"] = str(token.config)
    return agent


def configure(agent: Agent, **encryption: Any) -> None:
    """Another section, from the next start on."""
    file = agent.folder / "vault.yaml"
    config = yaml.safe_load(file.read_text())
    config["encryption"] = encryption
    file.write_text(yaml.safe_dump(config))


def named(token: Token) -> dict[str, Any]:
    """The token as one of several."""
    return {"name": "token", "hsm": token.section()["hsm"]}


def wrapping(agent: Agent) -> list[str]:
    """The providers of the configuration that have wrapped the root key."""
    return [each["name"] for each in status(agent).get("key_providers", ()) if each["wraps"]]


def test_one_of_several_providers_suffices(token: Token, folder: Path) -> None:
    """What fails is skipped and told of; one that is new wraps, and one that is gone is let go."""
    file = {"name": "disk", "key_file": str(folder / "wrapping.keys")}
    agent = agent_with(folder / "a", token, named(token), file)
    with running(agent), transit() as openbao:
        initialize(agent)
        assert (status(agent)["type"], wrapping(agent)) == ("multiseal", ["token", "disk"])
        assert agent.call("POST", "/api/v1/system/rotate-root").json["provider"] == "disk"
        agent.stop()
        away = token.store.rename(folder / "away")
        agent.start()
        assert reads(agent)
        ready = agent.call("GET", "/health/ready")
        assert (ready.status, ready.json["status"]) == (200, "ready")
        (failing,) = ready.json["key_providers_failing"]
        assert (failing["name"], failing["error"]) == ("token", "key_provider_unreachable")
        await_true(lambda: b"vault_key_provider_failing 1.0" in agent.call("GET", "/metrics").body)
        agent.stop()
        openbao.make_key()
        section = openbao.section(folder, KEY, openbao.make_token("unseal"))
        other = {"name": "other", "cloud_kms": {"transit": section}}
        configure(agent, key_management="providers", providers=[other, file])
        agent.start()
        await_true(lambda: wrapping(agent) == ["other", "disk"])
        agent.stop()
        away.rename(token.store)
        configure(agent, key_management="providers", providers=[named(token)])
        with pytest.raises(AgentError, match=r"wrapped by other \(transit\), disk \(static\)"):
            agent.start()
