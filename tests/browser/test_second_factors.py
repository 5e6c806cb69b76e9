"""Second factors on the agent's own pages: an authenticator app, and Chromium's own passkeys."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.agent import Agent, own_folder, running, served_agent
from tests.acceptance.compat.servers import free_address
from tests.browser.visit import PATIENCE, Visit, hold_session_key, visiting
from tests.support.totp import App

expect.set_options(timeout=PATIENCE)
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


class Site(NamedTuple):
    """An agent that browsers reach as `localhost`, for which its passkeys are."""

    agent: Agent
    address: str


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """With web interface and a mount of people."""
    listen = free_address()
    address = f"http://localhost:{listen.rpartition(':')[2]}"
    config = {
        "server": {"listen": listen, "workers": 1, "web": True, "tls": {"enabled": False}},
        "authentication": {"mfa": {"public_url": address}},
    }
    with own_folder() as folder, running(served_agent(folder, config)) as agent:
        keys = agent.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1}).json
        agent.token = keys["root_token"]
        assert agent.call("PUT", "/v1/sys/unseal", {"key": keys["keys_base64"][0]}).status == 200
        ok(agent, "POST", "/v1/sys/auth/people", {
            "type": "userpass", "config": {"listing_visibility": "unauth"}
        })  # fmt: skip
        yield Site(agent, address)


def ok(agent: Agent, method: str, path: str, body: object = None, **more: Any) -> Any:
    """A call that succeeds; what it is answered."""
    answer = agent.call(method, path, body, **more)
    assert answer.status < 300, (path, answer.body)
    return answer.json


def token_of(site: Site, name: str) -> str:
    """Of a new person, by a login."""
    fields = {"password": "right one"}
    ok(site.agent, "POST", f"/v1/auth/people/users/{name}", fields)
    login = ok(site.agent, "POST", f"/v1/auth/people/login/{name}", fields, token="")
    return str(login["auth"]["client_token"])


@contextmanager
def window_of(chromium: Browser, site: Site, token: str = "") -> Iterator[Visit]:
    """A window at the public address, with a passkey in the machine; signed in with a token."""
    with visiting(chromium, site.agent, role=None) as visit:
        visit.address = site.address
        if token:
            headers = {"Authorization": f"Bearer {token}"}
            answer = visit.context.request.post(f"{site.address}/api/v1/sessions", headers=headers)
            assert answer.ok, answer.text()
            hold_session_key(visit.context, site.address, answer.json()["session_key"])
        protocol = visit.context.new_cdp_session(visit.page)
        protocol.send("WebAuthn.enable")
        protocol.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
        yield visit


def press(window: Visit, name: str) -> None:
    """The button of this name."""
    window.page.get_by_role("button", name=name, exact=True).click()


def in_dialog(window: Visit, title: str, button: str, **fields: str) -> None:
    """Fill the dialog of this title, and press one of its buttons."""
    dialog = window.page.get_by_role("dialog", name=title, exact=True)
    for label, text in fields.items():
        dialog.get_by_label(label.replace("_", " ")).first.fill(text)
    dialog.get_by_role("button", name=button, exact=True).click()
    expect(dialog).to_have_count(0)


def test_an_app_is_added_on_the_page_and_asked_for_at_sign_in(
    chromium: Browser, site: Site
) -> None:
    """Its secret and the recovery codes are shown once; a wrong code is told."""
    token = token_of(site, "ann")
    with window_of(chromium, site, token) as window:
        window.open("/second-factors")
        window.heading("Second factors")
        window.see("No second factors yet")
        assert not window.findings()
        press(window, "Add authenticator app…")
        in_dialog(window, "Add authenticator app", "Continue", Name="phone")
        dialog = window.page.get_by_role("dialog", name="Confirm authenticator app")
        expect(dialog.get_by_alt_text("QR code")).to_be_visible()
        secret = dialog.get_by_role("region", name="Secret").locator("pre").inner_text()
        app = App(f"otpauth://totp/x?secret={secret}&digits=6&period=30&algorithm=SHA1")
        in_dialog(window, "Confirm authenticator app", "Confirm", First_code_of_the_app=app.code())
        codes = (
            window.page.get_by_role("region", name="Recovery codes")
            .locator("pre").inner_text().split()
        )  # fmt: skip
        assert len(codes) == 10
        in_dialog(window, "Recovery codes", "I have kept them")
        window.see("phone")
        press(window, "Confirm your identity…")
        in_dialog(window, "Confirm your identity", "Confirm", Code=codes[0])
        window.see("9 recovery codes left")
        press(window, "Replace…")
        in_dialog(window, "Replace recovery codes", "Replace", Code=codes[1])
        shown = window.page.get_by_role("region", name="Recovery codes").locator("pre")
        assert len({*shown.inner_text().split()} - {*codes}) == 10
        in_dialog(window, "Recovery codes", "I have kept them")
        window.see("10 recovery codes left")
    entity = ok(site.agent, "GET", "/v1/auth/token/lookup-self", token=token)["data"]["entity_id"]
    ok(site.agent, "PUT", "/api/v1/mfa/enforcements/ann", {"entities": [entity]})
    with window_of(chromium, site) as window:
        window.open("/second-factors")
        fill(window, "ann")
        press(window, "Sign in")
        window.heading("Second factor")
        assert not window.findings()
        window.page.get_by_label("Code", exact=True).fill(app.wrong_code())
        press(window, "Continue")
        window.see("Invalid code, or the sign-in took too long.")
        window.page.get_by_label("Code", exact=True).fill(app.next_code())
        press(window, "Continue")
        window.heading("Second factors")
        window.see("phone")
        window.faults[:] = [fault for fault in window.faults if "401" not in fault]


def fill(window: Visit, name: str) -> None:
    """The form of name and password."""
    for label, text in (("Name", name), ("Password", "right one")):
        window.page.get_by_label(label, exact=True).fill(text)


def test_a_passkey_is_registered_and_used(chromium: Browser, site: Site) -> None:
    """To sign in, to confirm one's identity, and to be removed again."""
    token = token_of(site, "bob")
    with window_of(chromium, site, token) as window:
        window.open("/second-factors")
        press(window, "Register passkey…")
        in_dialog(window, "Register passkey", "Register", Name="blue key")
        in_dialog(window, "Recovery codes", "I have kept them")
        window.see("blue key")
        entity = ok(site.agent, "GET", "/v1/auth/token/lookup-self", token=token)["data"]
        rule = {"entities": [entity["entity_id"]], "methods": ["webauthn"]}
        ok(site.agent, "PUT", "/api/v1/mfa/enforcements/bob", rule)
        press(window, "Sign out")
        window.heading("Sign in")
        fill(window, "bob")
        press(window, "Sign in")
        press(window, "Use a passkey")
        window.heading("Second factors")
        session = window.page.evaluate(
            "headers => fetch('/api/v1/auth/whoami', {headers}).then(r => r.json())",
            {"X-Session-Key": window.session_key},
        )
        assert session["mfa_at"]
        press(window, "Confirm your identity…")
        in_dialog(window, "Confirm your identity", "Use a passkey")
        press(window, "Remove blue key")
        in_dialog(window, "Remove blue key", "Remove")
        window.see("No second factors yet")
