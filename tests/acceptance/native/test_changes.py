"""`GET /api/v1/changes`: which secrets changed, told to those who may see them, without a gap."""

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from tests.acceptance.agent import Agent, Answer, Client
from tests.acceptance.native.test_story import API, ok
from tests.support.databases import ON_EVERY_DATABASE

pytestmark = ON_EVERY_DATABASE

WITHIN: Final = 30.0
"""Seconds for a change to arrive: it takes some tenths of one, on an idle machine."""
LONG: Final = "120s"
STREAM: Final = {"Accept": "text/event-stream"}


def read(client: Client | Agent, since: str = "", **query: str) -> dict[str, Any]:
    """One answer."""
    told = "&".join(f"{key}={value}" for key, value in {"since": since, **query}.items() if value)
    body: dict[str, Any] = ok(client, "GET", f"changes?{told}" if told else "changes")
    return body


def follow(client: Client | Agent, since: str, **query: str) -> tuple[list[dict[str, Any]], str]:
    """All that there is since, without waiting, and the cursor behind it."""
    found = []
    while True:
        body = read(client, since, **query)
        found += body["changes"]
        since = body["cursor"]
        if not body["has_more"]:
            return found, since


def reader_token(agent: Agent, name: str, *paths: str, capability: str = "read") -> str:
    """A token that may read these alone."""
    rule = {"effect": "allow", "paths": [*paths], "capabilities": [capability]}
    ok(agent, "PUT", f"policies/{name}", {"rules": [rule]})
    token: str = ok(agent, "POST", "tokens", {"policies": [name]})["token"]
    return token


def write(agent: Agent, name: str, value: object = 1) -> None:
    """The next version, or the first."""
    if agent.call("PUT", f"{API}/secrets/{name}", {"value": value}).status == 404:
        ok(agent, "POST", "secrets", {"name": name, "value": value})


class Waiting:
    """A request on its way, in a thread."""

    def __init__(self, call: Callable[[], Answer]) -> None:
        self._call = call
        self.answer: Answer | None = None
        self.seconds = 0.0
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self.answer = self._call()
        self.seconds = time.monotonic() - self._began

    def done(self, within: float = 60.0) -> Answer:
        """What came back."""
        self._thread.join(within)
        assert self.answer is not None, "it still waits"
        return self.answer

    @property
    def is_waiting(self) -> bool:
        """Whether there is no answer yet."""
        return self._thread.is_alive()


@contextmanager
def waiting(agent: Agent, since: str, token: str = "", **query: str) -> Iterator[Waiting]:
    """A long poll that has reached the agent."""
    with agent.client(token or agent.token) as client:
        told = "&".join(f"{key}={value}" for key, value in {"wait": LONG, **query}.items())
        before = begun(agent)
        poll = Waiting(lambda: client.call("GET", f"{API}/changes?since={since}&{told}"))
        until = time.monotonic() + WITHIN
        while begun(agent) == before:  # the record of its first look
            assert time.monotonic() < until, poll.answer
        yield poll


def begun(agent: Agent) -> int:
    """The number of the newest record of a look at changes."""
    found = ok(agent, "GET", "audit/events?operation=secret.changes&limit=1")["events"]
    return found[0]["seq"] if found else 0


class Events:
    """A stream of events, as a browser's EventSource reads it."""

    def __init__(self, agent: Agent, token: str = "", since: str = "", prefix: str = "") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", agent.port, timeout=WITHIN)
        headers = {**STREAM, "Authorization": f"Bearer {token or agent.token}"}
        if since:
            headers["Last-Event-ID"] = since
        self._connection.request("GET", f"{API}/changes?prefix={prefix}", headers=headers)
        self._reply = self._connection.getresponse()
        assert self._reply.status == 200, self._reply.read()
        assert self._reply.getheader("content-type") == "text/event-stream"
        self.last_id = since

    def next(self) -> tuple[str, Any]:
        """Name and data of the next event that has a name; an empty name at the end."""
        while (found := self.next_frame()) == ("", None):
            if self._reply.isclosed():
                break
        return found

    def next_frame(self) -> tuple[str, Any]:
        """The same of any event."""
        name, data = "", None
        while line := self._reply.readline():
            field, _, value = line.decode().rstrip("\n").partition(": ")
            if field == "id":
                self.last_id = value
            elif field == "event":
                name = value
            elif field == "data":
                data = json.loads(value)
            elif not field:
                return name, data
        return "", None

    def close(self) -> None:
        """Leave."""
        self._connection.close()


