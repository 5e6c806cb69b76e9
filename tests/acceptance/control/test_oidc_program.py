"""Signing in from the command line at a real provider, by a browser on the same machine."""

import re
import sys
from html import unescape
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from control.crypto import pkce_challenge, short_fingerprint
from tests.acceptance.command import freehold
from tests.acceptance.control.plane import Plane
from tests.acceptance.control.test_oidc import issuer, plane
from tests.oidc import lone
from tests.oidc.lone import walk

__all__ = ["issuer", "plane"]

VERIFIER = "fhv_" + "v" * 43
LONE = Path(lone.__file__)


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment of its own, in which that browser is the one that opens."""
    return {"HOME": str(tmp_path), "BROWSER": f"{sys.executable} {LONE} %s u-ann"}


def begun(plane: Plane, challenge: str, org: str = "acme", port: int = 4711) -> str:
    """Where a program sends the browser."""
    place = f"{plane.address}/api/v1/oidc/program"
    return f"{place}?organization={org}&challenge={challenge}&port={port}"


def brought(
    plane: Plane, account: str, challenge: str, org: str = "acme", answer: str = "yes"
) -> dict[str, list[str]]:
    """Go through the provider as this account: what the program's port would be asked."""
    with httpx2.Client() as http:
        at = walk(http, begun(plane, challenge, org), account, answer, "http://127.0.0.1:4711/")
    assert at.startswith("http://127.0.0.1:4711/"), at
    return parse_qs(urlsplit(at).query)


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
    [code] = brought(plane, "u-ann", pkce_challenge(VERIFIER))["code"]
    plane.want(401, "GET", "whoami", token=code)
    plane.want(401, "POST", "second-factor/answer", {"challenge": code, "code": "1"}, token="")
    plane.want(401, "POST", "second-factor/enrolment", {"challenge": code}, token="")
    for wrong in ("fhv_" + "w" * 43, pkce_challenge(VERIFIER)):
        plane.want(401, "POST", "oidc/session", {"code": code, "verifier": wrong}, token="")
    body, opened = {"code": code, "verifier": VERIFIER}, []

    def use() -> None:
        answer = plane.ask("POST", "oidc/session", body, token="")
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
    assert brought(plane, "u-out", pkce_challenge(VERIFIER)) == {"error": ["oidc_no_account"]}
    told = brought(plane, "u-ann", pkce_challenge(VERIFIER), org="other")
    assert told == {"error": ["not_found"]}


def test_one_may_say_no(plane: Plane, issuer: str) -> None:
    """The program hears of it, and the provider of nothing."""
    told = brought(plane, "u-ann", pkce_challenge(VERIFIER), answer="no")
    assert told == {"error": ["declined"]}


def test_the_command_hears_the_no(plane: Plane, issuer: str, tmp_path: Path) -> None:
    """And ends."""
    browser = f"{sys.executable} {LONE} %s u-ann no"
    told = {"HOME": str(tmp_path), "BROWSER": browser, "FREEHOLD_CONTROL_ADDR": plane.address}
    done = freehold("fleet", "login", "acme", environment=told)
    assert done.returncode != 0
    assert "declined" in done.stderr


def test_nobody_is_signed_in_for_a_program_unasked(plane: Plane, issuer: str) -> None:
    """Whoever is sent there sees who asks; only that browser, on that page, can say yes."""
    challenge = pkce_challenge(VERIFIER)
    at = begun(plane, challenge, org="acme%3Cb%3E")
    with httpx2.Client() as http:
        shown = http.get(at)
        assert shown.status_code == 200
        assert "set-cookie" in shown.headers
        assert "freehold-oidc" not in str(http.cookies)
        for word in ("127.0.0.1, port 4711", "acme&lt;b&gt;", short_fingerprint(challenge)):
            assert word in shown.text, word
        policy = shown.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "<script" not in shown.text
        shown = http.get(begun(plane, challenge))
        [yes] = [
            unescape(each) for each in re.findall('action="([^"]*answer=yes[^"]*)"', shown.text)
        ]
        ours = {"Origin": plane.address, "Sec-Fetch-Site": "same-origin"}
        place = plane.address + yes
        foreign = ours | {"Sec-Fetch-Site": "cross-site"}
        other = place.replace("port=4711", "port=4712")
        assert other != place
        with httpx2.Client() as stranger:  # it was not asked
            refused = [stranger.post(place, headers=ours)]
        refused += [
            http.get(place),
            http.post(place),
            http.post(place, headers=foreign),
            http.post(other, headers=ours),
            http.post(place.replace(challenge, "c" * 43), headers=ours),
        ]
        assert [reply.status_code for reply in refused] == [403, 405, 403, 403, 403, 403]
        assert http.post(place, headers=ours).status_code == 200
        assert http.post(place, headers=ours).status_code == 403  # once


@pytest.mark.parametrize(
    ("port", "challenge"), [("80", "c" * 43), ("4711@evil.example", "c" * 43), ("4711", "short")]
)
def test_it_goes_to_this_machine_alone(plane: Plane, port: str, challenge: str) -> None:
    """A port is a number: nobody's browser is sent elsewhere, or to what a machine runs itself."""
    at = f"oidc/program?organization=acme&port={port}&challenge={challenge}"
    plane.want(400, "GET", at, token="")
