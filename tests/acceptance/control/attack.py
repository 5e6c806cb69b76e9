"""What an attacker can send to the control plane: its declared operations, and a body for each.

Known by hand is only what the document cannot say: what is right but for what is planted.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

from protocols.link_transport.tls_contexts import pinned_context
from tests.acceptance.agent import Answer, own_folder
from tests.acceptance.control.linked import WORLD, Linked, ask
from tests.acceptance.control.plane import API, PASSWORD, Plane
from tests.acceptance.declared import JSON, Leaf, Operation, declared, hostile, planted
from tests.oidc.provider import provider

RULE = {"effect": "allow", "paths": ["secret/*"], "capabilities": ["read"]}
DOCUMENT = {"rules": [RULE]}
NOTHING = "00000000-0000-4000-8000-000000000000"
ALERT = "a" * 32


def operations(plane: Plane) -> list[Operation]:
    """Every one that is served."""
    return declared(plane.want(200, "GET", "openapi.json", token=""))


CHANNEL = {"name": "c", "type": "slack", "url": "https://hooks.example/services/y"}
MAIL = {
    "name": "m", "type": "email", "to": ["ops@corp.example"],
    "server": {"host": "mail.example", "port": 587, "sender": "freehold@corp.example",
               "username": "freehold"},
    "password": "swordfish", "quiet": {"begins": "22:00", "ends": "07:00", "zone": "UTC"},
}  # fmt: skip


def things(plane: Plane, org: str) -> dict[str, str]:
    """One of everything in the organization, by the parameter of a path that names it.

    `vault` has only been registered, and the roll-out reaches nobody.
    """
    base = f"organizations/{org}"

    def made(path: str, body: object, **more: str) -> Any:
        return plane.want(201, "POST", path, body, **more)

    made(f"{base}/agents", {"vault": "theirs"})
    made(f"{base}/policies/theirs/versions", {"document": DOCUMENT})
    nobody = {"version": 1, "targets": [{"tag": "nobody-has-it"}]}
    rollout = made(f"{base}/policies/theirs/rollouts", nobody)["id"]
    plane.want(200, "POST", f"{base}/rollouts/{rollout}/rollback", {})
    told = {"title": "T", "frameworks": ["soc2"]}
    word = {"framework": "soc2", "control": "CC1.4", "text": "theirs"}
    token = made("tokens", {"role": "viewer", "ttl": 600}, token=plane.people[org, "owner"])
    guest = {"email": f"them@{org}.example", "role": "viewer"}
    hook = {"name": "theirs", "type": "slack", "url": "https://hooks.example/services/x"}
    return {
        "vault": "theirs", "policy": "theirs", "number": "1", "user": "viewer", "home": "acme",
        "alert": NOTHING, "join": NOTHING, "delivery": NOTHING, "replay": NOTHING,
        "token": token["token"]["id"], "session": token["token"]["id"],
        "rollout": rollout,
        "invitation": made(f"{base}/invitations", guest)["invitation"]["id"],
        "channel": made(f"{base}/channels", hook)["channel"]["id"],
        "mail": made(f"{base}/channels", MAIL)["channel"]["id"],
        "ticket": made(f"{base}/enrolment-tokens", {"vault": "another"})["token"]["id"],
        "report": made(f"{base}/reports", told | {"since": 1, "until": 86_400})["id"],
        "schedule": made(f"{base}/report-schedules", told | {"cron": "0 6 * * *"})["id"],
        "note": made(f"{base}/control-notes", word)["id"],
        "hold": made(f"{base}/holds", {"reason": "case"})["id"],
    }  # fmt: skip


PROVIDER = {
    "issuer": "http://127.0.0.1:9", "client_id": "freehold", "client_secret": "s",
    "terms": {"scopes": ["email", "openid"], "domains": ["corp.example"], "role_claim": "groups",
              "roles": {"sec": "admin"}},
}  # fmt: skip
SCHEDULE = {"title": "T", "frameworks": ["soc2"], "cron": "0 6 * * *", "zone": "UTC"}
BODIES: dict[str, Any] = {
    "sessions_login": {"organization": "acme", "name": "owner", "password": PASSWORD},
    "sessions_confirm": {"password": PASSWORD},
    "sessions_switch": {"organization": "acme"},
    "sessions_own_password": {"old": PASSWORD, "new": PASSWORD},
    "second-factors_answer": {"code": "123456", "challenge": "x"},
    "second-factors_enrol": {"challenge": "x"},
    "second-factors_enrolled": {"code": "123456", "challenge": "x"},
    "second-factors_confirm": {"code": "123456"},
    "second-factors_replace": {"code": "123456"},
    "second-factors_replaced": {"code": "123456"},
    "oidc_begin": {"organization": "acme", "invitation": ""},
    "oidc_collect": {"code": "x", "verifier": "x" * 43},
    "oidc_put": PROVIDER,
    "invitations_create": {"email": "new@corp.example", "role": "viewer"},
    "invitations_look": {"secret": "x"},
    "invitations_accept": {"secret": "x", "name": "new", "password": PASSWORD},
    "invitations_join": {"secret": "x"},
    "organizations_create": {"id": "hostile", "title": "T"},
    "organizations_change": {"title": "T"},
    "users_create_user": {"name": "new", "role": "viewer", "password": PASSWORD},
    "users_set_password": {"password": PASSWORD},
    "tokens_create_token": {"role": "viewer", "ttl": 600, "label": "L"},
    "agents_register": {"vault": "registered", "tags": ["a"]},
    "agents_tag": {"tags": ["a"]},
    "rollouts_start": {"document": DOCUMENT, "comment": "C"},  # one is open: refused, as a draft
    "rollouts_halt": {"reason": "R"},
    "rollouts_roll_back": {"reason": "R"},
    "replays_start": {"document": DOCUMENT},
    "agents_lock": {"reason": "R"},
    "agents_retire": {"reason": "R"},
    "agents_accept_log": {"reason": "R"},
    "alerts_acknowledge": {"note": "N"},
    "channels_create": CHANNEL,
    "channels_change": CHANNEL,
    "reports_ask": {"title": "T", "frameworks": ["soc2"], "since": 1, "until": 86_400},
    "report-schedules_add": SCHEDULE,
    "report-schedules_change": SCHEDULE,
    "control-notes_note": {"framework": "soc2", "control": "CC1.4", "text": "T"},
    "holds_place": {"reason": "R"},
    "enrolment_create": {"vault": "enrolled"},
    "joins_approve": {"fingerprint": "0000-0000-0000-0000-0000", "vault": "x"},
    "policies_validate": DOCUMENT,
    "policies_write": {"document": DOCUMENT, "comment": "C"},
    "policies_point": {"targets": [{"vault": "theirs"}]},
    "holds_lift": {"reason": "R"},
}  # in the order in which they can be done: what ends something comes last
"""By operation: what is right, of those whose bodies hold texts."""


SELF = ("sessions_", "second-factors_", "oidc_begin", "oidc_collect", "invitations_look",
        "invitations_accept", "invitations_join")  # fmt: skip
"""Operations that would end the session of whoever asks, or need none."""


FREE = {
    "agents_accept_log reason", "agents_lock reason", "agents_retire reason",
    "alerts_acknowledge note",
    "channels_change name", "channels_change password", "channels_change server.username",
    "channels_create name", "channels_create password", "channels_create server.username",
    "control-notes_note text", "holds_lift reason", "holds_place reason",
    "oidc_put client_id", "oidc_put client_secret", "oidc_put terms.role_claim",
    "oidc_put terms.scopes.[]", "organizations_change title", "organizations_create title",
    "policies_validate description", "policies_validate rules.[].capabilities.[]",
    "policies_validate rules.[].paths.[]", "policies_write comment",
    "policies_write document.description", "policies_write document.rules.[].capabilities.[]",
    "policies_write document.rules.[].paths.[]", "report-schedules_add title",
    "report-schedules_change title", "reports_ask title", "rollouts_halt reason",
    "replays_start document.description", "replays_start document.rules.[].capabilities.[]",
    "replays_start document.rules.[].paths.[]", "rollouts_roll_back reason",
    "sessions_confirm code", "sessions_own_password new",
    "tokens_create_token label", "users_create_user password", "users_set_password password",
}  # fmt: skip
"""Texts that may be anything, so that every page that shows them has to know."""


class Planted(NamedTuple):
    """A text that was sent in, and what came of it."""

    operation: Operation
    leaf: Leaf
    text: str
    answer: Answer

    @property
    def place(self) -> str:
        """As one word."""
        return f"{self.operation.id} {'.'.join(self.leaf)}"

    @property
    def taken(self) -> bool:
        """Whether it may be stored now. What people must never see again is not told apart."""
        return self.answer.status < HTTPStatus.MULTIPLE_CHOICES


MESSAGE, LABEL = hostile(900), hostile(901)
"""An alert's words, and what an agent that asks to join calls itself."""


