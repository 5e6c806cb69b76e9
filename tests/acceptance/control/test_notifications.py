"""Alerts reach people from the real process, also through its death; channels by the REST API."""

import json
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import trio

from actors import SystemWorld
from control.model.records import Severity
from control.services.alerts import Alerts
from control.services.event_bus import EventBus
from control.store.store import open_store
from tests.acceptance.agent import AgentError, running
from tests.acceptance.control.plane import Plane, dev_plane
from tests.acceptance.workers.waiting import await_true
from tests.unit.control.notify.receiving import Receiver, is_genuine, receiver

BASE = "organizations/acme"
QUIET = {"begins": "22:00", "ends": "07:00", "zone": "Europe/Berlin"}


@pytest.fixture
def hook() -> Iterator[Receiver]:
    """A real receiver."""
    with receiver() as made:
        yield made


def alert(plane: Plane, message: str) -> None:
    """Raise one in the database of a process that is not running."""

    async def raised() -> None:
        world = SystemWorld()
        async with open_store(f"sqlite:///{plane.data}/control.db", world) as store:
            alerts = Alerts(store, EventBus(), world)
            await alerts.fire_alerts(
                alerts.new_alert("acme", "", "test_alert", Severity.CRITICAL, message)
            )

    trio.run(raised)


def codes(plane: Plane, query: str = "") -> set[str]:
    """Of the alerts."""
    return {row["code"] for row in plane.want(200, "GET", f"{BASE}/alerts{query}")}


def body(hook: Receiver, **more: Any) -> dict[str, Any]:
    """A channel to it."""
    return {"name": "on call", "type": "webhook", "url": hook.url(), **more}


def test_who_is_killed_before_noting_it_sends_it_again(folder: Path, hook: Receiver) -> None:
    """SIGKILL while the receiver answers: the next life sends the same bytes with the same id."""
    plane = dev_plane(folder)
    with running(plane):
        plane.sign_in()
        plane.organization("acme")
        made = plane.want(201, "POST", f"{BASE}/channels", body(hook))
        plane.kill()
        alert(plane, "something is wrong")

        def killing(handler: BaseHTTPRequestHandler) -> None:
            plane.strike()
            handler.close_connection = True

        hook.answers = [killing]
        with suppress(AgentError):  # it may be killed before it says that it is ready
            plane.start()
        await_true(lambda: len(hook.requests) == 1)
        plane.kill()
        plane.start()
        await_true(lambda: len(hook.requests) == 2)
        one, two = hook.requests
        assert one[1]["webhook-id"] == two[1]["webhook-id"]
        assert one[2] == two[2]
        assert all(is_genuine(made["key"], headers, sent) for _, headers, sent in hook.requests)
        assert json.loads(two[2])["data"]["notices"][0]["message"] == "something is wrong"
        sent = f"{BASE}/deliveries?state=sent"
        await_true(lambda: bool(plane.want(200, "GET", sent)))
        (row,) = plane.want(200, "GET", sent)
        assert row["id"] == two[1]["webhook-id"]


def test_a_channels_life(plane: Plane, hook: Receiver) -> None:
    """Made, seen without its secrets, tried, changed, given another key, removed; all on record."""
    owner = plane.people["acme", "owner"]
    made = plane.want(201, "POST", f"{BASE}/channels", body(hook), token=owner)
    path = f"{BASE}/channels/{made['channel']['id']}"
    assert made["channel"]["host"] == f"127.0.0.1:{hook.port}"
    assert made["key"].startswith("whsec_")
    seen = plane.want(200, "GET", path, token=plane.people["acme", "operator"])
    assert "/hook" not in json.dumps(seen)
    assert "whsec_" not in json.dumps(seen)
    assert plane.want(200, "POST", f"{path}/test", token=owner) == {"sent": True, "reason": ""}
    changed = body(hook, name="nights", digest=3600, quiet=QUIET)
    del changed["url"]
    assert plane.want(200, "PUT", path, changed, token=owner)["channel"]["quiet"] == QUIET
    plane.want(409, "POST", f"{BASE}/channels", body(hook, name="nights"), token=owner)
    assert plane.want(200, "POST", f"{path}/key", token=owner)["key"] != made["key"]
    assert plane.want(200, "POST", f"{path}/replay", token=owner) == {"replayed": 0}
    plane.want(204, "DELETE", path, token=owner)
    plane.want(404, "GET", path, token=owner)
    events = plane.want(200, "GET", f"{BASE}/audit?operation=channels.&limit=500", token=owner)
    assert {"channels.create", "channels.test", "channels.change", "channels.remove"} <= {
        event["operation"] for event in events
    }
    assert "/hook" not in json.dumps(events)


