"""A root key that a cloud or another vault wraps: real agents, OpenBao and moto."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agent import Agent, running, served_agent
from tests.acceptance.serve.test_hsm import contents, initialize, reads, status
from tests.support.aws_kms import AwsKms, aws_kms
from tests.support.transit import KEY, Transit, transit


@pytest.fixture(scope="module")
def openbao() -> Iterator[Transit]:
    """With a key for the root key."""
    with transit() as server:
        server.make_key()
        yield server


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsKms]:
    """AWS KMS."""
    with aws_kms(tmp_path_factory.mktemp("aws")) as server:
        yield server


def cloud_agent(folder: Path, environment: dict[str, str], **section: Any) -> Agent:
    """Not started."""
    encryption = {"key_management": "cloud_kms", "cloud_kms": section}
    server = {"listen": "127.0.0.1:0", "tls": {"enabled": False}}
    agent = served_agent(folder, {"server": server, "encryption": encryption})
    agent.environment.update(environment)
    return agent


def rotate(agent: Agent) -> Any:
    """Wrap the root key by what is newest; what was and what is."""
    answer = agent.call("POST", "/api/v1/system/rotate-root")
    assert answer.status == 200, answer.body
    return answer.json


def test_an_openbao_unseals_an_agent(openbao: Transit, folder: Path) -> None:
    """At each start; while its token is not valid the agent stays sealed, and says why."""
    token = openbao.make_token("unseal", period="1h")
    environment = {"TRANSIT_TOKEN": token}
    section = {"address": openbao.address, "key": KEY, "token_variable": "TRANSIT_TOKEN"}
    agent = cloud_agent(folder, environment, transit=section)
    with running(agent):
        initialize(agent)
        assert (status(agent)["type"], status(agent)["recovery_seal"]) == ("transit", True)
        openbao.rotate()
        rotated = rotate(agent)
        assert (rotated["previous_version"], rotated["version"]) == ("1", "2")
        openbao.call("POST", "auth/token/revoke", {"token": token})
        agent.stop()
        agent.start()
        assert status(agent)["sealed"]
        assert "key provider transit (transit)" in status(agent)["waiting"]
        assert "key_provider_denied" in status(agent)["waiting"]
        agent.stop()
        agent.environment["TRANSIT_TOKEN"] = openbao.make_token("unseal")
        agent.start()
        assert reads(agent)
        assert not any(token.encode() in each for each in contents(folder))


def test_aws_unseals_an_agent(moto: AwsKms, folder: Path) -> None:
    """By an alias, which goes to another key; the former one is not needed any more."""
    first = moto.make_key("alias/freehold")
    agent = cloud_agent(folder, {}, aws=moto.section("alias/freehold"))
    with running(agent):
        initialize(agent)
        agent.stop()
        agent.start()
        assert reads(agent)
        assert status(agent)["type"] == "awskms"
        second = moto.make_key("alias/freehold")
        rotated = rotate(agent)
        assert (rotated["previous_key"], rotated["key"]) == (first, second)
        moto.schedule_deletion(first)
        agent.stop()
        agent.start()
        assert reads(agent)