@contextmanager
def besieged(plane: Plane, org: str) -> Iterator[tuple[dict[str, str], list[Planted]]]:
    """An organization with one of everything, its ids, and what was planted in every field of it.

    It has an owner and a viewer; by `mallory`, who comes too, is done what ends a session.
    """
    new = {"name": "mallory", "role": "viewer", "password": PASSWORD}
    plane.want(201, "POST", f"organizations/{org}/users", new)
    plane.people[org, "mallory"] = plane.login(org, "mallory")
    with stocked(plane, org) as found, provider("x", "y", f"{plane.address}/cb", {}) as issuer:
        BODIES["oidc_put"]["issuer"] = issuer
        yield found, plant(plane, org, found)


@contextmanager
def stocked(plane: Plane, org: str) -> Iterator[dict[str, str]]:
    """One of everything in an organization with an owner and a viewer, lively; their ids."""
    found = things(plane, org)
    with own_folder() as folder:
        yield found | _lively(plane, org, folder)


def _lively(plane: Plane, org: str, folder: Path) -> dict[str, str]:
    """An enrolled agent and one that asks, an alert and a roll-out that waits for the agent."""
    base = f"organizations/{org}"
    made = plane.want(201, "POST", f"{base}/enrolment-tokens", {"vault": "held"})
    Linked(folder / "held", plane.link_port, made["pin"]).enrol(made["secret"])
    asking = Linked(folder / "asking", plane.link_port, made["pin"])
    body = {**asking.binding(), "org": org, "label": LABEL}
    status, told = ask(plane.link_port, "join", body, pinned_context(made["pin"], WORLD.now))
    assert status == HTTPStatus.ACCEPTED, told
    plane.want(200, "PUT", f"{base}/policies/theirs/targets", {"targets": [{"all": True}]})
    plane.want(201, "POST", f"{base}/policies/theirs/versions", {"document": DOCUMENT})
    started = plane.want(201, "POST", f"{base}/policies/theirs/rollouts", {"version": 2})
    _alert(plane, (org, ALERT, "held", "policy_alert", "info", MESSAGE, 1, ""))
    return {"vault": "held", "alert": ALERT, "rollout": started["id"]}