def test_what_changed_since(shared_agent: Agent) -> None:
    """Each secret once, as it is now."""
    _, now = follow(shared_agent, "")
    write(shared_agent, "secret/since/a")
    write(shared_agent, "secret/since/a")
    write(shared_agent, "secret/since/b")
    write(shared_agent, "secret/since/c")
    ok(shared_agent, "DELETE", "secrets/secret/since/b")
    ok(shared_agent, "DELETE", "metadata/secret/since/c")
    found, later = follow(shared_agent, now)
    assert [(c["path"], c["version"], c["status"]) for c in found] == [
        ("secret/since/a", 2, "active"),
        ("secret/since/b", 1, "deleted"),
        ("secret/since/c", 0, "removed"),
    ]
    assert follow(shared_agent, later)[0] == []
    assert follow(shared_agent, now)[0] == found  # it can be asked for again


def test_only_what_the_caller_may_see(shared_agent: Agent) -> None:
    """By path; without the right to the metadata, the name alone; of others nothing at all."""
    may_read = reader_token(shared_agent, "sees", "secret/mine/*")
    may_list = reader_token(shared_agent, "lists", "secret/mine/*", capability="list")
    with shared_agent.client(may_read) as reader, shared_agent.client(may_list) as lister:
        since = read(reader)["cursor"]
        for name in ("secret/mine/a", "secret/other/a", "secret/other/b"):
            write(shared_agent, name)
        ok(shared_agent, "DELETE", "metadata/secret/other/b")
        (seen,), cursor = follow(reader, since)
        assert (seen["path"], seen["version"]) == ("secret/mine/a", 1)
        (listed,), _ = follow(lister, since)
        assert listed == {
            "path": "secret/mine/a", "version": None, "status": None, "updated_at": None,
        }  # fmt: skip
        assert len(cursor) == len(since)


def test_prefixes(shared_agent: Agent) -> None:
    """Folders and single secrets; a name that merely begins alike is neither."""
    since = read(shared_agent)["cursor"]
    for name in ("secret/p/a", "secret/p/ab", "secret/q/x", "secret/q/deep/y", "secret/pq"):
        write(shared_agent, name)
    found, _ = follow(shared_agent, since, prefix="secret/p/a,secret/q/")
    assert [c["path"] for c in found] == ["secret/p/a", "secret/q/x", "secret/q/deep/y"]
    many = ",".join(f"secret/{i}/" for i in range(101))
    for faulty in ("secret//a", many):
        answer = shared_agent.call("GET", f"{API}/changes?prefix={faulty}")
        assert answer.status == 400, answer.body


@pytest.mark.parametrize("query", ["wait=301s", "wait=soon", "since=00", "since=zz", "limit=1"])
def test_what_is_refused(shared_agent: Agent, query: str) -> None:
    """400, and which field is at fault."""
    answer = shared_agent.call("GET", f"{API}/changes?{query}")
    assert (answer.status, answer.json["type"]) == (400, "validation")


def test_the_cursor_of_a_list_is_none(shared_agent: Agent) -> None:
    """Although both are sealed by the same key."""
    for number in range(3):
        write(shared_agent, f"secret/paged/{number}")
    cursor = ok(shared_agent, "GET", "secrets?prefix=secret/paged/&limit=1")["cursor"]
    answer = shared_agent.call("GET", f"{API}/changes?since={cursor}")
    assert (answer.status, answer.json["code"]) == (400, "cursor_invalid")


