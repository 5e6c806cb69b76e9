"""A real provider signs somebody out, and tells us (OpenID Connect Back-Channel Logout 1.0)."""

import re
from collections.abc import Iterator
from contextlib import suppress
from html import unescape
from urllib.parse import urlsplit

import httpx2
import pytest
import trio
import trio_websocket as ws

from control.authn.sessions import RECHECK_INTERVAL
from protocols.instant import SECOND
from tests.acceptance.control.browser import Browser
from tests.acceptance.control.feed import opened
from tests.acceptance.control.plane import Plane
from tests.acceptance.control.test_oidc import ACCOUNTS, CLIENT, ONE, SECRET, settings
from tests.acceptance.link.estate import until
from tests.oidc.provider import provider

LOGOUT_ROUTE = "oidc/logout/acme"


@pytest.fixture(scope="module")
def issuer(plane: Plane) -> Iterator[str]:
    """A provider that acme has taken, and that knows where to tell of it."""
    redirect = f"{plane.address}/api/v1/oidc/callback"
    told = f"{plane.address}/api/v1/{LOGOUT_ROUTE}"
    with provider(CLIENT, SECRET, redirect, ACCOUNTS, told) as running_at:
        taken = plane.want(200, "PUT", ONE, settings(running_at))
        assert taken["logout_uri"] == told
        yield running_at


def signed_in(plane: Plane, http: httpx2.Client, account: str) -> Browser:
    """A browser with a session; `http` is the same one at the provider."""
    browser = Browser(plane)
    begun = browser.ask("POST", "oidc/begin", {"organization": "acme"})
    at = f"{begun.json['url']}&login_hint={account}"
    while not at.startswith(plane.address):
        reply = http.get(at)
        at = str(reply.url.join(reply.headers["location"]))
    parts = urlsplit(at)
    back = browser.ask("GET", f"{parts.path}?{parts.query}", headers={})
    assert back.status == 303
    code = back.headers["location"].partition("#signin=")[2]
    assert browser.collect(code, begun.json["verifier"]).status == 200
    assert is_in(browser)
    return browser


def is_in(browser: Browser) -> bool:
    """Whether its session counts."""
    return browser.ask("GET", "sessions/current").status == 200


def leaves(http: httpx2.Client, issuer: str) -> None:
    """Sign out at the provider, as its page has it."""
    shown = http.get(f"{issuer}/session/end", params={"client_id": CLIENT})
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', shown.text))
    [action] = re.findall(r'action="([^"]+)"', shown.text)
    form = {name: unescape(value) for name, value in fields.items()} | {"logout": "yes"}
    http.post(str(shown.url.join(unescape(action))), data=form)


def test_who_is_signed_out_there_is_signed_out_here(plane: Plane, issuer: str) -> None:
    """Of that browser alone: another of the same person at the provider, and others, stay."""
    with httpx2.Client() as one, httpx2.Client() as other, httpx2.Client() as third:
        here = signed_in(plane, one, "u-ann")
        there = signed_in(plane, other, "u-ann")
        somebody = signed_in(plane, third, "u-ann2")
        leaves(one, issuer)
        until(lambda: not is_in(here), "the session's end")
        assert is_in(there)
        assert is_in(somebody)
    events = plane.want(200, "GET", "organizations/acme/audit?operation=oidc.signed_out")
    assert [(e["actor"], e["result"]) for e in events] == [("acme/ann", "ok")]
    assert "eyJ" not in str(events)


async def test_a_live_page_is_cut_at_once(plane: Plane, issuer: str) -> None:
    """Not only at the next look, which comes within 15 seconds."""
    with httpx2.Client() as http:
        browser = signed_in(plane, http, "u-ann")
        async with opened(browser) as feed:
            await feed.watch(1, "fleet", "acme")
            await feed.take()
            await trio.to_thread.run_sync(leaves, http, issuer)
            with trio.fail_after(RECHECK_INTERVAL / SECOND - 5), suppress(ws.ConnectionClosed):
                while True:
                    await feed.socket.get_message()
            assert feed.socket.closed


@pytest.mark.parametrize("token", ["", "x", "eyJhbGciOiJub25lIn0.e30.", "a.b.c"])
def test_what_is_no_logout_token(plane: Plane, issuer: str, token: str) -> None:
    """Is refused as the standard says, whoever sends it."""
    place, form = f"{plane.address}/api/v1/{LOGOUT_ROUTE}", {"logout_token": token}
    typed = {"Content-Type": "application/x-www-form-urlencoded"}
    with httpx2.Client() as http:
        reply = http.post(place, data=form)
        assert (reply.status_code, reply.headers["cache-control"]) == (400, "no-store")
        assert reply.json()["code"] == "logout_token_invalid"
        elsewhere = http.post(place.replace("acme", "nowhere"), data=form)
        assert elsewhere.status_code == 404
        assert http.post(place, json=form).status_code == 415
        twice = http.post(place, content=b"logout_token=a&logout_token=b", headers=typed)
        assert twice.status_code == 400


def test_those_that_are_refused_fill_no_disk(plane: Plane, issuer: str) -> None:
    """Ten are on the platform's trail, at a pace."""
    with httpx2.Client() as http:
        for _ in range(20):
            http.post(f"{plane.address}/api/v1/{LOGOUT_ROUTE}", data={"logout_token": "x"})
    events = plane.want(
        200, "GET", "organizations/platform/audit?operation=oidc.signed_out&limit=99"
    )
    assert 1 <= len(events) <= 11
