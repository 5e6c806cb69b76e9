"""Logins with a token, by a browser at a provider, by a service account, and in a request."""

import base64
import json
import os
import re
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import IncompleteRead
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.acceptance.agent import Agent, Answer, dev_agent, own_folder, running
from tests.acceptance.auth.signed import ok, policy
from tests.acceptance.command import FREEHOLD
from tests.acceptance.compat.servers import BAO
from tests.support.identity_provider import CLIENT, CLIENT_SECRET, Provider, provider

BACK = "http://localhost:8250/oidc/callback"
INLINE = "X-Vault-Inline-Auth-"


@pytest.fixture(scope="module")
def source() -> Iterator[Provider]:
    """A provider and cluster."""
    with provider() as made:
        yield made


@pytest.fixture(scope="module", params=[1, 2], ids=["1 worker", "2 workers"])
def agent(request: pytest.FixtureRequest, source: Provider) -> Iterator[Agent]:
    """With mounts of all three types, and a userpass one."""
    with own_folder() as folder, running(dev_agent(folder, workers=request.param)) as made:
        ok(made, "POST", "secret/data/app/a", {"data": {"x": 1}})
        policy(made, "app", "secret/data/app/*", "read")
        for kind in ("jwt", "oidc", "kubernetes", "userpass"):
            ok(made, "POST", f"sys/auth/{kind}", {"type": kind})
        ok(made, "POST", "auth/jwt/config", {"jwks_url": f"{source.address}/keys"})
        ok(made, "POST", "auth/oidc/config", {
            "oidc_discovery_url": source.address, "oidc_client_id": CLIENT,
            "oidc_client_secret": CLIENT_SECRET, "default_role": "people",
        })  # fmt: skip
        ok(made, "POST", "auth/kubernetes/config", {
            "kubernetes_host": source.address, "token_reviewer_jwt": source.reviewer,
        })  # fmt: skip
        ok(made, "POST", "auth/jwt/role/ci", {
            "role_type": "jwt", "user_claim": "sub", "bound_audiences": "ci", "policies": "app",
            "bound_claims": {"project": ["a", "b"]}, "claim_mappings": {"project": "project"},
            "bound_claims_type": "glob", "ttl": "10m",
        })  # fmt: skip
        ok(made, "POST", "auth/oidc/role/people", {
            "user_claim": "sub", "allowed_redirect_uris": [BACK], "policies": "app",
            "groups_claim": "groups",
        })  # fmt: skip
        ok(made, "POST", "auth/kubernetes/role/app", {
            "bound_service_account_names": "app*", "bound_service_account_namespaces": "prod",
            "policies": "app", "audience": "vault",
        })  # fmt: skip
        ok(made, "POST", "auth/userpass/users/al", {"password": "pw", "token_policies": "app"})
        yield made


def token(source: Provider, **changed: object) -> str:
    """Of a job."""
    now = int(time.time())
    said = {"sub": "job", "aud": "ci", "exp": now + 60, "iat": now, "project": "a", **changed}
    return source.key.sign(said)


def anonymous(agent: Agent, method: str, path: str, body: object = None, **more: Any) -> Answer:
    """A call without a credential."""
    return agent.call(method, f"/v1/{path}", body, token="", **more)


def reads(agent: Agent, text: str) -> int:
    """The status of a read with a token."""
    return agent.call("GET", "/v1/secret/data/app/a", token=text).status


def test_jwt_login(agent: Agent, source: Provider) -> None:
    """A token becomes one of ours, with the role's policies and mapped claims."""
    made = anonymous(agent, "POST", "auth/jwt/login", {"role": "CI", "jwt": token(source)})
    assert made.status == 200, made.body
    auth = made.json["auth"]
    assert auth["metadata"] == {"role": "ci", "project": "a"}
    assert (auth["token_policies"], auth["lease_duration"]) == (["app", "default"], 600)
    assert reads(agent, auth["client_token"]) == 200
    for changed in ({"aud": "x"}, {"project": "c"}, {"exp": 1}, {"sub": None}):
        answer = anonymous(
            agent, "POST", "auth/jwt/login", {"role": "ci", "jwt": token(source, **changed)}
        )
        assert answer.status == 400, changed
    unknown = {"role": "nobody", "jwt": token(source)}
    assert anonymous(agent, "POST", "auth/jwt/login", unknown).status == 400