def test_a_long_poll_waits_for_a_change(shared_agent: Agent) -> None:
    """Not for one elsewhere, and not for one that it may not see; at the end there is a cursor."""
    token = reader_token(shared_agent, "polls", "secret/polled/*")
    since = read(shared_agent)["cursor"]
    with waiting(shared_agent, since, token) as poll:
        write(shared_agent, "secret/elsewhere/a")
        wrote = time.monotonic()
        write(shared_agent, "secret/polled/a")
        answer = poll.done()
        assert time.monotonic() - wrote < WITHIN
    assert [c["path"] for c in answer.json["changes"]] == ["secret/polled/a"]
    body = read(shared_agent, answer.json["cursor"], wait="200ms")
    assert body["changes"] == []
    write(shared_agent, "secret/polled/b")
    found, _ = follow(shared_agent, body["cursor"])
    assert [c["path"] for c in found] == ["secret/polled/b"]


def test_one_that_has_missed_something_does_not_wait(shared_agent: Agent) -> None:
    """What it missed is answered at once."""
    since = read(shared_agent)["cursor"]
    write(shared_agent, "secret/missed/a")
    began = time.monotonic()
    assert read(shared_agent, since, wait=LONG)["changes"]
    assert time.monotonic() - began < WITHIN


def test_a_stream_goes_on_where_it_was_left(shared_agent: Agent) -> None:
    """With `Last-Event-ID`, as browsers send it."""
    write(shared_agent, "secret/stream/a")
    events = Events(shared_agent, prefix="secret/stream/")
    write(shared_agent, "secret/stream/a")
    name, body = events.next()
    assert (name, [(c["path"], c["version"]) for c in body["changes"]]) == (
        "changes", [("secret/stream/a", 2)],
    )  # fmt: skip
    assert body["cursor"] == events.last_id
    events.close()
    write(shared_agent, "secret/stream/b")
    again = Events(shared_agent, since=events.last_id, prefix="secret/stream/")
    name, body = again.next()
    assert [c["path"] for c in body["changes"]] == ["secret/stream/b"]
    write(shared_agent, "secret/stream/c")
    name, body = again.next()
    assert [c["path"] for c in body["changes"]] == ["secret/stream/c"]
    again.close()


def test_a_cursor_comes_with_its_changes(shared_agent: Agent) -> None:
    """Not before them: a client that is cut off in between would miss them."""
    since = read(shared_agent)["cursor"]
    write(shared_agent, "secret/first/a")
    events = Events(shared_agent, since=since)
    events.next_frame()
    assert events.last_id == since
    name, _ = events.next()
    assert (name, events.last_id != since) == ("changes", True)
    events.close()


@pytest.mark.parametrize("kind", ["token", "key"])
def test_a_revocation_cuts_who_waits(shared_agent: Agent, kind: str) -> None:
    """Within a second or so: long poll and stream, of a token and of an API key."""
    token = reader_token(shared_agent, "cut", "secret/cut/*")
    end = ("POST", "tokens/revoke", {"token": token})
    if kind == "key":
        user = {"username": "cut", "policies": ["cut"]}
        user = ok(shared_agent, "POST", "users", user)
        made = ok(shared_agent, "POST", "keys", {"user": "cut", "name": "cut"})
        token, end = made["key"], ("PATCH", f"users/{user['id']}", {"status": "disabled"})
    since = read(shared_agent)["cursor"]
    stream = Events(shared_agent, token)
    with waiting(shared_agent, since, token) as poll:
        write(shared_agent, "secret/uncut/a")  # commits of others leave it
        began = time.monotonic()
        ok(shared_agent, *end)
        assert poll.done().status == 401
        name, body = stream.next()
        assert (name, body["type"]) == ("error", "authentication")
        assert stream.next() == ("", None)
        assert time.monotonic() - began < WITHIN
    stream.close()


def test_a_seal_and_a_stop_end_who_waits(agent: Agent) -> None:
    """A seal with an error; a stop with the cursor so far, and neither of them has to wait."""
    since = read(agent)["cursor"]
    with waiting(agent, since) as poll:
        stream = Events(agent)
        began = time.monotonic()
        agent.stop()
        assert time.monotonic() - began < WITHIN
        assert poll.done().json["changes"] == []
        assert stream.next() == ("", None)
        stream.close()
    agent.start()
    since = read(agent, poll.done().json["cursor"])["cursor"]
    with waiting(agent, since) as poll:
        stream = Events(agent)
        agent.call("POST", f"{API}/system/seal")
        assert (poll.done().status, poll.done().json["code"]) == (503, "sealed")
        name, body = stream.next()
        assert (name, body["code"]) == ("error", "sealed")
        stream.close()


