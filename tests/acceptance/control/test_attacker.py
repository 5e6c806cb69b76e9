"""One attacker's pass over the whole API: nothing happens, and the attempt is on the trail.

What there is to attack comes from the served document (`attack`): a new operation or field is in
here by itself, or a test says what is missing. What a browser makes of the texts that get through
is in tests/browser/test_attacker.py.
"""

import csv
import io
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import pytest

from control.live.topics import TOPICS
from protocols.link.messages import MESSAGE_SPECS, Direction
from protocols.pki.messages import EnrolRequest, JoinRequest, RejoinRequest, RenewRequest
from tests.acceptance.control.attack import (
    BODIES,
    FREE,
    Planted,
    besieged,
    operations,
    things,
)
from tests.acceptance.control.browser import Browser
from tests.acceptance.control.feed import opened
from tests.acceptance.control.plane import PASSWORD, Plane
from tests.acceptance.declared import JSON, Operation

BASE = "organizations/acme"
FORMULA = ("=", "+", "-", "@", "\t", "\r")
TOLD_BY_AGENTS = {"EnrolRequest.token"}
"""Texts of agents that may be anything: a secret."""
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class Attack(NamedTuple):
    """What was tried in `acme`, which has one of everything, and what there is in `other`."""

    plane: Plane
    own: dict[str, str]
    foreign: dict[str, str]
    planted: list[Planted]


@pytest.fixture(scope="module")
def attack(plane: Plane) -> Iterator[Attack]:
    """Texts planted in every field, by the owner of `acme`."""
    foreign = things(plane, "other")
    with besieged(plane, "acme") as (own, planted):
        yield Attack(plane, own, foreign, planted)


# --- texts ----------------------------------------------------------------------------------------


def test_no_text_of_a_body_is_forgotten(plane: Plane) -> None:
    """A new operation has a right body here; else the others of its texts were not tried."""
    with_texts = {each.id for each in operations(plane) if each.mutates and each.texts}
    assert with_texts == set(BODIES)


def test_what_may_be_any_text_is_a_named_list(attack: Attack) -> None:
    """Whatever else is sent in is refused for its shape, and the refusal does not repeat it."""
    taken = {each.place for each in attack.planted if each.taken}
    refused = {each.place: each.answer.json["message"] for each in attack.planted if not each.taken}
    assert taken - FREE == set()
    assert FREE - taken == set(), {place: refused[place] for place in FREE - taken}
    for each in attack.planted:
        assert each.answer.status < 500, (each.place, each.answer.body)
        assert each.answer.headers["x-content-type-options"] == "nosniff"
        if not each.taken:
            assert each.text.encode() not in each.answer.body, each.place
            assert each.answer.headers["content-type"] == JSON


def test_what_an_agent_may_say_is_a_named_list() -> None:
    """All else is a word of a closed list or has a narrow shape, or is refused with its frame."""
    shapes = [
        kind.shape for kind in MESSAGE_SPECS.values() if Direction.TO_CONTROL in kind.directions
    ]
    free = {
        place
        for shape in (*shapes, EnrolRequest, JoinRequest, RejoinRequest, RenewRequest)
        for place in texts(msgspec.inspect.type_info(shape), shape.__name__)
    }
    assert free == TOLD_BY_AGENTS


def texts(kind: Any, place: str) -> Iterator[str]:
    """Where a type has texts without a shape."""
    if isinstance(kind, msgspec.inspect.StrType) and kind.pattern is None:
        yield place
    for each in getattr(kind, "fields", ()):
        yield from texts(each.type, f"{place}.{each.name}")
    inside = [getattr(kind, name, None) for name in ("item_type", "key_type", "value_type")]
    for each in [*inside, *getattr(kind, "types", ()), *getattr(kind, "item_types", ())]:
        if each is not None:
            yield from texts(each, place)


def test_what_was_planted_comes_back_as_data(attack: Attack) -> None:
    """Every answer that has one is JSON that no browser takes for a page, or a file to keep."""
    plane, seen = attack.plane, ""
    for operation in operations(plane):
        if operation.mutates or operation.public:
            continue
        answer = plane.ask("GET", operation.path("acme", attack.own) + asked(operation))
        assert answer.status in (200, 400, 404), (operation.id, answer.body)
        assert answer.headers["x-content-type-options"] == "nosniff", operation.id
        if b"onerror" not in answer.body:
            continue
        seen += answer.body.decode()
        kind = answer.headers["content-type"]
        assert kind == JSON or "attachment" in answer.headers["content-disposition"], operation.id
    hidden = (
        *("password", "client_secret", "code"),
        *("_validate", "replays_start", "organizations_create"),
    )
    stored = [each for each in attack.planted if each.taken]
    shown = [each for each in stored if not any(word in each.place for word in hidden)]
    missing = [each.place for each in shown if each.text not in seen]
    assert set(missing) <= {"channels_create name"}, missing  # changed since; the trail leaves none


