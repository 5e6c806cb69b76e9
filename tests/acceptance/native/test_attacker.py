"""One attacker's pass over an agent with web pages: nothing happens, and the attempt is on record.

What there is to attack comes from the served document (`attack`): a new operation or field is in
here by itself, or a test says what is missing. What a browser makes of the texts that get through
is in tests/browser/test_agent_attacker.py.
"""

import re
from collections.abc import Iterator
from http import HTTPStatus
from http.cookies import SimpleCookie

import pytest

from tests.acceptance.agent import Agent, Answer, dev_agent, own_folder, running
from tests.acceptance.declared import JSON, Operation
from tests.acceptance.native.attack import (
    BODIES,
    FREE,
    HELD,
    Planted,
    found,
    operations,
    plant,
    put,
)

pytestmark = pytest.mark.usefixtures("workers")

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
RIGHT = {
    **BODIES,
    "secrets_patch": {"a": 1},
    "secrets_rollback": {"version": 1},
    **{f"secrets_{each}": {"versions": [1]} for each in ("delete", "undelete", "destroy")},
}
ASKED = {"secrets_diff": "?from=1&to=0", "keys_list": "?user=held"}
OWN = {"changes_acknowledge", "tokens_lookup", "tokens_revoke_text", "batch_read", "batch_write"}
"""Of things that the body names, each decided by itself."""
ANYBODY = {
    "policies_effective", "policies_validate", "sessions_open", "sessions_current",
    "sessions_renew", "sessions_close", "sessions_list", "sessions_revoke",
    "tokens_read_self", "tokens_renew_self",
    "tokens_revoke_self", "api_openapi", "secrets_list", "tokens_create", "system_health",
    "changes_follow",
    "auth_whoami", "wrapping_look_up", "mfa_finish_login", "mfa_begin_login_passkey",
    "break_glass_read_opening", "break_glass_open_vault",
    "dynamic_list_leases",
    "rotations_list",
    "rotations_plan",
    "rotations_run",
}  # fmt: skip
"""What one may without a policy: it is about oneself, or shows what one may see."""