def _alert(plane: Plane, row: tuple[str | int, ...]) -> None:
    """By the database: none of ours has such a message."""
    with closing(sqlite3.connect(plane.data / "control.db", timeout=30)) as database, database:
        database.execute(
            "INSERT INTO alerts (org, id, vault, code, severity, message, at, subject,"
            " acknowledged_by, acknowledged_at, note, count, last_at, ended_at, reopened,"
            " resolve_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, '', 0, '', 1, 1, 0, 0, 0)",
            row,
        )


def plant(plane: Plane, org: str, found: dict[str, str]) -> list[Planted]:
    """Send one in as every text of every operation, in an organization with these things.

    `plane.people` has its owner, and `mallory`, who loses the account by it.
    """
    done: list[Planted] = []
    known = {operation.id: operation for operation in operations(plane)}
    places = [(known[id_], leaf) for id_ in BODIES for leaf in known[id_].texts]
    for operation, leaf in places:
        text = hostile(len(done))
        body = planted(_right(operation, leaf, len(done)), leaf, text)
        about = found | ({"channel": found["mail"]} if _is_mails(leaf) else {})
        with plane.client(_token(plane, org, operation)) as client:
            headers = {"Content-Type": JSON, "Origin": plane.address}
            path = API + operation.path(org, about)
            answer = client.call(operation.method, path, body, headers=headers)
        done.append(Planted(operation, leaf, text, answer))
    return done


def _token(plane: Plane, org: str, operation: Operation) -> str:
    if operation.id == "organizations_create":
        return plane.token
    return plane.people[org, "mallory" if operation.id.startswith(SELF) else "owner"]


def _right(operation: Operation, leaf: Leaf, number: int) -> Any:
    """A body that is right and has a place for this text; no two channels have one name."""
    body = BODIES[operation.id]
    if operation.id.startswith("channels_"):
        return (MAIL if _is_mails(leaf) else body) | {"name": f"channel {number}"}
    return body


def _is_mails(leaf: Leaf) -> bool:
    return leaf[0] in ("to", "server", "password", "quiet")