def begin(agent: Agent, **more: str) -> str:
    """The provider's URL."""
    body = {"role": "people", "redirect_uri": BACK, **more}
    url: str = ok(agent, "POST", "auth/oidc/oidc/auth_url", body, token="")["data"]["auth_url"]
    return url


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def browse(url: str) -> str:
    """Where the provider sends the browser back to."""
    with pytest.raises(HTTPError) as caught:
        urllib.request.build_opener(_NoRedirect).open(url)
    with caught.value as answer:
        assert answer.code == 302
        return str(answer.headers["Location"])


def come_back(agent: Agent, url: str, **more: str) -> Answer:
    """What the listener does with what it was sent."""
    query = urlsplit(url).query + "".join(f"&{name}={value}" for name, value in more.items())
    return anonymous(agent, "GET", f"auth/oidc/oidc/callback?{query}")


def test_oidc_login(agent: Agent) -> None:
    """The browser comes back once, with the nonce of whoever sent it."""
    back = browse(begin(agent, client_nonce="n-1"))
    assert come_back(agent, back).status == 400
    assert come_back(agent, back, client_nonce="n-2").status == 400
    made = come_back(agent, back, client_nonce="n-1")
    assert made.status == 200, made.body
    assert reads(agent, made.json["auth"]["client_token"]) == 200
    assert come_back(agent, back, client_nonce="n-1").status == 400
    state = dict(parse_qsl(urlsplit(back).query))["state"]
    assert anonymous(agent, "GET", f"auth/oidc/oidc/callback?state={state}x&code=c").status == 400


def test_a_state_is_used_once(agent: Agent) -> None:
    """Of many at once one comes in."""
    back = browse(begin(agent))
    with ThreadPoolExecutor(10) as pool:
        found = list(pool.map(lambda _: come_back(agent, back).status, range(20)))
    assert sorted(found) == [200, *[400] * 19]


@pytest.mark.parametrize(
    "said",
    [
        {"nonce": "other"}, {"nonce": None}, {"aud": "other"}, {"aud": [CLIENT, "x"], "azp": "x"},
        {"iss": "https://other.example"}, {"exp": 1}, {"sub": None}, {"groups": [5]},
    ],
)  # fmt: skip
def test_a_provider_that_lies(agent: Agent, source: Provider, said: dict[str, Any]) -> None:
    """An ID token that is not for this login, this client, this time."""
    back = browse(begin(agent))
    before, source.claims = source.claims, {**source.claims, **said}
    try:
        assert come_back(agent, back).status == 400
    finally:
        source.claims = before


def test_redirects_that_a_role_does_not_allow(agent: Agent) -> None:
    """Exactly those of the role; on this machine with any port."""
    for uri in ("https://evil.example/", BACK + "/x", BACK.replace("localhost", "localhost.evil")):
        body = {"role": "people", "redirect_uri": uri}
        assert anonymous(agent, "POST", "auth/oidc/oidc/auth_url", body).status == 400
    assert BACK.replace("8250", "9999")[:20] in begin(
        agent, redirect_uri=BACK.replace("8250", "9999")
    ).replace("%3A", ":").replace("%2F", "/")


def first_url(lines: Iterable[str]) -> str:
    """Of the provider, in what a command prints."""
    found = (re.search(r"https?://\S+/authorize\S+", line) for line in lines)
    return next(each[0] for each in found if each)