class Prey:
    """An agent with one of everything, and a person's session in a browser."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.planted: list[Planted] = plant(agent)
        put(agent, "POST", "secrets", {"name": HELD, "value": 1})
        user = put(agent, "GET", "users?username=held")["users"][0]["id"]
        key = put(agent, "GET", "keys?user=held")["keys"][0]["id"]
        accessor = put(agent, "POST", "tokens", {"policies": ["default"]})["accessor"]
        self.things = {"path": HELD, "accessor": accessor, "seq": "1", "opaque": "0" * 32}
        node = put(agent, "GET", "system/nodes")["nodes"][0]["id"]
        group = put(agent, "POST", "groups", {"name": "held"})["id"]
        self.ids = {"users": user, "sessions": user, "keys": key, "nodes": node, "backups": "none"}
        self.ids |= {"entities": user, "groups": group, "mfa": user, "policies": "none"}
        self.names = {"policies": "p0", "roles": "r0", "mfa": "none"}
        self.things["identity"] = "held"
        put(agent, "PUT", "policies/p0", {"rules": []})
        put(agent, "PUT", "roles/r0", {"policies": ["default"]})
        opened = agent.call("POST", "/api/v1/sessions")
        self.cookie = "; ".join(
            f"{name}={morsel.value}"
            for name, morsel in SimpleCookie(opened.headers["set-cookie"]).items()
        )
        self.session_key: str = opened.json["session_key"]

    def path(self, operation: Operation, *, made_up: bool = False) -> str:
        """Of something that is there, or of nothing."""
        resource = operation.id.partition("_")[0]
        things = {
            **self.things,
            "id": self.ids.get(resource, ""),
            "name": self.names.get(resource, ""),
        }
        if made_up:
            things = dict.fromkeys(things, "nothing") | {"path": "secret/nothing", "seq": "999999"}
        if resource == "system":
            things["path"] = "secret" if not made_up else "nothing"
        return "/api/v1/" + operation.template.format(**things) + ASKED.get(operation.id, "")

    def browse(self, operation: Operation, headers: dict[str, str]) -> Answer:
        """As a browser that holds the cookie."""
        told = {"Cookie": self.cookie, "Content-Type": kind(operation), **headers}
        body = RIGHT.get(operation.id)
        return self.agent.call(operation.method, self.path(operation), body, token="", headers=told)


@pytest.fixture(scope="module")
def prey(workers: int) -> Iterator[Prey]:
    """Its own: what is tried here is on its log."""
    with own_folder() as folder, running(dev_agent(folder, workers=workers)) as agent:
        yield Prey(agent)


def kind(operation: Operation) -> str:
    """Of its body, where it has one."""
    return "application/merge-patch+json" if operation.id == "secrets_patch" else JSON


def is_data(answer: Answer) -> bool:
    """Whether no browser takes it for a page."""
    told = answer.headers
    return (told["content-type"], told["x-content-type-options"]) == (JSON, "nosniff")


def refusal(answer: Answer) -> tuple[int, str]:
    """Status and code; of a batch, those of its one part."""
    told = answer.json
    if answer.status == HTTPStatus.MULTI_STATUS:
        [part] = told["results"]
        return part["status"], part["error"]["code"]
    return answer.status, told["code"]


# --- texts ----------------------------------------------------------------------------------------


def test_no_text_of_a_body_is_forgotten(prey: Prey) -> None:
    """A new operation has a right body here; else the others of its texts were not tried."""
    with_texts = {each.id for each in operations(prey.agent) if each.mutates and each.texts}
    assert with_texts == set(BODIES)


def test_what_may_be_any_text_is_a_named_list(prey: Prey) -> None:
    """Whatever else is sent in is refused for its shape, and the refusal does not repeat it."""
    assert {each.place for each in prey.planted if each.taken} == FREE
    for each in prey.planted:
        assert each.answer.status < 500, (each.place, each.answer.body)
        assert not each.answer.body or is_data(each.answer), each.place
        if each.answer.status >= 400:
            assert each.text.encode() not in each.answer.body, each.place


def test_what_was_planted_comes_back_as_data(prey: Prey) -> None:
    """Every answer is JSON that no browser takes for a page; a refusal does not repeat the path."""
    text = "%3Cimg%20src=x%20onerror=alert(1)%3E"
    for each in operations(prey.agent):
        if each.mutates:
            continue
        whole = prey.path(each)
        paths = [
            whole,
            *(f"{whole}{'&' if '?' in whole else '?'}{name}={text}" for name in each.query),
        ]
        paths.append("/api/v1/" + re.sub(r"\{\w+\}", text, each.template))
        for path in paths:
            answer = prey.agent.call("GET", path)
            assert answer.status < 500, (path, answer.body)
            assert is_data(answer), path
            assert answer.status < 400 or b"<img" not in answer.body, path


# --- another site's page --------------------------------------------------------------------------


def test_another_site_does_nothing_by_our_cookie(prey: Prey) -> None:
    """Every operation, reading too: 403, and each attempt is on record under the session.

    Even if it knew the session key.
    """
    elsewhere = {"Origin": "https://evil.example", "X-Session-Key": prey.session_key}
    tried, told = 0, {}
    for each in operations(prey.agent):
        if each.public:
            continue
        told[each.id] = refusal(prey.browse(each, elsewhere))
        tried += 1
    assert {each: code for each, code in told.items() if code != (403, "csrf")} == {}
    assert tried > 60
    refused = found(prey.agent, "operation=session.refuse&result=denied")
    assert len(refused) == tried
    assert {event["code"] for event in refused} == {"csrf"}
    assert {event["actor_name"] for event in refused} == {"token-root"}
    ours = {"Sec-Fetch-Site": "same-origin", "X-Session-Key": prey.session_key}
    current = next(each for each in operations(prey.agent) if each.id == "sessions_current")
    assert prey.browse(current, ours).status == 200  # nothing ended it


def test_another_port_does_nothing_by_our_cookie(workers: int) -> None:
    """A browser sends the cookie to each port of a host, and who listens there says what it likes.

    Every operation, reading too: 401 for the cookie alone and with another session's key. And no
    answer, of the public ones neither, has the session key.
    """
    with own_folder() as folder, running(dev_agent(folder, workers=workers)) as agent:
        prey = Prey(agent)
        page = {"Origin": agent.address, "Sec-Fetch-Site": "same-origin"}
        key = agent.call("POST", "/api/v1/sessions").json["session_key"]
        tried = []
        for each in operations(agent):
            alone = prey.browse(each, page)
            assert prey.session_key.encode() not in alone.body, each.id
            assert prey.session_key not in str(alone.headers), each.id
            if each.public:
                continue
            assert refusal(alone) in REFUSED, each.id
            assert refusal(prey.browse(each, page | {"X-Session-Key": key})) in REFUSED, each.id
            tried.append(each.id)
        assert len(tried) > 60
        kept = found(agent, "operation=session.refuse&result=denied")
        assert 0 < len(kept) < 2 * len(tried)  # the others share a record: `limits.failures`
        assert {event["code"] for event in kept} == {"unauthenticated"}
        assert {event["actor_name"] for event in kept} == {"anonymous"}
        current = next(each for each in operations(agent) if each.id == "sessions_current")
        ours = page | {"X-Session-Key": prey.session_key}
        assert prey.browse(current, ours).status == 200  # nothing ended it


REFUSED = {(401, "unauthenticated"), (429, "too_many_failures")}
"""The second: beyond the pace at which strangers' failures are recorded."""


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8200", "a b", "x@evil.example"])
def test_a_host_that_is_not_ours_gets_nothing_more(prey: Prey, host: str) -> None:
    """A page that names us otherwise than the browser does is not one of ours (DNS rebinding)."""
    told = {"Host": host, "Origin": prey.agent.address, "X-Session-Key": prey.session_key}
    headers = {"Cookie": prey.cookie, "Content-Type": JSON, **told}
    body = {"username": "rebound"}
    answer = prey.agent.call("POST", "/api/v1/users", body, token="", headers=headers)
    assert answer.status in (400, 401, 403, 421), answer.body
    assert put(prey.agent, "GET", "users?username=rebound")["users"] == []