def asked(operation: Operation) -> str:
    """What a question cannot do without."""
    return {
        "policies_diff": "?old=1&new=1",
        "metrics_samples": "?name=reads",
        "audit_newest": "?limit=500",
        "oidc_answer": f"?organization=acme&port=4711&challenge={'c' * 43}&answer=yes&proof=x",
    }.get(operation.id, "")


@pytest.mark.parametrize("form", ["csv", "html"])
def test_a_file_that_is_kept_runs_nowhere(attack: Attack, form: str) -> None:
    """No cell of a table begins as a formula; no text of a page is markup."""
    plane, found = attack.plane, 0
    settled(plane, attack.own["report"])
    for operation in operations(plane):
        kinds = () if operation.public else operation.answers
        if not any(kind.startswith(f"text/{form}") for kind in kinds):
            continue
        for of in operation.query.get("of") or [""]:
            told = f"?format={form}&of={of}" if of else f"?format={form}"
            answer = plane.ask("GET", operation.path("acme", attack.own) + told)
            assert answer.status == 200, (operation.id, told, answer.body)
            text, found = answer.body.decode(), found + 1
            assert form == "csv" or "<img" not in text, operation.id
            cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
            assert form != "csv" or not [c for c in cells if c.startswith(FORMULA)], operation.id
    assert found


def settled(plane: Plane, report: str) -> None:
    """Wait until it was made."""
    for _ in range(200):
        if plane.want(200, "GET", f"{BASE}/reports/{report}")["state"] == "ready":
            return
        time.sleep(0.1)
    raise AssertionError("no report within 20 s")


def test_what_a_question_holds_is_not_repeated_as_markup(attack: Attack) -> None:
    """In a path or a query: an answer in JSON, and a refusal without it."""
    plane, text = attack.plane, "%3Cimg%20src=x%20onerror=alert(1)%3E"
    for operation in operations(plane):
        names = operation.query if operation.method == "GET" else ()
        paths = [operation.path("acme", attack.own) + f"?{name}={text}" for name in names]
        if "{" in operation.template:
            paths.append(operation.path("acme", dict.fromkeys(attack.own, text)))
            paths.append(operation.path(text, attack.own))
        for path in paths:
            answer = plane.ask(operation.method, path)
            kind = answer.headers.get("content-type", JSON)  # a redirect has none
            assert answer.status < 500, (path, answer.body)
            assert kind == JSON or b"<img" not in answer.body, path
            assert answer.status < 400 or b"<img" not in answer.body, path


# --- another site's page --------------------------------------------------------------------------


def test_another_site_does_nothing_by_our_cookie(attack: Attack) -> None:
    """Every operation that changes something: 403, and each attempt is on the trail."""
    plane = attack.plane
    browser = Browser(plane)
    browser.login("acme", "owner")
    forged = {
        "Origin": "https://evil.example",
        "X-Session-Key": browser.session_key,
        "X-Freehold-Session": "cookie",
    }
    tried = set()
    for operation in operations(plane):
        if not operation.mutates or operation.id in WITHOUT_COOKIE:
            continue
        path = operation.path("acme", attack.own) + asked(operation)
        answer = browser.ask(operation.method, path, BODIES.get(operation.id), forged)
        code = answer.json.get("code") if answer.body else None
        assert (answer.status, code) == (403, "csrf"), (operation.id, answer.body)
        tried.add(operation.name)
    assert len(tried) > 55
    assert browser.ask("GET", "sessions/current").status == 200  # nothing ended it
    trail = plane.want(200, "GET", f"{BASE}/audit?code=csrf&limit=500")
    trail += plane.want(200, "GET", "organizations/platform/audit?code=csrf&limit=500")
    assert tried - {event["operation"] for event in trail} == set()


WITHOUT_COOKIE = {"invitations_look", "oidc_collect", "oidc_signed_out", "policies_validate"}
"""They change nothing, or bring what no page of another site can know."""


