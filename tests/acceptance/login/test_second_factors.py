"""Second factors on real agents: both dialects, the command line, and every way around them."""

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.acceptance.agent import Agent, Answer, own_folder, running, served_agent
from tests.acceptance.auth.signed import claims, trusting_agent
from tests.acceptance.cli.conftest import commands
from tests.acceptance.command import freehold
from tests.acceptance.storage.test_logins import two_agents
from tests.support.identity_source import SigningKey
from tests.support.totp import App

RACING = 100
SENSITIVE = {
    "rules": [
        {"effect": "allow", "paths": ["secret/*"], "capabilities": ["read"]},
        {"effect": "allow", "paths": ["auth/token/create"], "capabilities": ["update"]},
        {
            "effect": "deny",
            "paths": ["secret/payroll/*"],
            "capabilities": ["*"],
            "conditions": [{"type": "mfa_present", "max_age": "10m", "not": True}],
        },
    ]
}


class Person(NamedTuple):
    """Somebody with a mount of their own, an app and recovery codes. `shown`: at a login."""

    mount: str
    login: str
    shown: dict[str, str]
    accessor: str
    entity: str
    app: App
    codes: list[str]
    token: str  # from before any enforcement


@pytest.fixture(scope="module")
def agent(workers: int) -> Iterator[Agent]:
    """Open, with a key-value mount and a policy that asks for a second factor."""
    server = {"listen": "127.0.0.1:0", "workers": workers, "tls": {"enabled": False}}
    with own_folder() as folder, running(served_agent(folder, {"server": server})) as made:
        keys = made.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1}).json
        made.token = keys["root_token"]
        assert made.call("PUT", "/v1/sys/unseal", {"key": keys["keys_base64"][0]}).status == 200
        ok(made, "POST", "/v1/sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
        ok(made, "POST", "/api/v1/secrets", {"name": "secret/payroll/pay", "value": {"k": "v"}})
        ok(made, "POST", "/api/v1/secrets", {"name": "secret/plain", "value": {"k": "v"}})
        ok(made, "PUT", "/api/v1/policies/sensitive", SENSITIVE)
        yield made


def ok(agent: Agent, method: str, path: str, body: object = None, **more: Any) -> Any:
    """A call that succeeds; what it is answered."""
    answer = agent.call(method, path, body, **more)
    assert answer.status < 300, (path, answer.status, answer.body)
    return answer.json


def person(agent: Agent, mount: str, **user: Any) -> Person:
    """Enrolled, with no enforcement yet."""
    ok(agent, "POST", f"/v1/sys/auth/{mount}", {"type": "userpass"})
    accessor = ok(agent, "GET", "/v1/sys/auth")["data"][f"{mount}/"]["accessor"]
    fields = {"password": "right", "token_policies": "sensitive", **user}
    ok(agent, "POST", f"/v1/auth/{mount}/users/ann", fields)
    return _enrolled(agent, mount, accessor, "login/ann", {"password": "right"})


def machine(agent: Agent, mount: str) -> Person:
    """As `person`, by AppRole, whose logins are cheap."""
    ok(agent, "POST", f"/v1/sys/auth/{mount}", {"type": "approle"})
    accessor = ok(agent, "GET", "/v1/sys/auth")["data"][f"{mount}/"]["accessor"]
    role = f"/v1/auth/{mount}/role/web"
    ok(agent, "POST", role, {})
    shown = {
        "role_id": ok(agent, "GET", f"{role}/role-id")["data"]["role_id"],
        "secret_id": ok(agent, "POST", f"{role}/secret-id")["data"]["secret_id"],
    }
    return _enrolled(agent, mount, accessor, "login", shown)


def _enrolled(agent: Agent, mount: str, accessor: str, login: str, shown: dict[str, str]) -> Person:
    answer = agent.call("POST", f"/v1/auth/{mount}/{login}", shown, token="")
    auth = answer.json["auth"]
    token = auth["client_token"]
    made = ok(agent, "POST", "/api/v1/mfa/totp", {"name": "phone"}, token=token)
    app = App(made["url"])
    body = {"passcode": app.code()}
    done = ok(agent, "POST", "/api/v1/mfa/totp/confirm", body, token=token)
    codes = done["recovery_codes"]
    return Person(mount, login, shown, accessor, auth["entity_id"], app, codes, token)


def enforce(agent: Agent, who: Person) -> None:
    """Logins of the mount need the second factor."""
    ok(agent, "PUT", f"/api/v1/mfa/enforcements/{who.mount}", {"accessors": [who.accessor]})


def log_in(agent: Agent, mount: str, **headers: str) -> Answer:
    """The first phase, in Vault's dialect."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    body = {"password": "right"}
    return agent.call("POST", f"/v1/auth/{mount}/login/ann", body, token="", headers=named)


def waiting(agent: Agent, who: Person) -> str:
    """The id of a login that waits."""
    answer = agent.call("POST", f"/v1/auth/{who.mount}/{who.login}", who.shown, token="")
    auth = answer.json["auth"]
    assert auth["client_token"] == ""
    return str(auth["mfa_requirement"]["mfa_request_id"])


def validate(agent: Agent, request_id: str, code: str) -> Answer:
    """The second phase."""
    body = {"mfa_request_id": request_id, "mfa_payload": {"totp": [code]}}
    return agent.call("POST", "/v1/sys/mfa/validate", body, token="")


def test_a_person_enrols_and_logs_in(agent: Agent) -> None:
    """Natively: 202 with what is needed, then the token; `whoami` says since when."""
    who = person(agent, "native")
    enforce(agent, who)
    path = f"/api/v1/auth/login/{who.mount}/login/ann"
    wrong = agent.call("POST", path, {"password": "wrong"}, token="")
    assert wrong.status == 401
    assert "mfa" not in wrong.body.decode()
    first = agent.call("POST", path, {"password": "right"}, token="")
    assert first.status == 202
    assert {line["type"] for line in first.json["needed"][0]["any"]} == {"totp", "webauthn"}
    assert "token" not in first.json
    body = {"mfa_request_id": first.json["mfa_request_id"], "passcode": who.codes[0]}
    done = ok(agent, "POST", "/api/v1/mfa/login", body, token="")
    whoami = ok(agent, "GET", "/api/v1/auth/whoami", token=done["token"])
    assert whoami["mfa_at"]
    assert 0 <= whoami["mfa_age_seconds"] < 3600
    assert ok(agent, "GET", "/api/v1/auth/whoami", token=who.token)["mfa_at"] is None
    assert agent.call("POST", "/api/v1/mfa/login", body, token="").status == 401


def test_step_up(agent: Agent) -> None:
    """A policy asks for a second factor; the token that shows one may, and no other."""
    who = person(agent, "stepup")
    place = "/api/v1/secrets/secret/payroll/pay"
    assert agent.call("GET", "/api/v1/secrets/secret/plain", token=who.token).status == 200
    assert agent.call("GET", place, token=who.token).status == 403
    child = ok(agent, "POST", "/v1/auth/token/create", {}, token=who.token)["auth"]["client_token"]
    answer = agent.call(
        "POST", "/api/v1/mfa/verify", {"passcode": who.app.wrong_code()}, token=who.token
    )
    assert (answer.status, answer.json["code"]) == (403, "second_factor_refused")
    body = {"passcode": who.app.next_code()}
    assert ok(agent, "POST", "/api/v1/mfa/verify", body, token=who.token)["mfa_at"]
    assert agent.call("GET", place, token=who.token).status == 200
    assert agent.call("GET", place, token=child).status == 403
    later = ok(agent, "POST", "/v1/auth/token/create", {}, token=who.token)["auth"]["client_token"]
    assert agent.call("GET", place, token=later).status == 200
    orphan = {"policies": ["sensitive"], "no_parent": True}
    made = ok(agent, "POST", "/v1/auth/token/create-orphan", orphan)["auth"]["client_token"]
    assert agent.call("GET", place, token=made).status == 403


def test_there_is_no_way_around(agent: Agent) -> None:
    """Wrapping, inline authentication, batch tokens, renewal: none gives what a factor would."""
    who = person(agent, "around", token_type="batch")
    renewable = person(agent, "renewing")
    for one in (who, renewable):
        enforce(agent, one)
    wrapped = log_in(agent, who.mount, x_vault_wrap_ttl="60").json
    assert wrapped["wrap_info"] is None
    request_id = wrapped["auth"]["mfa_requirement"]["mfa_request_id"]
    parameter = base64.urlsafe_b64encode(
        json.dumps({"key": "password", "value": "right"}).encode()
    ).rstrip(b"=")
    inline = {
        "X-Vault-Inline-Auth-Path": f"auth/{who.mount}/login/ann",
        "X-Vault-Inline-Auth-Parameter-p": parameter.decode(),
    }
    answer = agent.call("GET", "/v1/secret/data/plain", token="", headers=inline)
    assert answer.status == 403
    body = {"mfa_request_id": request_id, "mfa_payload": {"totp": [who.codes[0]]}}
    done = agent.call(
        "POST", "/v1/sys/mfa/validate", body, token="", headers={"X-Vault-Wrap-TTL": "60"}
    ).json
    assert done["auth"] is None
    inner = ok(agent, "POST", "/v1/sys/wrapping/unwrap", token=done["wrap_info"]["token"])
    assert inner["auth"]["token_type"] == "batch"
    batch = inner["auth"]["client_token"]
    place = "/api/v1/secrets/secret/payroll/pay"
    assert agent.call("GET", place, token=batch).status == 200
    old = agent.call("POST", "/v1/auth/token/renew-self", {}, token=renewable.token)
    assert old.status == 400
    assert "second factor" in old.body.decode()
    shown = {"passcode": renewable.codes[0]}
    ok(agent, "POST", "/api/v1/mfa/verify", shown, token=renewable.token)
    ok(agent, "POST", "/v1/auth/token/renew-self", {}, token=renewable.token)


def test_a_token_of_another_issuer_is_no_way_around(tmp_path: Path) -> None:
    """Where logins of its mount need a second factor it does not count, until they do not."""
    key = SigningKey()
    with trusting_agent(tmp_path, key) as agent:
        token = key.sign(claims())
        assert agent.call("GET", "/v1/secret/data/app/a", token=token).status == 200
        ok(agent, "PUT", "/api/v1/mfa/enforcements/jobs", {"types": ["jwt"]})
        assert agent.call("GET", "/v1/secret/data/app/a", token=token).status == 403
        ok(agent, "DELETE", "/api/v1/mfa/enforcements/jobs")
        assert agent.call("GET", "/v1/secret/data/app/a", token=token).status == 200


def test_what_the_settings_require(tmp_path: Path) -> None:
    """By the type of the mount, and nobody takes it away over the API."""
    config = {
        "server": {"listen": "127.0.0.1:0", "workers": 1, "tls": {"enabled": False}},
        "authentication": {"mfa": {"required_for": ["userpass"]}},
    }
    with running(served_agent(tmp_path, config)) as agent:
        keys = agent.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1}).json
        agent.token = keys["root_token"]
        agent.call("PUT", "/v1/sys/unseal", {"key": keys["keys_base64"][0]})
        ok(agent, "POST", "/v1/sys/auth/people", {"type": "userpass"})
        ok(agent, "POST", "/v1/auth/people/users/ann", {"password": "right"})
        assert log_in(agent, "people").json["auth"]["mfa_requirement"]["mfa_constraints"]
        answer = agent.call("DELETE", "/api/v1/mfa/enforcements/configuration")
        assert answer.json["code"] == "enforcement_configured"


def test_the_command_line(agent: Agent, tmp_path: Path) -> None:
    """Enrol, log in with a code, list, show, renew recovery codes, remove; administrators too."""
    mount = "cli"
    root = commands(agent, tmp_path / "root")
    ok(agent, "POST", f"/v1/sys/auth/{mount}", {"type": "userpass"})
    ok(agent, "POST", f"/v1/auth/{mount}/users/ann", {"password": "right"})
    token = log_in(agent, mount).json["auth"]["client_token"]
    own = commands(agent, tmp_path / "own", token)
    begun = own("mfa", "enroll", stdin="000000\n", code=64)
    assert "no code of the new authenticator app" in begun.stderr
    made = ok(agent, "POST", "/api/v1/mfa/totp", {"name": "phone"}, token=token)
    app = App(made["url"])
    body = {"passcode": app.code()}
    codes = ok(agent, "POST", "/api/v1/mfa/totp/confirm", body, token=token)["recovery_codes"]
    assert "totp" in own("mfa", "list").stdout
    root("mfa", "enforce", "cli-people", "--type", "userpass", "--method", "totp")
    try:
        assert "cli-people" in root("mfa", "enforcements").stdout
        home = {"HOME": str(tmp_path), "FREEHOLD_ADDR": agent.address}
        words = ("login", "--method", "userpass", "--path", mount, "--username", "ann")
        done = freehold(*words, stdin=f"right\n{codes[0]}\n", environment=home)
        assert done.returncode == 0, done.stderr
        whoami = json.loads(freehold("auth", "whoami", "-o", "json", environment=home).stdout)
        assert whoami["mfa_age_seconds"] >= 0
        wrong = freehold(*words, stdin=f"right\n{codes[0]}\n", environment=home)
        assert wrong.returncode != 0
        assert "second factor was not accepted" in wrong.stderr
    finally:
        root("mfa", "unenforce", "cli-people", "--yes")
    own("mfa", "verify", stdin=f"{codes[1]}\n")
    fresh = json.loads(own("mfa", "recovery-codes", "-o", "json", stdin=f"{codes[2]}\n").stdout)
    assert len(fresh) == 10
    own("mfa", "remove", "totp", stdin=f"{fresh[0]}\n")
    entity = ok(agent, "GET", "/v1/auth/token/lookup-self", token=token)["data"]["entity_id"]
    name = ok(agent, "GET", f"/api/v1/entities/{entity}")["name"]
    assert "otpauth://" in root("mfa", "generate", name).stdout
    assert "totp" in root("mfa", "list", "--entity", name).stdout
    root("mfa", "reset", name, "--yes")
    assert ok(agent, "GET", f"/api/v1/mfa/entities/{entity}")["factors"] == []


def test_no_code_is_in_the_audit_log(agent: Agent) -> None:
    """Neither what was shown nor what was made, in clear."""
    who = person(agent, "audited")
    enforce(agent, who)
    request_id = waiting(agent, who)
    code = who.app.next_code()
    assert validate(agent, request_id, code).status == 200
    log = b"".join(file.read_bytes() for file in agent.audit_log.parent.glob("audit*"))
    assert b"auth.login.finish" in log
    for secret in (request_id, who.codes[0], who.app.fields["secret"]):
        assert secret.encode() not in log


def race(agents: tuple[Agent, ...], who: Person, code: str) -> Counter[int]:
    """So many logins wait, and all show one code at once, now here and now there."""
    ids = [waiting(agents[n % len(agents)], who) for n in range(RACING)]

    def show(number: int) -> int:
        with agents[number % len(agents)].client() as client:
            body = {"mfa_request_id": ids[number], "mfa_payload": {"totp": [code]}}
            return client.call("POST", "/v1/sys/mfa/validate", body, token="").status

    with ThreadPoolExecutor(32) as pool:
        return Counter(pool.map(show, range(RACING)))


def locks(agents: tuple[Agent, ...], who: Person) -> None:
    """Five wrong codes, now here and now there, and the right ones count nowhere."""
    for number in range(5):
        at = agents[number % len(agents)]
        assert validate(at, waiting(at, who), who.app.wrong_code()).status == 403
    for at in agents:
        for code in (who.app.next_code(), who.codes[-1]):
            assert validate(at, waiting(at, who), code).status == 403


def test_one_code_counts_once_and_wrong_ones_lock(agent: Agent) -> None:
    """A hundred logins with one code at once, on all workers."""
    who = machine(agent, "racing")
    enforce(agent, who)
    told = race((agent,), who, who.codes[0])
    assert told[200] == 1, told
    assert set(told) <= {200, 400, 403, 503}, told
    other = machine(agent, "locking")
    enforce(agent, other)
    locks((agent,), other)


def test_two_agents_count_together(folder: Path, postgresql: Callable[[], str]) -> None:
    """On one database: a code that one took the other does not, and a lockout is of both."""
    with two_agents(folder, postgresql()) as agents:
        first, _ = agents
        who = machine(first, "racing")
        enforce(first, who)
        told = race(agents, who, who.app.next_code())
        assert told[200] == 1, told
        assert set(told) <= {200, 400, 403, 503}, told
        other = machine(first, "locking")
        enforce(first, other)
        locks(agents, other)
