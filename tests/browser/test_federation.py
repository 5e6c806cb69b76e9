"""Signing in at an organization's identity provider, in a real browser, at a real provider."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from playwright.sync_api import expect

from control.crypto import pkce_challenge, short_fingerprint
from tests.browser.conftest import Visiting
from tests.browser.estate import Estate
from tests.browser.visit import NARROW, PATIENCE, Visit
from tests.oidc.provider import provider

CLIENT, SECRET = "<b>freehold</b>", "a secret:with/odd characters"
ACCOUNTS = {
    "u-ann": {"email": "ann@corp.example", "email_verified": True, "groups": ["sec"]},
    "u-eve": {"email": "eve@else.example", "email_verified": True, "groups": ["sec"]},
}
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def issuer(estate: Estate) -> Iterator[str]:
    """It knows of us; no organization has taken it."""
    back = f"{estate.address}/api/v1/oidc/callback"
    with provider(CLIENT, SECRET, back, ACCOUNTS) as running_at:
        yield running_at


def fill(window: Visit, fields: dict[str, str]) -> None:
    """Fields by their labels."""
    for label, text in fields.items():
        window.page.get_by_label(label, exact=True).fill(text)


def press(window: Visit, name: str) -> None:
    """A button of that name."""
    window.page.get_by_role("button", name=name, exact=True).click()


def at_provider(window: Visit, account: str) -> None:
    """Go there, and say who one is."""
    fill(window, {"Organization": "acme"})
    press(window, "Sign in with identity provider")
    window.page.get_by_role("heading", name="Who are you?").wait_for()
    window.page.get_by_label("Account").fill(account)
    press(window, "Go on")


def shows_anew(window: Visit) -> None:
    """What is dangerous sends whom the provider alone knows back there, and that is a new session.

    The refusal is made up here, for the server's own comes ten minutes after signing in.
    """
    before = window.session()["session"]
    window.open("/agents/one")
    refusal = {"code": "step_up", "message": "show again who you are", "request_id": "r-1"}
    window.page.route("**/agents/one/lock", lambda route: route.fulfill(status=403, json=refusal))
    press(window, "Lock…")
    fill(window, {"Reason": "lost"})
    press(window, "Lock")
    window.page.get_by_role("heading", name="Confirm your identity").wait_for()
    assert window.page.get_by_label("Password").count() == 0
    assert window.findings() == []
    press(window, "Continue to identity provider")
    window.heading("Fleet")
    after = window.session()
    assert after["session"] != before
    assert after["name"] == "ann"


class _Program(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """What the browser brings."""
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(b"brought")

    def log_message(self, *_: object) -> None:
        """Nowhere."""


@contextmanager
def program() -> Iterator[int]:
    """A port on which a program waits to be told."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Program) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def for_a_program(window: Visit, port: int) -> None:
    """A page asks before a program on the machine gets a session; no is told it, yes goes on."""
    challenge = pkce_challenge("v" * 43)
    query = f"organization=acme&challenge={challenge}&port={port}"
    for answer, brought in (("No", "error=declined"), ("Yes, sign it in", "code=fhs_")):
        window.open(f"/api/v1/oidc/program?{query}")
        window.heading("Let a program sign in as you?")
        window.see(short_fingerprint(challenge))
        assert window.findings() == []
        assert window.overflow <= 0
        press(window, answer)
        window.see("brought")
        assert window.page.url.startswith(f"http://127.0.0.1:{port}/?{brought}")
    window.open("/")


def test_a_provider_is_taken_used_and_taken_away(
    visit: Visiting, estate: Estate, issuer: str
) -> None:
    """By the form; one comes in by it, another is told why not; then nobody does any more."""
    with visit(role="owner") as owner, visit(role=None, size=NARROW) as guest:
        owner.open("/people?tab=provider")
        fill(owner, {
            "Issuer": "http://127.0.0.1:9", "Client ID": CLIENT, "Client secret": SECRET,
            "Domains": "corp.example", "Role claim": "groups",
            "Role mapping": "sec = operator",
        })  # fmt: skip
        press(owner, "Add provider")
        owner.page.get_by_text("does not answer").wait_for()
        assert owner.findings() == []
        fill(owner, {"Issuer": issuer})
        press(owner, "Add provider")
        owner.see("Identity provider saved")
        owner.see(f"{estate.address}/api/v1/oidc/logout/acme")
        expect(owner.page.get_by_label("Client ID", exact=True)).to_have_value(CLIENT)
        expect(owner.page.get_by_label("Client secret", exact=True)).to_have_value("")
        assert owner.findings() == []
        assert all("503" in fault for fault in owner.faults), owner.faults
        owner.faults.clear()

        guest.open("/")
        at_provider(guest, "u-eve")
        guest.page.get_by_text("You have no account here").wait_for()
        assert guest.findings() == []
        guest.context.clear_cookies()  # the provider would know the browser again
        at_provider(guest, "u-ann")
        guest.heading("Fleet")
        guest.page.get_by_role("button", name="Navigation").click()
        expect(guest.page.locator(".who")).to_contain_text("operator")
        assert "code=" not in guest.page.url
        shows_anew(guest)

        with program() as port:
            for_a_program(guest, port)
        press(owner, "Remove provider…")
        owner.page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        owner.page.get_by_role("button", name="Add provider").wait_for()
        estate.plane.want(204, "DELETE", "organizations/acme/users/ann")
        guest.heading("Sign in")
        fill(guest, {"Organization": "acme"})
        press(guest, "Sign in with identity provider")
        guest.see("This organization has no identity provider.")
        faults = [*guest.faults, *owner.faults]
        refused = ("40", "no valid credentials")  # the live view may ask once more, too
        assert all(any(word in fault for word in refused) for fault in faults), faults
        guest.faults.clear()
        owner.faults.clear()