def test_who_may_what(plane: Plane, hook: Receiver) -> None:
    """An operator looks and replays, an admin makes and tries; a viewer sees nothing of it."""
    viewer, operator = (plane.people["acme", role] for role in ("viewer", "operator"))
    plane.want(403, "GET", f"{BASE}/channels", token=viewer)
    plane.want(403, "GET", f"{BASE}/deliveries", token=viewer)
    plane.want(200, "GET", f"{BASE}/deliveries", token=operator)
    plane.want(403, "POST", f"{BASE}/channels", body(hook), token=operator)
    admin = plane.people["acme", "admin"]
    made = plane.want(201, "POST", f"{BASE}/channels", body(hook, name="roles"), token=admin)
    path = f"{BASE}/channels/{made['channel']['id']}"
    plane.want(403, "POST", f"{path}/test", token=operator)
    plane.want(200, "POST", f"{path}/replay", token=operator)
    plane.want(204, "DELETE", path, token=admin)
    assert not hook.requests


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"url": "ftp://a.example/"}, "url"),
        ({"quiet": {**QUIET, "zone": "Mars/Phobos"}}, "quiet"),
        ({"quiet": {**QUIET, "begins": "25:00"}}, "quiet.begins"),
        ({"per_hour": 0}, "per_hour"),
        ({"type": "pigeon"}, "type"),
        ({"name": "a\nb"}, "name"),
    ],
)
def test_what_is_malformed_names_its_field(
    plane: Plane, hook: Receiver, more: dict[str, Any], field: str
) -> None:
    """As everywhere in the API."""
    token = plane.people["acme", "admin"]
    answer = plane.want(400, "POST", f"{BASE}/channels", {**body(hook), **more}, token=token)
    assert answer["details"]["field"] == field


def test_a_channel_of_somebody_who_was_removed_sends_nothing(folder: Path, hook: Receiver) -> None:
    """Until another admin takes it over; what waited for it then comes, as from before."""
    plane = dev_plane(folder)
    with running(plane):
        plane.sign_in()
        plane.organization("acme", "admin", "operator")
        admin, owner = plane.people["acme", "admin"], plane.people["acme", "owner"]
        digest = body(hook, digest=1)
        made = plane.want(201, "POST", f"{BASE}/channels", digest, token=admin)["channel"]
        one = f"{BASE}/channels/{made['id']}"
        assert (made["owner"], made["suspended"]) == ("acme/admin", "")
        plane.kill()
        alert(plane, "something is wrong")
        plane.start()
        plane.want(204, "DELETE", f"{BASE}/users/admin", token=owner)
        assert plane.want(200, "GET", one)["suspended"] == "made by acme/admin, who was removed"
        fired = {"owner_gone", "critical_undelivered"}
        await_true(lambda: fired <= codes(plane))
        assert plane.ask("POST", f"{one}/test").json["code"] == "channel_suspended"
        operator = plane.people["acme", "operator"]
        plane.want(403, "POST", f"{one}/adopt", token=operator)
        sent = len(hook.requests)
        adopted = plane.want(200, "POST", f"{one}/adopt", token=owner)
        assert (adopted["owner"], adopted["suspended"]) == ("acme/owner", "")
        await_true(lambda: len(hook.requests) > sent)
        await_true(lambda: codes(plane, "?state=firing").isdisjoint(fired))
        trail = plane.want(200, "GET", f"{BASE}/audit?operation=channels.")
        done = {row["operation"] for row in trail}
        assert {"channels.create", "channels.suspend", "channels.adopt"} <= done
