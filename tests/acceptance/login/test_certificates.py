"""Clients with certificates at a real agent over TLS: with logins, and without."""

import json
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agent import Agent, own_folder, running, served_agent
from tests.acceptance.compat.servers import BAO
from tests.support.certificates import Authority
from tests.support.ocsp_responder import responder


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Of the server and its clients."""
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="module")
def agent(workers: int, authority: Authority) -> Iterator[Agent]:
    """Open, over TLS, asking for certificates."""
    certificate, key = authority.issue("server", "127.0.0.1")
    tls = {
        "cert_file": str(certificate),
        "key_file": str(key),
        "ca_file": str(authority.file),
        "client_auth": "optional",
    }
    server = {"listen": "127.0.0.1:0", "workers": workers, "tls": tls}
    with own_folder() as folder:
        found = served_agent(folder, {"server": server})
        found.tls = context(authority)
        with running(found):
            made = found.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
            found.token = made.json["root_token"]
            share = made.json["keys_base64"][0]
            assert found.call("PUT", "/v1/sys/unseal", {"key": share}).status == 200
            yield found


def context(authority: Authority, files: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    """A client's."""
    made = ssl.create_default_context(cafile=authority.file)
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if files is not None:
        made.load_cert_chain(*files)
    return made


def test_a_token_counts_with_its_certificate_alone(agent: Agent, authority: Authority) -> None:
    """Neither without one, nor with another of the same authority."""
    call = agent.call
    assert call("POST", "/v1/sys/auth/cert", {"type": "cert"}).status == 204
    role = {"certificate": authority.file.read_text(), "allowed_common_names": "job"}
    assert call("POST", "/v1/auth/cert/certs/jobs", role).status == 204
    plain, own, other = (
        context(authority),
        context(authority, authority.issue("job", "127.0.0.1")),
        context(authority, authority.issue("another", "127.0.0.1")),
    )
    root, agent.token = agent.token, ""
    answers = {}
    for name, tls in (("plain", plain), ("own", own), ("other", other)):
        agent.tls = tls
        answers[name] = call("POST", "/v1/auth/cert/login", {})
    assert [answer.status for answer in answers.values()] == [400, 200, 400]
    auth = answers["own"].json["auth"]
    assert auth["metadata"]["common_name"] == "job"
    agent.token = auth["client_token"]
    for tls, status in ((own, 200), (plain, 403), (other, 403)):
        agent.tls = tls
        assert call("GET", "/v1/auth/token/lookup-self").status == status
    agent.tls, agent.token = plain, root


def test_bao_login(agent: Agent, authority: Authority, mount: str, tmp_path: Path) -> None:
    """`bao login -method=cert`, with the role named and without; as a user types it."""
    certificate, key = authority.issue("robot-0", "127.0.0.1")
    for role in ([], ["name=robots"], ["name=nobody"]):
        done = subprocess.run(
            [
                BAO, "login", "-no-store", "-format=json", "-method=cert", f"-path={mount}",
                f"-ca-cert={authority.file}", f"-client-cert={certificate}", f"-client-key={key}",
                *role,
            ],
            capture_output=True, text=True, check=False,
            env={"BAO_ADDR": agent.address, "HOME": str(tmp_path)},
        )  # fmt: skip
        assert (done.returncode == 0) is (role != ["name=nobody"]), done.stderr
        if done.returncode == 0:
            assert "app" in json.loads(done.stdout)["auth"]["policies"]


@contextmanager
def shown(agent: Agent, authority: Authority, files: tuple[Path, Path] | None) -> Iterator[None]:
    """Calls are with this certificate, and with no token."""
    token, agent.token, agent.tls = agent.token, "", context(authority, files)
    try:
        yield
    finally:
        agent.token, agent.tls = token, context(authority)


def ok(agent: Agent, method: str, path: str, body: object = None) -> Any:
    """What root is answered."""
    answer = agent.call(method, path, body)
    assert answer.status < 300, answer.body
    return answer.json if answer.body else None


READ = "/v1/kv/data/app/a"
NATIVE = "/api/v1/secrets/kv/app/a"


