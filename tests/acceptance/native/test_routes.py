"""Every route of the native API on the running agent: who may ask, and what a sealed one says."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.agent import Agent


def operations(agent: Agent) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, a path, and the description of each operation that the agent documents."""
    document = agent.call("GET", "/api/v1/openapi.json", token="").json
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            filled = path.replace("{seq}", "1")
            for name in ("path", "name", "id", "accessor"):
                filled = filled.replace(f"{{{name}}}", "some")
            yield method.upper(), filled, described


@pytest.mark.parametrize("token", ["", "s.unknown", "fh_aaaaaaaaaaaaaaaa_x_00000000"])
def test_nothing_without_a_credential(shared_agent: Agent, token: str) -> None:
    """Everything but the document answers 401, the same for a missing and a foreign token."""
    bodies = set()
    count = 0
    for method, path, described in operations(shared_agent):
        answer = shared_agent.call(
            method, path, token=token, headers={"Content-Type": "application/json"}
        )
        if described.get("security") == []:
            assert answer.status in {200, 400}, path  # some need a body
            continue
        if token and answer.status in {400, 415}:  # malformed, and told so to whoever shows a text
            continue
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer"), path
        bodies.add((answer.json["type"], answer.json["code"], answer.json["message"]))
        count += 1
    assert bodies == {("authentication", "unauthenticated", "permission denied")}
    assert count > 30


def test_every_answer_names_its_request(shared_agent: Agent) -> None:
    """In the header, and in the body of an error; in every dialect. Pages are no answers."""
    for path in (
        "/api/v1/none",
        "/api/v1/secrets/none",
        "/v1/sys/health",
        "/v1/none",
        "/none",
    ):
        answer = shared_agent.call("GET", path)
        assert answer.request_id
        if "code" in (answer.json or {}):
            assert answer.json["request_id"] == answer.request_id


def test_methods_that_are_not(shared_agent: Agent) -> None:
    """405 with those that are, in `Allow`."""
    answer = shared_agent.call("DELETE", "/api/v1/policies")
    assert (answer.status, answer.headers["allow"]) == (405, "GET")


def test_a_sealed_agent_says_so(agent: Agent) -> None:
    """Sealing is answered; then everything is 503 with a time to try again, and no value."""
    assert agent.call("POST", "/api/v1/system/seal").status == 204
    for method, path, described in operations(agent):
        if described.get("security") == []:
            continue
        answer = agent.call(method, path)
        if answer.status in {400, 415}:  # malformed: refused before it is asked for
            continue
        assert (answer.status, answer.json["code"]) == (503, "sealed"), path
        assert answer.headers["retry-after"].isdigit()
    assert agent.call("GET", "/health/live").status == 200
    assert agent.call("GET", "/health/ready").status == 503
