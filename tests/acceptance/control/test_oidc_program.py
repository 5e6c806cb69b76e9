"""Signing in from the command line at a real provider, by a browser on the same machine."""

import sys
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from control.crypto import challenge_of
from tests.acceptance.agent import freehold
from tests.acceptance.control.plane import Plane
from tests.acceptance.control.test_oidc import issuer, plane

__all__ = ["issuer", "plane"]

VERIFIER = "fhv_" + "v" * 43
# A browser without a screen: it keeps cookies of one host and goes where it is sent.
BROWSER = """
import sys, httpx2
at = sys.argv[1]
with httpx2.Client() as http:
    for _ in range(9):
        reply = http.get(at)
        at = reply.headers.get("location", "")
        if not at:
            break
        at = str(reply.url.join(at))
        if "/auth?" in at:
            at += "&login_hint=u-ann"
"""


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment of its own, in which that browser is the one that opens."""
    script = tmp_path / "browser.py"
    script.write_text(BROWSER)
    return {"HOME": str(tmp_path), "BROWSER": f"{sys.executable} {script} %s"}


def brought(plane: Plane, account: str, challenge: str, port: int = 4711) -> dict[str, list[str]]:
    """Go through the provider as this account: what the program's port would be asked."""
    at = f"{plane.address}/api/v1/oidc/program?organization=acme&challenge={challenge}&port={port}"
    with httpx2.Client() as http:
        for _ in range(9):
            reply = http.get(at)
            at = str(reply.url.join(reply.headers["location"]))
            if at.startswith(f"http://127.0.0.1:{port}/"):
                return parse_qs(urlsplit(at).query)
            if "/auth?" in at:
                at += f"&login_hint={account}"
    raise AssertionError(at)


def test_the_command_signs_in(plane: Plane, issuer: str, home: dict[str, str]) -> None:
    """It has a session of its own then, and the trail says whose."""
    told = {**home, "FREEHOLD_CONTROL_ADDR": plane.address}
    done = freehold("fleet", "login", "acme", "-o", "json", environment=told)
    assert done.returncode == 0, done.stderr
    assert '"acme/ann"' in done.stdout
    who = freehold("fleet", "user", "list", environment=told)
    assert "ann@corp.example" in who.stdout, who.stderr
    events = plane.want(200, "GET", "organizations/acme/audit?limit=9")
    of = {(e["operation"], e["actor"], e["result"]) for e in events}
    assert {("oidc.callback", "acme/ann", "ok"), ("oidc.collect", "acme/ann", "ok")} <= of
    assert not any(word in str(events) for word in ("verifier", "fhs_", "fhv_"))


def test_the_code_is_for_who_began_and_once(plane: Plane, issuer: str) -> None:
    """Without the secret it is worth nothing, as a credential too; and nothing after its use."""
    [code] = brought(plane, "u-ann", challenge_of(VERIFIER))["code"]
    plane.want(401, "GET", "whoami", token=code)
    plane.want(401, "POST", "second-factor/answer", {"challenge": code, "code": "1"}, token="")
    plane.want(401, "POST", "second-factor/enrolment", {"challenge": code}, token="")
    for wrong in ("fhv_" + "w" * 43, challenge_of(VERIFIER)):
        plane.want(401, "POST", "oidc/program", {"code": code, "verifier": wrong}, token="")
    body, opened = {"code": code, "verifier": VERIFIER}, []

    def use() -> None:
        answer = plane.ask("POST", "oidc/program", body, token="")
        if answer.status == 200:
            opened.append(answer.json)

    threads = [Thread(target=use) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [session] = opened
    assert session["state"] == "open"
    assert plane.want(200, "GET", "whoami", token=session["secret"])["name"] == "ann"


def test_a_refusal_goes_back_to_the_program(plane: Plane, issuer: str) -> None:
    """Which waits for it: who has no account, an organization that has no provider."""
    assert brought(plane, "u-out", challenge_of(VERIFIER)) == {"error": ["oidc_no_account"]}
    with httpx2.Client() as http:
        at = f"{plane.address}/api/v1/oidc/program?organization=other&port=4711&challenge="
        reply = http.get(at + challenge_of(VERIFIER))
    assert reply.headers["location"] == "http://127.0.0.1:4711/?error=not_found"


@pytest.mark.parametrize(
    ("port", "challenge"), [("80", "c" * 43), ("4711@evil.example", "c" * 43), ("4711", "short")]
)
def test_it_goes_to_this_machine_alone(plane: Plane, port: str, challenge: str) -> None:
    """A port is a number: nobody's browser is sent elsewhere, or to what a machine runs itself."""
    at = f"oidc/program?organization=acme&port={port}&challenge={challenge}"
    plane.want(400, "GET", at, token="")