def test_another_port_does_nothing_by_our_cookie(attack: Attack) -> None:
    """A browser sends the cookie to each port of a host, and who listens there says what it likes.

    Every operation, reading too: 401 for the cookie alone and with another session's key. And no
    answer to it, of the public ones neither, has the session key.
    """
    plane = attack.plane
    browser, other = Browser(plane), Browser(plane)
    browser.login("acme", "owner")
    other.login("acme", "owner")
    says = {**browser.own, "X-Freehold-Session": "cookie"}
    tried = set()
    for operation in operations(plane):
        path = operation.path("acme", attack.own) + asked(operation)
        body = BODIES.get(operation.id)
        thief = Browser(plane, dict(browser.jar))
        alone = thief.ask(operation.method, path, body, says)
        assert browser.session_key.encode() not in alone.body, operation.id
        assert browser.session_key not in str(alone.headers), operation.id
        if operation.public:
            continue
        assert (alone.status, alone.json["code"]) == (401, "session_key"), operation.id
        for key in (other.session_key, "x"):
            answer = thief.ask(operation.method, path, body, says | {"X-Session-Key": key})
            assert (answer.status, answer.json["code"]) == (401, "unauthenticated"), operation.id
        tried.add(operation.name)
    assert len(tried) > 100
    assert browser.ask("GET", "sessions/current").status == 200  # nothing ended it
    events = plane.want(200, "GET", "organizations/platform/audit?code=session_key&limit=500")
    assert len(events) == 10  # of one client; the others are counted
    assert {event["operation"] for event in events} <= tried
    assert {event["actor"] for event in events} == {""}


@pytest.mark.parametrize(
    ("host", "status", "code"),
    [
        ("evil.example", 421, "host_not_local"),
        ("evil.example:8300", 421, "host_not_local"),
        ("a b", 400, "bad_host"),
        ("x@evil.example", 400, "bad_host"),
    ],
)
def test_a_host_that_is_not_ours_gets_nothing_more(
    plane: Plane, host: str, status: int, code: str
) -> None:
    """A page that names us otherwise than the browser does is not one of ours (DNS rebinding)."""
    browser = Browser(plane)
    browser.login("acme", "owner")
    told = {"Host": host, "Origin": plane.address, "X-Session-Key": browser.session_key}
    answer = browser.ask("POST", f"{BASE}/agents", {"vault": "rebound"}, told)
    assert (answer.status, answer.json["code"]) == (status, code), answer.body
    assert plane.ask("GET", f"{BASE}/agents/rebound").status == 404


def test_a_feed_is_for_pages_of_our_own(plane: Plane) -> None:
    """Refused before the upgrade without a session and from elsewhere; each is on the trail."""
    browser = Browser(plane)
    browser.login("acme", "owner")
    stranger = Browser(plane)
    stranger.session_key = browser.session_key
    thief, mixed = Browser(plane, dict(browser.jar)), Browser(plane, dict(browser.jar))
    other = Browser(plane)
    other.login("acme", "owner")
    mixed.session_key = other.session_key
    for who, origin, code in (
        (stranger, plane.address, "unauthenticated"),
        (thief, plane.address, "session_key"),
        (mixed, plane.address, "unauthenticated"),
        (browser, "https://evil.example", "origin"),
        (browser, "null", "origin"),
        (browser, "", "origin"),
    ):
        headers = UPGRADE | ({"Origin": origin} if origin else {})
        if who.session_key:
            offered = f"freehold.live, freehold.session-key.{who.session_key}"
            headers |= {"Sec-WebSocket-Protocol": offered}
        answer = who.ask("GET", "live", headers=headers)
        assert answer.json["code"] == code, (origin, answer.body)
        assert answer.status == (403 if code == "origin" else 401)
    refused = [
        event["code"]
        for org in ("acme", "platform")
        for event in plane.want(200, "GET", f"organizations/{org}/audit?operation=live.open")
        if event["result"] == "denied"
    ]
    assert sorted(refused) == [*["origin"] * 3, "session_key", *["unauthenticated"] * 2]


# --- another organization -------------------------------------------------------------------------