def test_answers_with_names_are_on_record(shared_agent: Agent) -> None:
    """The answer to a poll has a record of its own, with how many names it had."""
    since = read(shared_agent)["cursor"]
    with waiting(shared_agent, since, prefix="secret/recorded/") as poll:
        write(shared_agent, "secret/recorded/a")
        answer = poll.done()
    for request_id in (answer.request_id, f"{answer.request_id}.2"):
        found = ok(shared_agent, "GET", f"audit/events?request_id={request_id}")["events"]
        assert [event["operation"] for event in found] == ["secret.changes"]


def test_nothing_is_missed_and_nothing_made_up(shared_agent: Agent) -> None:
    """A follower that comes and goes knows in the end what a list knows."""
    chance = random.Random(5)  # noqa: S311  # a test
    token = reader_token(shared_agent, "whole", "secret/whole/seen/*", "secret/whole/more/*")
    with shared_agent.client(token) as client:
        known: dict[str, tuple[int, str]] = {}
        since, stop = read(client)["cursor"], threading.Event()
        names = [f"secret/whole/{at}/{i}" for at in ("seen", "hidden", "more") for i in range(6)]

        def change() -> None:
            for _ in range(150):
                name = chance.choice(names)
                if chance.random() < 0.2:
                    shared_agent.call("DELETE", f"{API}/metadata/{name}")
                elif chance.random() < 0.2:
                    shared_agent.call("DELETE", f"{API}/secrets/{name}")
                else:
                    write(shared_agent, name)
            stop.set()

        writer = threading.Thread(target=change)
        writer.start()
        while True:
            is_last = stop.is_set()
            body = read(client, since, wait="" if is_last else chance.choice(["", "50ms", "1s"]))
            for one in body["changes"]:
                assert "/hidden/" not in one["path"]
                known[one["path"]] = one["version"], one["status"]
            if chance.random() < 0.8:  # else the answer is lost on its way
                since = body["cursor"]
            if is_last and not body["changes"]:
                break
        writer.join()
        listed = ok(shared_agent, "GET", "secrets?prefix=secret/whole/&limit=1000")["secrets"]
        assert {name: told for name, told in known.items() if told[1] != "removed"} == {
            one["name"]: (one["version"], one["status"])
            for one in listed
            if "/hidden/" not in one["name"]
        }


def test_an_acknowledgement_is_on_record(shared_agent: Agent) -> None:
    """By whoever may read the secret, of a version that there is."""
    write(shared_agent, "secret/used/a")
    write(shared_agent, "secret/used/a")
    body = {"path": "secret/used/a", "version": 1}
    answer = shared_agent.call("POST", f"{API}/changes/ack", body)
    assert (answer.status, answer.json) == (200, body | {"is_current": False})
    (event,) = ok(shared_agent, "GET", f"audit/events?request_id={answer.request_id}")["events"]
    assert (event["operation"], event["result"]) == ("secret.acknowledge", "ok")
    assert ok(shared_agent, "POST", "changes/ack", body | {"version": 2})["is_current"]
    other = reader_token(shared_agent, "uses", "secret/other/*")
    for wrong, token, status in (
        (body | {"version": 3}, None, 404),
        (body | {"path": "secret/used/none"}, None, 404),
        (body | {"version": 0}, None, 400),
        (body, other, 403),
    ):
        assert shared_agent.call("POST", f"{API}/changes/ack", wrong, token=token).status == status


def test_a_slow_reader_misses_nothing(shared_agent: Agent) -> None:
    """It takes nothing while much is changed, and then gets the state of each secret."""
    events = Events(shared_agent, prefix="secret/slow/")
    names = [f"secret/slow/{'x' * 200}/{number}" for number in range(300)]
    for value in range(3):
        items = [{"name": name, "value": value} for name in names]
        assert shared_agent.call("POST", f"{API}/batch/write", {"secrets": items}).status == 200
    known: dict[str, int] = {}
    while known != dict.fromkeys(names, 3):
        name, body = events.next()
        assert name == "changes"
        known |= {one["path"]: one["version"] for one in body["changes"]}
    events.close()
