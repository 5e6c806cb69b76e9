"""Deeds other than writes, as their clients know them, and what must hold of each once it is told.

A revoked token never counts again, a destroyed or deleted value is never read again, a token that
was issued counts, a policy that was written is there, and a key that was rotated stays rotated: a
fault that changes one of them has undone what somebody relied on.
"""

import http.client
import itertools
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Literal

from loadtests.agent_process import Agent, Answer, Client
from loadtests.durability.history import State

Kind = Literal["revoke", "destroy", "delete", "issue", "policy", "rotate", "rewrap"]
KINDS_UNDER_LOAD: Final[tuple[Kind, ...]] = ("revoke", "destroy", "delete", "issue", "policy")
GONE: Final = {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}
CREATE: Final = "/v1/auth/token/create"
LOOK_UP: Final = "/v1/auth/token/lookup-self"
POLICIES: Final = "/api/v1/policies/"
ISSUED: Final = {"policies": ["default"]}
RULES: Final = {"rules": [{"effect": "allow", "paths": ["a/b"], "capabilities": ["read"]}]}


@dataclass
class ClientOperation:
    """One deed; `target` is a token's text, a secret's or policy's name, a key's generation."""

    kind: Kind
    target: str
    state: State = "unknown"
    request_id: str = ""


def record_answer(deed: ClientOperation, answer: Answer) -> None:
    """Note how it was answered. Of a 5xx nobody knows what came of it."""
    deed.request_id = answer.request_id
    if answer.status in {HTTPStatus.OK, HTTPStatus.NO_CONTENT}:
        deed.state = "ok"
        if deed.kind == "issue":
            deed.target = answer.json["auth"]["client_token"]
    elif answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        deed.state = "refused"


def run_operations(
    agent: Agent, kind: Kind, who: str, stop: threading.Event, log: list[ClientOperation]
) -> None:
    """Make something and undo it for good, over and over, until nobody answers."""
    with agent.client() as client:
        for turn in itertools.count():
            if stop.is_set():
                return
            try:
                target = _make(client, kind, f"secret/{who}-{turn}")
                if target:
                    log.append(
                        ClientOperation(kind, target)
                    )  # before it is asked for: it may be done
                    record_answer(log[-1], _ask(client, log[-1]))
            except (OSError, http.client.HTTPException):
                return


def check_operations(agent: Agent, deeds: Iterable[ClientOperation]) -> Iterator[str]:
    """What does not hold of those that were acknowledged. The agent runs."""
    for deed in deeds:
        if deed.state == "ok":
            yield from find_violation(deed, _look(agent, deed))


def find_violation(deed: ClientOperation, seen: Answer) -> Iterator[str]:
    """What is wrong with an acknowledged deed, given the answer to a look at its target."""
    match deed.kind:
        case "revoke" if seen.status not in GONE:
            yield f"{deed}: the token was revoked and is answered {seen.status}"
        case "destroy" if seen.status != HTTPStatus.NOT_FOUND or _value(seen) is not None:
            yield f"{deed}: the value was destroyed and is answered {seen.status}"
        case "delete" if seen.status != HTTPStatus.NOT_FOUND or _value(seen) is not None:
            yield f"{deed}: the value was deleted and is answered {seen.status}"
        case "issue" if seen.status in GONE:
            yield f"{deed}: the token was issued and is answered {seen.status}"
        case "policy" if seen.status != HTTPStatus.OK:
            yield f"{deed}: the policy was written and is answered {seen.status}"
        case "rotate" if seen.status != HTTPStatus.OK or seen.json["generation"] < int(deed.target):
            yield f"{deed}: lost, the key's state is {seen.status} {seen.json}"


def _value(seen: Answer) -> object:
    return ((seen.json or {}).get("data") or {}).get("data")


def _make(client: Client, kind: Kind, name: str) -> str:
    """What is to be done or undone; nothing when the agent did not make it."""
    if kind in {"issue", "policy"}:
        return name.replace("/", "-")
    if kind == "revoke":
        made = client.call("POST", CREATE, ISSUED)
        return made.json["auth"]["client_token"] if made.status == HTTPStatus.OK else ""
    made = client.call("POST", _path("data", name), {"data": {"w": "doomed"}})
    return name if made.status == HTTPStatus.OK else ""


def _ask(client: Client, deed: ClientOperation) -> Answer:
    match deed.kind:
        case "revoke":
            return client.call("POST", "/v1/auth/token/revoke", {"token": deed.target})
        case "issue":
            return client.call("POST", CREATE, ISSUED)
        case "policy":
            return client.call("PUT", POLICIES + deed.target, RULES)
        case "delete":
            return client.call("DELETE", _path("data", deed.target))
        case _:
            return client.call("POST", _path("destroy", deed.target), {"versions": [1]})


def _look(agent: Agent, deed: ClientOperation) -> Answer:
    if deed.kind in {"revoke", "issue"}:
        with agent.client(deed.target) as client:
            seen = client.call("GET", LOOK_UP)
        if seen.status != HTTPStatus.TOO_MANY_REQUESTS:
            return seen  # else we have tried too many that were revoked: then by whoever may look
        return agent.call("POST", "/v1/auth/token/lookup", {"token": deed.target})
    if deed.kind == "policy":
        return agent.call("GET", POLICIES + deed.target)
    if deed.kind in {"destroy", "delete"}:
        return agent.call("GET", _path("data", deed.target))
    return agent.call("GET", "/api/v1/system/key-status")


def _path(what: str, name: str) -> str:
    return name.replace("secret/", f"/v1/secret/{what}/", 1)
