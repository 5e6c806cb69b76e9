"""Logins by SAML at real agents: the browser's way, the command line's, and what is not taken."""

import base64
import hashlib
import os
import re
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.acceptance.agent import Agent, Answer, dev_agent, own_folder, running
from tests.acceptance.auth.signed import ok, policy
from tests.acceptance.command import FREEHOLD
from tests.support.saml_provider import Said, SamlProvider, read_question

PROVIDER = SamlProvider()
US = "https://agent.example"
ACS = f"{US}/v1/auth/saml/callback"
BACK = "http://localhost:8250/saml/callback"
VERIFIER = "a secret of the client's"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=")


@pytest.fixture(scope="module", params=[1, 2], ids=["1 worker", "2 workers"])
def agent(request: pytest.FixtureRequest) -> Iterator[Agent]:
    """With a mount of the method."""
    with own_folder() as folder, running(dev_agent(folder, workers=request.param)) as made:
        ok(made, "POST", "secret/data/app/a", {"data": {"x": 1}})
        policy(made, "app", "secret/data/app/*", "read")
        ok(made, "POST", "sys/auth/saml", {"type": "saml"})
        ok(made, "POST", "auth/saml/config", {
            "idp_metadata": PROVIDER.metadata(), "entity_id": US, "acs_urls": ACS,
            "default_role": "people",
        })  # fmt: skip
        ok(made, "POST", "auth/saml/role/people", {
            "token_policies": "app", "groups_attribute": "groups",
            "bound_attributes": {"org": "ours"},
        })  # fmt: skip
        yield made


def anonymous(agent: Agent, path: str, body: object, **more: Any) -> Answer:
    """A call without a credential."""
    return agent.call("POST", f"/v1/{path}", body, token="", **more)


def begin(agent: Agent) -> str:
    """The provider's URL."""
    body = {"client_challenge": CHALLENGE.decode(), "redirect_uri": BACK}
    answer = ok(agent, "POST", "auth/saml/sso_service_url", body, token="")
    return str(answer["data"]["sso_service_url"])


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def post(agent: Agent, form: dict[str, str], **headers: str) -> tuple[int, str]:
    """What a browser does with the provider's page: the status, and where it is sent."""
    sent = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Origin": "https://idp.example",
        "Sec-Fetch-Site": "cross-site",
        **headers,
    }
    request = urllib.request.Request(  # noqa: S310  # an agent of ours
        f"{agent.address}/v1/auth/saml/callback", urlencode(form).encode(), sent, method="POST"
    )
    try:
        with urllib.request.build_opener(_NoRedirect).open(request) as answer:
            return int(answer.status), ""
    except urllib.error.HTTPError as error:
        with error:
            return error.code, str(error.headers.get("Location", ""))


def form_of(url: str, assertion_id: str, **changed: Any) -> dict[str, str]:
    """The provider's page."""
    question = read_question(url)
    usual = {"audience": US, "attributes": {"org": ["ours"], "groups": ["dev"]}}
    said = Said(
        request_id=question.id, acs_url=question.acs_url, assertion_id=assertion_id,
        **{**usual, **changed},
    )  # fmt: skip
    return {"SAMLResponse": PROVIDER.respond(said), "RelayState": question.relay_state}


def test_a_browser_logs_in(agent: Agent) -> None:
    """It is sent on with a code, which counts with the secret of whoever began, once."""
    status, back = post(agent, form_of(begin(agent), "_b1"))
    assert (status, back.partition("?")[0]) == (303, BACK)
    code = parse_qs(urlsplit(back).query)["code"][0]
    assert anonymous(agent, "auth/saml/login", {"code": code}).status == 400
    shown = {"code": code, "client_verifier": VERIFIER}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: anonymous(agent, "auth/saml/login", shown), range(8)))
    assert sorted(each.status for each in answers) == [200, *[400] * 7]
    auth = next(each for each in answers if each.status == 200).json["auth"]
    assert auth["metadata"] == {"role": "people"}
    token = auth["client_token"]
    [session] = agent.call("GET", "/api/v1/sessions", token=token).json["sessions"]
    assert (session["method"], session["current"]) == ("saml", True)
    assert agent.call("GET", "/v1/secret/data/app/a", token=token).status == 200
    assert agent.call("GET", "/v1/secret/data/other", token=token).status == 403


def test_of_many_that_bring_an_assertion_one_comes_in(agent: Agent) -> None:
    """Although each of them answers a question of its own: whichever worker takes it."""
    forms = [form_of(begin(agent), "_same") for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda form: post(agent, form)[1], forms))
    codes = [each for each in found if "code=" in each]
    assert len(codes) == 1
    assert all("shown+before" in each for each in found if each not in codes)


def test_answers_that_do_not_count(agent: Agent) -> None:
    """Whoever waits is told why; where nobody is known to wait, the browser is."""
    status, back = post(agent, form_of(begin(agent), "_c1", audience="https://other.example"))
    assert status == 303
    assert back.startswith(f"{BACK}?error=login_refused&error_description=")
    assert post(agent, {"SAMLResponse": "x", "RelayState": "rs_unknown"}) == (400, "")
    assert post(agent, {"RelayState": "rs_unknown"})[0] == 400
    assert post(agent, form_of(begin(agent), "_c2"), **{"Content-Type": "text/plain"})[0] == 415
    assert post(agent, {"SAMLResponse": "A" * 300_000})[0] == 413
    shown = {"code": "sc_unknown", "client_verifier": VERIFIER}
    assert anonymous(agent, "auth/saml/login", shown).status == 400


def test_no_other_route_is_open_to_other_sites(agent: Agent) -> None:
    """Nor to large bodies of strangers."""
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    body = {"client_challenge": CHALLENGE.decode(), "redirect_uri": BACK}
    assert anonymous(agent, "auth/saml/sso_service_url", body, headers=headers).status == 403
    assert anonymous(agent, "auth/saml/login", {"code": "x" * 9_000}).status == 413


def test_what_is_kept_is_not_shown(agent: Agent) -> None:
    """Neither questions nor answers are entries of an administrator's."""
    begin(agent)
    for kind in ("saml-request", "saml-answer", "saml-assertion"):
        assert agent.call("LIST", f"/v1/auth/saml/{kind}").status == 404
    found = ok(agent, "GET", "auth/saml/config")["data"]
    assert found["idp_entity_id"] == PROVIDER.entity_id


def test_freehold_login(agent: Agent, tmp_path: Path) -> None:
    """`freehold login --method saml`, whose browser is this test."""
    environment = {
        "FREEHOLD_ADDR": agent.address, "HOME": str(tmp_path), "PATH": os.environ["PATH"],
        "BROWSER": "true",
    }  # fmt: skip
    command = [FREEHOLD, "login", "--method", "saml", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        killer = threading.Timer(60, process.kill)
        killer.start()
        found = (re.search(r"https://idp\.example/\S+", line) for line in process.stderr)
        url = next(each[0] for each in found if each)
        status, back = post(agent, form_of(url, "_cli"))
        assert status == 303
        with urllib.request.build_opener().open(back) as page:
            page.read()
        said, more = process.communicate()
        killer.cancel()
    assert process.returncode == 0, more
    assert "app" in said