def test_bao_login(agent: Agent) -> None:
    """`bao login -method=oidc`, whose browser is this test."""
    port = _free_port()
    ok(agent, "POST", "auth/oidc/role/cli", {
        "user_claim": "sub", "policies": "app",
        "allowed_redirect_uris": [f"http://localhost:{port}/oidc/callback"],
    })  # fmt: skip
    command = [
        BAO, "login", "-no-store", "-format=json", "-method=oidc", "role=cli", f"port={port}",
        "skip_browser=true",
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={"BAO_ADDR": agent.address, "HOME": "/nonexistent"},
    ) as process:  # fmt: skip
        assert process.stderr is not None
        assert process.stdout is not None
        killer = threading.Timer(20, process.kill)
        killer.start()
        url = first_url(process.stderr)
        with (
            urllib.request.build_opener().open(browse(url)) as page,
            suppress(IncompleteRead),  # `bao` ends as soon as it has the code
        ):
            page.read()
        said = process.stdout.read()
        killer.cancel()
        assert process.wait() == 0, said
    assert reads(agent, json.loads(said)["auth"]["client_token"]) == 200


def test_freehold_login(agent: Agent, source: Provider, tmp_path: Path) -> None:
    """`freehold login --method oidc`, whose browser is this test, and `--method jwt`."""
    environment = {
        "FREEHOLD_ADDR": agent.address, "HOME": str(tmp_path), "PATH": os.environ["PATH"],
        "BROWSER": "true",
    }  # fmt: skip
    port = str(_free_port())
    command = [FREEHOLD, "login", "--method", "oidc", "--role", "people", "--port", port]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        killer = threading.Timer(30, process.kill)
        killer.start()
        url = first_url(process.stderr)
        with urllib.request.build_opener().open(browse(url)) as page:
            page.read()
        said, more = process.communicate()
        killer.cancel()
    assert process.returncode == 0, more
    assert "app" in said
    done = subprocess.run(
        [FREEHOLD, "login", "--method", "jwt", "--role", "ci"], input=token(source),
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def account(source: Provider, name: str = "app-1", namespace: str = "prod", **more: Any) -> str:
    """The token of a service account that the cluster knows."""
    text = token(source, sub=f"system:serviceaccount:{namespace}:{name}", aud="vault")
    source.reviews[text] = {
        "authenticated": True,
        "user": {"username": f"system:serviceaccount:{namespace}:{name}", "uid": "u-1"},
        "audiences": ["vault"],
        **more,
    }
    return text


def kubernetes(agent: Agent, text: str, role: str = "app") -> Answer:
    """A login."""
    return anonymous(agent, "POST", "auth/kubernetes/login", {"role": role, "jwt": text})


def test_kubernetes_login(agent: Agent, source: Provider) -> None:
    """An account that the cluster vouches for and the role is bound to; nobody else."""
    made = kubernetes(agent, account(source))
    assert made.status == 200, made.body
    assert made.json["auth"]["metadata"]["service_account_namespace"] == "prod"
    assert reads(agent, made.json["auth"]["client_token"]) == 200
    assert kubernetes(agent, account(source, "other")).status == 403
    assert kubernetes(agent, account(source, namespace="dev")).status == 403
    assert kubernetes(agent, account(source), "nobody").status == 403
    assert kubernetes(agent, account(source, audiences=["other"])).status == 400
    assert kubernetes(agent, account(source, authenticated=False)).status == 400
    assert kubernetes(agent, account(source, user={"username": "system:node:a"})).status == 400
    assert kubernetes(agent, token(source, n=2)).status == 400


def test_kubernetes_with_its_keys(agent: Agent, source: Provider) -> None:
    """Without the API server: by the cluster's keys alone."""
    ok(agent, "POST", "sys/auth/far", {"type": "kubernetes"})
    ok(agent, "POST", "auth/far/config", {
        "jwks": json.dumps({"keys": [source.key.jwk()]}), "disable_token_review": True,
    })  # fmt: skip
    ok(agent, "POST", "auth/far/role/app", {
        "bound_service_account_names": "app", "bound_service_account_namespaces": "prod",
        "policies": "app", "audience": "vault", "alias_name_source": "serviceaccount_name",
    })  # fmt: skip
    said = {
        "sub": "system:serviceaccount:prod:app", "aud": ["vault"],
        "kubernetes.io": {"namespace": "prod", "serviceaccount": {"name": "app", "uid": "u"}},
    }  # fmt: skip
    good = {"role": "app", "jwt": token(source, **said)}
    assert anonymous(agent, "POST", "auth/far/login", good).status == 200
    for changed in ({"aud": "x"}, {"exp": 1}, {"sub": "ann"}, {"kubernetes.io": {}}):
        bad = {"role": "app", "jwt": token(source, **{**said, **changed})}
        assert anonymous(agent, "POST", "auth/far/login", bad).status == 400


def test_sources_that_are_down(agent: Agent, source: Provider) -> None:
    """New logins hear 503; what is there goes on."""
    made = kubernetes(agent, account(source)).json["auth"]["client_token"]
    source.is_broken = True
    try:
        answer = kubernetes(agent, account(source))
        assert answer.status == 503
        assert "identity source" in answer.json["errors"][0]
        assert reads(agent, made) == 200
        assert reads(agent, agent.token) == 200
    finally:
        source.is_broken = False


def inline(path: str, **fields: object) -> dict[str, str]:
    """The headers of a login."""
    found = {INLINE + "Path": path}
    for number, (key, value) in enumerate(fields.items()):
        data = json.dumps({"key": key, "value": value}).encode()
        text = base64.urlsafe_b64encode(data).rstrip(b"=").decode()
        found[f"{INLINE}Parameter-{number}"] = text
    return found


def test_inline_login(agent: Agent, source: Provider) -> None:
    """A login in headers counts for the one request; no token is left, and none is made."""
    before = ok(agent, "LIST", "auth/token/accessors")["data"]
    for headers in (
        inline("auth/userpass/login/al", password="pw"),
        inline("auth/jwt/login", role="ci", jwt=token(source)),
        inline("auth/kubernetes/login", role="app", jwt=account(source)),
    ):
        answer = anonymous(agent, "GET", "secret/data/app/a", headers=headers)
        assert answer.status == 200, answer.body
        assert anonymous(agent, "GET", "secret/data/other", headers=headers).status == 403
        assert anonymous(agent, "POST", "auth/token/create", {}, headers=headers).status == 403
        assert anonymous(agent, "GET", "auth/token/lookup-self", headers=headers).status == 403
    assert ok(agent, "LIST", "auth/token/accessors")["data"] == before


@pytest.mark.parametrize(
    ("headers", "status", "failed"),
    [
        (inline("auth/userpass/login/al", password="no"), 400, True),
        (inline("auth/userpass/login/al"), 400, False),
        (inline("auth/nope/login"), 403, True),
        (inline("secret/data/app/a"), 403, True),
        (inline("auth/token/create"), 403, True),
        ({**inline("auth/userpass/login/al"), INLINE + "Parameter-1": "!!"}, 400, False),
        ({**inline("auth/userpass/login/al"), INLINE + "Parameter-1": "e30="}, 400, False),
        ({**inline("auth/userpass/login/al"), INLINE + "Parameter-1": "e30"}, 400, False),
        ({**inline("auth/userpass/login/al"), INLINE + "Operation": "read"}, 405, False),
        ({**inline("auth/userpass/login/al"), INLINE + "Operation": "x"}, 400, False),
        ({**inline("auth/userpass/login/al"), INLINE + "Namespace": "x"}, 400, False),
        ({**inline("auth/userpass/login/al"), "X-Vault-Token": "x"}, 400, False),
    ],
)
def test_inline_logins_that_fail(
    agent: Agent, headers: dict[str, str], status: int, failed: bool
) -> None:
    """A refused login says that it was the login; a malformed one is the client's fault."""
    answer = anonymous(agent, "GET", "secret/data/app/a", headers=headers)
    assert answer.status == status, answer.body
    assert (answer.headers.get("x-vault-inline-auth-failed") == "true") is failed


def test_inline_failures_count_in_the_lockout(agent: Agent) -> None:
    """A password is guessed no more often this way."""
    ok(agent, "POST", "auth/userpass/users/eve", {"password": "right", "token_policies": "app"})
    wrong = inline("auth/userpass/login/eve", password="wrong")
    right = inline("auth/userpass/login/EVE", password="right")
    for _ in range(5):
        anonymous(agent, "GET", "secret/data/app/a", headers=wrong)
    assert anonymous(agent, "GET", "secret/data/app/a", headers=right).status == 403