def test_a_feed_is_for_pages_of_our_own(prey: Prey) -> None:
    """Refused before the upgrade without a session and from elsewhere; each is on record."""
    agent = prey.agent
    mine, other = prey.session_key, agent.call("POST", "/api/v1/sessions").json["session_key"]
    for cookie, key, origin, refusal in (
        ("", mine, agent.address, (401, "unauthenticated")),
        (prey.cookie + "x", mine, agent.address, (401, "unauthenticated")),
        (prey.cookie, "", agent.address, (401, "unauthenticated")),
        (prey.cookie, other, agent.address, (401, "unauthenticated")),
        (prey.cookie, mine, "https://evil.example", (403, "csrf")),
        (prey.cookie, mine, "null", (403, "csrf")),
        (prey.cookie, mine, "", (403, "csrf")),
    ):
        headers = {**UPGRADE, **({"Origin": origin} if origin else {})}
        headers |= {"Cookie": cookie} if cookie else {}
        if key:
            headers["Sec-WebSocket-Protocol"] = f"freehold.live, freehold.session-key.{key}"
        answer = agent.call("GET", "/api/v1/live", token="", headers=headers)
        assert (answer.status, answer.json["code"]) == refusal, (origin, answer.body)
    events = found(agent, "path=sys/live")
    kinds = sorted((event["operation"], event["code"], event["result"]) for event in events)
    assert kinds == [
        *[("live.open", "unauthenticated", "denied")] * 4,
        *[("session.refuse", "csrf", "denied")] * 3,
    ]


# --- what is somebody else's ----------------------------------------------------------------------


PATH_ASKED = re.compile(r"on \S+ is")
"""A refusal repeats the path that was asked for."""


def test_what_is_not_yours_is_as_what_is_not_there(prey: Prey) -> None:
    """To a user without a policy: one refusal, whether the thing exists or not, each on record."""
    agent = prey.agent
    put(agent, "POST", "users", {"username": "stranger"})
    key = put(agent, "POST", "keys", {"user": "stranger", "name": "k"})["key"]
    tried = set()
    for each in operations(agent):
        if each.id in ANYBODY | OWN:
            continue
        answers = [
            agent.call(
                each.method, prey.path(each, made_up=made_up), RIGHT.get(each.id), token=key,
                headers={"Content-Type": kind(each)},
            )
            for made_up in (False, True)
        ]  # fmt: skip
        told = [
            (
                answer.status,
                answer.json["code"],
                PATH_ASKED.sub("on PATH is", answer.json["message"]),
            )
            for answer in answers
        ]
        assert told[0] == told[1], (each.id, told)
        assert told[0][0] in (400, 403, 404), (each.id, told)
        if told[0][0] == 403:
            tried.add(each.id)
    assert len(tried) > 40, tried
    refused = found(agent, "result=denied&operation=")
    assert sum(event["actor_name"] == "stranger" for event in refused) >= 2 * len(tried)


def test_what_a_browser_calls_itself_is_kept_short(prey: Prey) -> None:
    """It is on every record of it: bounded, one line."""
    told = {"User-Agent": "x\t<b>" + "y" * 900}
    assert prey.agent.call("GET", f"/api/v1/secrets/{HELD}", headers=told).status == 200
    [event, *_] = found(prey.agent, f"operation=secret.read&path={HELD}")
    assert len(event["user_agent"]) <= 256
    assert "<b>" in event["user_agent"]
