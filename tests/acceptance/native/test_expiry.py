"""A secret expires with its version, whichever API and process it is asked through."""

from pathlib import Path

import pytest

from tests.acceptance.agent import Agent, dev_agent, running

PAST = "2020-01-01T00:00:00Z"
FUTURE = "2099-01-01T00:00:00Z"


@pytest.fixture(params=[1, 2], ids=["one process", "two workers"])
def agent(request: pytest.FixtureRequest, folder: Path) -> Agent:
    """One that is down."""
    return dev_agent(folder, workers=request.param)


def test_a_new_version_is_readable(agent: Agent) -> None:
    """After one that has expired, written through either API, alone or in a batch."""
    value = {"a": 1}
    writes = (
        ("POST", "/v1/secret/data/s0", {"data": value}),
        ("PUT", "/api/v1/secrets/secret/s1", {"value": value}),
        ("POST", "/api/v1/batch/write", {"secrets": [{"name": "secret/s2", "value": value}]}),
    )
    with running(agent):
        for number, write in enumerate(writes):
            name = f"secret/s{number}"
            body = {"name": name, "value": {"a": 0}, "expires_at": PAST}
            assert agent.call("POST", "/api/v1/secrets", body).status == 201
            for path in (f"/api/v1/secrets/{name}", f"/v1/secret/data/s{number}"):
                assert agent.call("GET", path).status == 404
            assert agent.call(*write).status == 200
            for _ in range(4):  # each process is asked
                found = agent.call("GET", f"/api/v1/secrets/{name}")
                assert (found.status, found.json["value"], found.json.get("expires_at")) == (
                    200, {"a": 1}, None,
                )  # fmt: skip
                assert agent.call("GET", f"/v1/secret/data/s{number}").status == 200
                assert agent.call("GET", f"/v1/secret/data/s{number}?version=1").status == 404
            back = agent.call("POST", f"/api/v1/rollback/{name}", {"version": 1})
            assert (back.status, back.json["code"]) == (404, "secret_expired")


def test_who_lists_what_expires_sees_the_current_version(agent: Agent) -> None:
    """It goes by what is read, and metadata may move it."""
    with running(agent):
        body = {"name": "secret/s", "value": {"a": 0}, "expires_at": FUTURE}
        assert agent.call("POST", "/api/v1/secrets", body).status == 201
        query = "/api/v1/secrets?prefix=secret/&expiring_before=2099-06-01T00:00:00Z"
        assert len(agent.call("GET", query).json["secrets"]) == 1
        assert agent.call("POST", "/v1/secret/data/s", {"data": {"a": 1}}).status == 200
        assert agent.call("GET", query).json["secrets"] == []
        assert agent.call("PATCH", "/api/v1/metadata/secret/s", {"expires_at": PAST}).status == 200
        assert agent.call("GET", "/v1/secret/data/s").status == 404
        assert agent.call("GET", "/v1/secret/data/s?version=1").status == 200