@pytest.fixture(scope="module")
def mount(agent: Agent, authority: Authority) -> str:
    """A mount whose role reads one folder; it takes no request without a login yet."""
    ok(agent, "POST", "/v1/sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
    ok(agent, "POST", READ, {"data": {"x": 1}})
    policy = 'path "kv/data/app/*" { capabilities = ["read", "update"] }'
    ok(agent, "POST", "/v1/sys/policies/acl/app", {"policy": policy})
    ok(agent, "POST", "/v1/sys/auth/tls", {"type": "cert"})
    role = {
        "certificate": authority.file.read_text(), "allowed_common_names": "robot*",
        "token_policies": "app",
    }  # fmt: skip
    ok(agent, "POST", "/v1/auth/tls/certs/robots", role)
    return "tls"


def answers(agent: Agent, authority: Authority, files: tuple[Path, Path] | None) -> list[int]:
    """Of a read in each dialect."""
    with shown(agent, authority, files):
        return [agent.call("GET", path).status for path in (READ, NATIVE)]


def test_a_certificate_without_a_login(agent: Agent, authority: Authority, mount: str) -> None:
    """It counts where a mount is told so: for what its role may do, and nothing is left of it."""
    robot, other = authority.issue("robot-1", "127.0.0.1"), authority.issue("human", "127.0.0.1")
    assert answers(agent, authority, robot)[0] == 403
    ok(agent, "POST", f"/v1/auth/{mount}/config", {"tokenless": True})
    before = ok(agent, "LIST", "/v1/auth/token/accessors")["data"]
    assert answers(agent, authority, robot) == [200, 200]
    assert answers(agent, authority, other) == [403, 401]
    assert answers(agent, authority, None) == [403, 401]
    with shown(agent, authority, robot):
        assert agent.call("GET", "/v1/kv/data/other").status == 403
        assert agent.call("POST", READ, {"data": {"x": 2}}).status == 200
        assert agent.call("POST", "/v1/auth/token/create", {}).status == 403
        who = agent.call("GET", "/api/v1/auth/whoami").json
        found = agent.call("GET", "/v1/auth/token/lookup-self").json["data"]
        assert agent.call("POST", "/v1/auth/token/renew-self", {}).status == 400
        assert agent.call("POST", "/v1/auth/token/revoke-self", {}).status == 400
    assert (who["name"], who["method"], who["mount"], who["role"]) == (
        "robots", "cert", f"{mount}/", "robots",
    )  # fmt: skip
    assert who["policies"] == found["policies"] == ["app", "default"]
    assert who["identity_policies"] == []
    assert who["expires_at"] == found["expire_time"]
    assert (found["path"], found["meta"]["common_name"], found["renewable"]) == (
        f"auth/{mount}/login", "robot-1", False,
    )  # fmt: skip
    assert ok(agent, "LIST", "/v1/auth/token/accessors")["data"] == before


def test_a_token_that_is_shown_counts(agent: Agent, authority: Authority, mount: str) -> None:
    """Be it wrong, or of less."""
    robot = authority.issue("robot-2", "127.0.0.1")
    weak = ok(agent, "POST", "/v1/auth/token/create", {"policies": ["default"]})["auth"]
    with shown(agent, authority, robot):
        assert agent.call("GET", READ).status == 200
        for token in ("hvs.nonsense", weak["client_token"]):
            assert agent.call("GET", READ, token=token).status == 403
            bearer = {"Authorization": f"Bearer {token}"}
            assert agent.call("GET", NATIVE, headers=bearer).status in {401, 403}


def test_a_browser_needs_more(agent: Agent, authority: Authority, mount: str) -> None:
    """It shows its certificate for whichever page asks."""
    robot = authority.issue("robot-3", "127.0.0.1")
    with shown(agent, authority, robot):
        for headers in (
            {"Origin": "https://evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-origin"},
        ):
            assert agent.call("POST", READ, {"data": {}}, headers=headers).status == 403
            assert agent.call("GET", NATIVE, headers=headers).status == 401


def test_what_ends_it_counts_at_once(agent: Agent, authority: Authority, mount: str) -> None:
    """A list of revoked certificates, networks, the role, the entity, the mount's setting."""
    robot = authority.issue("robot-4", "127.0.0.1")
    good, bad = [200, 200], [403, 401]
    assert answers(agent, authority, robot) == good
    crls = f"/v1/auth/{mount}/crls/ours"
    ok(agent, "POST", crls, {"crl": authority.revoke(robot[0])})
    assert answers(agent, authority, robot) == bad
    ok(agent, "DELETE", crls)
    assert answers(agent, authority, robot) == good
    role = f"/v1/auth/{mount}/certs/robots"
    ok(agent, "POST", role, {"token_bound_cidrs": "10.0.0.0/8"})
    assert answers(agent, authority, robot) == bad
    ok(agent, "POST", role, {"token_bound_cidrs": ""})
    accessor = ok(agent, "GET", "/v1/sys/auth")["data"][f"{mount}/"]["accessor"]
    entity = ok(agent, "POST", "/v1/identity/entity", {"name": "robot-4", "policies": "extra"})[
        "data"
    ]["id"]
    alias = {"name": "robot-4", "canonical_id": entity, "mount_accessor": accessor}
    ok(agent, "POST", "/v1/identity/entity-alias", alias)
    assert answers(agent, authority, robot) == good
    with shown(agent, authority, robot):
        found = agent.call("GET", "/v1/auth/token/lookup-self").json["data"]
    assert (found["entity_id"], found["identity_policies"]) == (entity, ["extra"])
    assert found["policies"] == ["app", "default"]
    ok(agent, "POST", f"/v1/identity/entity/id/{entity}", {"disabled": True})
    assert answers(agent, authority, robot) == bad
    ok(agent, "POST", f"/v1/identity/entity/id/{entity}", {"disabled": False})
    ok(agent, "POST", role, {"token_policies": "default"})
    assert answers(agent, authority, robot)[0] == 403
    ok(agent, "POST", role, {"token_policies": "app"})
    assert answers(agent, authority, robot) == good
    ok(agent, "POST", f"/v1/auth/{mount}/config", {"tokenless": False})
    assert answers(agent, authority, robot) == bad
    ok(agent, "POST", f"/v1/auth/{mount}/config", {"tokenless": True})


def test_a_responder_is_asked(
    agent: Agent, authority: Authority, mount: str, tmp_path: Path
) -> None:
    """Of requests without a login, too; where nobody can say, nobody gets in."""
    robot, bad = (authority.issue(f"robot-{n}", "127.0.0.1") for n in (5, 6))
    role = f"/v1/auth/{mount}/certs/robots"
    with responder(tmp_path, authority) as source:
        source.know(robot[0])
        source.know(bad[0], revoked=True)
        asking = {"ocsp_enabled": True, "ocsp_servers_override": source.address}
        ok(agent, "POST", role, asking)
        assert answers(agent, authority, robot) == [200, 200]
        assert answers(agent, authority, bad) == [403, 401]
        with shown(agent, authority, bad):
            assert agent.call("POST", f"/v1/auth/{mount}/login", {}).status == 400
    unknown = authority.issue("robot-7", "127.0.0.1")
    assert answers(agent, authority, unknown) == [503, 503]
    ok(agent, "POST", role, {"ocsp_enabled": False, "ocsp_servers_override": ""})