def test_a_foreign_organization_is_not_found(attack: Attack) -> None:
    """For its owner as for anybody, with a body or without, whatever is there: 404, one text."""
    plane = attack.plane
    found = [each for each in operations(plane) if "{org}" in each.template]
    assert len(found) > 35
    owner = plane.people["acme", "owner"]
    for each in found:
        real = plane.ask(each.method, each.path("other", attack.foreign), token=owner)
        made_up = plane.ask(each.method, each.path("nowhere", attack.foreign), token=owner)
        assert (real.status, made_up.status) == (404, 404), (each.id, real.body)
        assert real.json["message"] == made_up.json["message"], each.id
    events = plane.want(200, "GET", f"{BASE}/audit?limit=500", token=owner)
    tried = {e["operation"] for e in events if e["target"].partition("/")[0] == "other"}
    assert tried == {each.name for each in found}
    theirs = plane.want(200, "GET", "organizations/other/audit?limit=500")
    assert not [e for e in theirs if e["actor"] == "acme/owner"]  # no stranger writes there


def test_a_foreign_id_in_the_own_organization_is_not_found(attack: Attack) -> None:
    """The right organization, somebody else's thing in it."""
    plane = attack.plane
    nobody = {"user": "nobody", "vault": "nobodys", "policy": "nobodys"}
    bodies = {
        **BODIES,
        "members_change_guest": {"role": "viewer"},
        "rollouts_start": {"version": 1},
        "agents_command": {"command": "send_metrics"},
        "agents_accept_log": {"reason": "x"},
        "channels_change": {"name": "x", "type": "slack"},
    }
    makes = {"policies_write", "policies_validate", "replays_start"}  # a policy begins as a draft
    for each in operations(plane):
        if each.template.count("{") < 2 or each.id in makes or "{org}" not in each.template:
            continue
        path = each.path("acme", attack.foreign | nobody) + asked(each)
        body = bodies.get(each.id)
        answer = plane.ask(each.method, path, body, token=plane.people["acme", "owner"])
        assert answer.status == 404, (each.id, path, answer.status, answer.body)


async def test_a_feed_has_nothing_of_others(plane: Plane) -> None:
    """Every topic of an organization that is not one's own, or not there: not found."""
    browser = Browser(plane)
    browser.login("acme", "owner")
    async with opened(browser) as feed:
        for number, (topic, kind) in enumerate(TOPICS.items()):
            for org in ("other", "nowhere"):
                await feed.watch(number, topic, org, "theirs" if kind.of else "")
                told = await feed.take()
                assert told["error"]["code"] == "not_found", (topic, org)
        await feed.watch(99, "agent", "acme", "nobodys")
        assert (await feed.take())["error"]["code"] == "not_found"


def test_nothing_was_changed_by_trying(attack: Attack) -> None:
    """What belongs to the other organization is as it was."""
    plane, theirs = attack.plane, attack.plane.people["other", "viewer"]
    agent = plane.want(200, "GET", "organizations/other/agents/theirs", token=theirs)
    assert agent["life"] == "pending"
    assert plane.want(200, "GET", "organizations/other/users/viewer", token=theirs)
    versions = plane.want(200, "GET", "organizations/other/policies/theirs/versions", token=theirs)
    assert len(versions) == 1


# --- nobody ---------------------------------------------------------------------------------------


def test_what_is_open_to_everybody_is_a_named_list(plane: Plane) -> None:
    """Without a credential all else is 401, malformed or not."""
    for each in operations(plane):
        if each.public:
            continue
        path = each.template.replace("{", "").replace("}", "")
        answer = plane.ask(each.method, path, {"x": [1]}, token="")
        assert answer.status == 401, (each.id, answer.status)
    assert {each.id for each in operations(plane) if each.public} == {
        "api_openapi",
        "invitations_accept",
        "invitations_look",
        "oidc_answer",
        "oidc_begin",
        "oidc_begin_for",
        "oidc_callback",
        "oidc_collect",
        "oidc_signed_out",
        "second-factors_answer",
        "second-factors_enrol",
        "second-factors_enrolled",
        "sessions_login",
    }


def test_what_a_browser_calls_itself(plane: Plane) -> None:
    """Is shown to whoever lists the sessions: bounded, one line, plain."""
    browser = Browser(plane)
    browser.login("acme", "owner")
    told = {**browser.own, "X-Freehold-Session": "cookie", "User-Agent": "x\t<b>" + "y" * 900}
    body = {"organization": "acme", "name": "owner", "password": PASSWORD}
    browser.session_key = browser.ask("POST", "sessions", body, told).json["session_key"]
    [row] = [row for row in browser.ask("GET", "sessions").json if row["current"]]
    assert row["user_agent"].startswith("x?<b>y")
    assert len(row["user_agent"]) == 256
