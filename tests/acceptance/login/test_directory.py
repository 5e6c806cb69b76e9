"""People of a directory at a real agent, as `bao login -method=ldap` and hvac send it."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.agent import Agent, Answer, dev_agent, own_folder, running
from tests.support.slapd import ROOT, ROOT_PASSWORD, SUFFIX, Slapd, slapd

PASSWORD = "correct-horse"
ACCESS = """access to attrs=userPassword by anonymous auth by * none
access to * by * read"""
PEOPLE = f"ou=people,{SUFFIX}"
GROUP = f"cn=engineers,ou=people,{SUFFIX}"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """Ann is an engineer."""
    with slapd(ACCESS, tls=False) as found:
        found.add(PEOPLE, objectClass="organizationalUnit", ou="people")
        found.add(
            f"uid=ann,{PEOPLE}",
            objectClass="inetOrgPerson", uid="ann", cn="ann", sn="ann", userPassword=PASSWORD,
        )  # fmt: skip
        connection = found.connect()
        member = f"uid=ann,{PEOPLE}".encode()
        connection.add_s(
            GROUP,
            [("objectClass", [b"groupOfNames"]), ("cn", [b"engineers"]), ("member", [member])],
        )
        connection.unbind()
        yield found


@pytest.fixture(scope="module")
def agent(workers: int) -> Iterator[Agent]:  # the form of what is made
    """An agent of the module."""
    with own_folder() as folder, running(dev_agent(folder)) as found:
        yield found


def test_the_life_of_a_login(agent: Agent, directory: Slapd) -> None:
    """Policies by group, renewal while the groups are the same, and one text for a refusal."""
    call(agent, "POST", "sys/auth/people", {"type": "ldap"}, 204)
    config = {
        "url": f"ldap://127.0.0.1:{directory.ports['ldap']}",
        "binddn": ROOT,
        "bindpass": ROOT_PASSWORD,
        "userdn": PEOPLE,
        "userattr": "uid",
        "groupdn": PEOPLE,
        "token_ttl": "30m",
    }
    call(agent, "POST", "auth/people/config", config, 204)
    shown = call(agent, "GET", "auth/people/config", None, 200).json["data"]
    assert shown["userattr"] == "uid"
    assert ROOT_PASSWORD not in str(shown)
    call(agent, "POST", "auth/people/groups/Engineers", {"policies": "build"}, 204)
    listed = call(agent, "LIST", "auth/people/groups", None, 200).json["data"]
    assert listed == {"keys": ["engineers"]}
    found = log_in(agent, "ann", PASSWORD, 200).json["auth"]
    assert (found["policies"], found["lease_duration"]) == (["build", "default"], 1800)
    assert found["metadata"] == {"username": "ann"}
    refused = [log_in(agent, *each, 400).body for each in (("ann", "wrong"), ("nobody", PASSWORD))]
    assert refused[0] == refused[1]
    own = found["client_token"]
    assert agent.call("POST", "/v1/auth/token/renew-self", {}, token=own).status == 200
    connection = directory.connect()
    connection.delete_s(GROUP)
    connection.unbind()
    renewed = agent.call("POST", "/v1/auth/token/renew-self", {}, token=own)
    assert (renewed.status, renewed.json["errors"]) == (
        400,
        ["policies have changed, not renewing"],
    )
    directory.stop()
    try:
        assert log_in(agent, "ann", PASSWORD, 503).json["errors"]
        assert agent.call("GET", "/v1/auth/token/lookup-self", token=own).status == 200
    finally:
        directory.start()
        connection = directory.connect()
        connection.add_s(
            GROUP,
            [
                ("objectClass", [b"groupOfNames"]),
                ("cn", [b"engineers"]),
                ("member", [f"uid=ann,{PEOPLE}".encode()]),
            ],
        )
        connection.unbind()
    log = agent.audit_log.read_bytes()
    assert PASSWORD.encode() not in log
    assert ROOT_PASSWORD.encode() not in log


def call(agent: Agent, method: str, path: str, body: Any, status: int) -> Answer:
    """A request of the root's."""
    answered = agent.call(method, f"/v1/{path}", body)
    assert answered.status == status, answered.body
    return answered


def log_in(agent: Agent, name: str, password: str, status: int) -> Answer:
    """A login, which needs no token."""
    path = f"/v1/auth/people/login/{name}"
    answered = agent.call("POST", path, {"password": password}, token="")
    assert answered.status == status, answered.body
    return answered
