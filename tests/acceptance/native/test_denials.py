"""A denial wins, whatever its subject does: nobody lifts what denies something to himself.

`no-db` denies `secret/db/*`; whoever has it must never read there, by any credential that he can
make, and through no user, role or policy that he may change.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.agent import Agent, dev_agent, own_folder, running
from tests.acceptance.native.test_story import API, ok

DB = "secret/db/main"
ALL = {"effect": "allow", "paths": ["*"], "capabilities": ["*"]}
NO_DB = {"effect": "deny", "paths": ["secret/db/*"], "capabilities": ["*"]}
NO_KV = {"effect": "deny", "paths": ["secret/kv/*"], "capabilities": ["read"]}


@pytest.fixture(scope="module", params=[1, 2], ids=["1 process", "2 workers"])
def agent(request: pytest.FixtureRequest) -> Iterator[Agent]:
    """A secret, a policy that allows everything, and one that denies the secret."""
    with own_folder() as folder, running(dev_agent(folder, workers=request.param)) as started:
        ok(started, "POST", "secrets", {"name": DB, "value": 1})
        ok(started, "PUT", "policies/app-all", {"rules": [ALL]})
        ok(started, "PUT", "policies/no-db", {"rules": [NO_DB]})
        yield started


def bound(agent: Agent) -> str:
    """The token of somebody who may do everything but what `no-db` denies."""
    return token(agent, "app-all", "no-db")


def token(agent: Agent, *policies: str, by: str | None = None) -> str:
    """A token with these policies, of root's or of another token's making."""
    made = ok(agent, "POST", "tokens", {"policies": policies}, token=by)
    text: str = made["token"]
    return text


def user(agent: Agent, name: str, *policies: str, roles: tuple[str, ...] = ()) -> tuple[str, str]:
    """A user's id, and a key of his."""
    body = {"username": name, "policies": policies, "roles": roles}
    made = ok(agent, "POST", "users", body)
    return made["id"], ok(agent, "POST", "keys", {"user": name, "name": "k"})["key"]


def reads(agent: Agent, by: str, name: str = DB) -> int:
    """The status of a read of what is denied, which must be the same in both dialects."""
    mount, _, rest = name.partition("/")
    native = agent.call("GET", f"{API}/secrets/{name}", token=by).status
    assert agent.call("GET", f"/v1/{mount}/data/{rest}", token=by).status == native
    return native


def refused(agent: Agent, by: str, method: str, path: str, body: object = None) -> None:
    """It would lift a denial that binds the caller."""
    answer = agent.call(method, f"{API}/{path}", body, token=by)
    assert (answer.status, answer.json["code"]) == (403, "denial_lifted"), answer.body


@pytest.mark.parametrize("path", ["create", "create-orphan"])
@pytest.mark.parametrize("more", [{}, {"no_default_policy": True}, {"period": "1h"}])
def test_tokens_that_are_made(agent: Agent, path: str, more: dict[str, Any]) -> None:
    """A child, an orphan, and what these make: the subset of policies never drops a denial."""
    maker = bound(agent)
    for _ in range(3):
        body = {"policies": ["app-all"], **more}
        made = agent.call("POST", f"/v1/auth/token/{path}", body, token=maker)
        assert made.status == 200, made.body
        assert "no-db" not in made.json["auth"]["policies"]
        maker = made.json["auth"]["client_token"]
        assert reads(agent, maker) == 403
        assert "no-db" in ok(agent, "GET", "policies-effective", token=maker)["denied_by"]


def test_a_token_that_lost_its_parent(agent: Agent) -> None:
    """An ended parent that leaves its children leaves them its denials."""
    maker = bound(agent)
    child = token(agent, "app-all", by=maker)
    grandchild = token(agent, "app-all", by=child)
    ok(agent, "POST", "tokens/revoke", {"token": maker, "keep_children": True})
    for orphan in (child, grandchild):
        assert ok(agent, "GET", "tokens/self", token=orphan)["renewable"]
        assert reads(agent, orphan) == 403


def test_a_denial_that_is_written_later(agent: Agent) -> None:
    """It binds the children that there are already, and goes with what it was written for."""
    ok(agent, "PUT", "policies/later", {"rules": []})
    ok(agent, "POST", "secrets", {"name": "secret/kv/a", "value": 1})
    child = token(agent, "app-all", by=token(agent, "app-all", "later"))
    assert reads(agent, child, "secret/kv/a") == 200
    ok(agent, "PUT", "policies/later", {"rules": [NO_KV]})
    assert reads(agent, child, "secret/kv/a") == 403
    ok(agent, "DELETE", "policies/later")
    assert reads(agent, child, "secret/kv/a") == 200


def test_root_is_not_bound(agent: Agent) -> None:
    """What root makes has the policies that root gave it, and no others."""
    assert reads(agent, token(agent, "app-all")) == 200


def test_a_users_tokens_and_sessions(agent: Agent) -> None:
    """A key's children are bound by what its user has now, by a role too, and no longer."""
    ok(agent, "PUT", "roles/careful", {"policies": ["no-db"]})
    user_id, key = user(agent, "ann", "app-all", roles=("careful",))
    child = token(agent, "app-all", by=key)
    assert reads(agent, key) == reads(agent, child) == 403
    refused(agent, key, "PATCH", f"users/{user_id}", {"roles": []})
    ok(agent, "PATCH", f"users/{user_id}", {"roles": []})
    assert reads(agent, key) == reads(agent, child) == 200


@pytest.mark.parametrize("role", [False, True], ids=["policy", "role"])
def test_a_restricted_token_of_roots(agent: Agent, role: bool) -> None:
    """Who holds root may bind a token: it sheds that neither by what it makes nor by his demotion.

    That the user holds root, himself or by a role, says nothing of what his token was given.
    """
    name = f"ru-{role}".lower()
    ok(agent, "PUT", "roles/rooted", {"policies": ["root"]})
    user_id, key = user(agent, name, *(() if role else ("root",)), roles=("rooted",) * role)
    assert reads(agent, key) == 200
    restricted = token(agent, "app-all", "no-db", by=key)
    children = [token(agent, "app-all", by=restricted)]
    for path in ("create", "create-orphan"):
        for maker in (restricted, children[0]):
            body = {"policies": ["app-all"]}
            made = agent.call("POST", f"/v1/auth/token/{path}", body, token=maker)
            assert made.status == 200, made.body
            children.append(made.json["auth"]["client_token"])
    for child in children:
        assert reads(agent, child) == 403
        assert ok(agent, "GET", "policies-effective", token=child)["denied_by"] == ["no-db"]
        refused(agent, child, "POST", "users", {"username": "x", "policies": ["app-all"]})
        refused(agent, child, "DELETE", "policies/no-db")
    ok(agent, "PATCH", f"users/{user_id}", {"policies": ["app-all"], "roles": []})
    assert reads(agent, key) == 200
    for bound_still in (restricted, *children):
        assert reads(agent, bound_still) == 403


def test_a_token_keeps_the_denials_that_its_user_lost(agent: Agent) -> None:
    """What a user loses, his tokens lose of allowances alone."""
    user_id, key = user(agent, "lost", "app-all", "no-db")
    session = token(agent, "app-all", "no-db", by=key)
    ok(agent, "PATCH", f"users/{user_id}", {"policies": ["app-all"]})
    assert (reads(agent, key), reads(agent, session)) == (200, 403)
    child = token(agent, "app-all", by=session)
    assert reads(agent, child) == 403


def test_users(agent: Agent) -> None:
    """Who is bound makes and changes users who are bound, and takes it off nobody."""
    own_id, own = user(agent, "own", "app-all", "no-db")
    free_id, _ = user(agent, "free", "app-all")
    for number, by in enumerate((bound(agent), own)):
        refused(agent, by, "POST", "users", {"username": "x", "policies": ["app-all"]})
        refused(agent, by, "POST", "users", {"username": "x"})
        body = {"username": f"made{number}", "policies": ["app-all", "no-db"]}
        made_id = ok(agent, "POST", "users", body, token=by)["id"]
        key = ok(agent, "POST", "keys", {"user": body["username"], "name": "k"}, token=by)["key"]
        assert reads(agent, key) == 403
        for user_id in (made_id, own_id):
            refused(agent, by, "PATCH", f"users/{user_id}", {"policies": ["app-all"]})
        ok(agent, "PATCH", f"users/{made_id}", {"email": "a@example.org"}, token=by)
        refused(agent, by, "POST", "keys", {"user": "free", "name": "k"})
        for change in ({"policies": ["app-all", "no-db"]}, {"status": "disabled"}):
            refused(agent, by, "PATCH", f"users/{free_id}", change)
        refused(agent, by, "DELETE", f"users/{free_id}")
        ok(agent, "DELETE", f"users/{made_id}", token=by)


def test_roles(agent: Agent) -> None:
    """The role that carries it stays, with it, and no role without it gives anything."""
    ok(agent, "PUT", "roles/carries", {"policies": ["no-db"]})
    ok(agent, "PUT", "roles/free", {"policies": []})
    _, key = user(agent, "role-admin", "app-all", roles=("carries",))
    refused(agent, key, "DELETE", "roles/carries")
    refused(agent, key, "PUT", "roles/carries", {"policies": []})
    refused(agent, key, "PUT", "roles/free", {"policies": ["app-all"]})
    ok(agent, "PUT", "roles/carries", {"policies": ["no-db", "app-all"]}, token=key)
    ok(agent, "DELETE", "roles/free", token=key)
    assert reads(agent, key) == 403


def test_policies(agent: Agent) -> None:
    """Its subject may add to it, and neither delete, disable, narrow nor replace it."""
    rules = [{**NO_DB, "paths": ["secret/own/*"]}]
    ok(agent, "PUT", "policies/own", {"rules": rules})
    ok(agent, "POST", "secrets", {"name": "secret/own/a", "value": 1})
    maker = token(agent, "app-all", "own")
    never = [{"type": "source_network", "networks": ["192.0.2.0/24"]}]
    lifting: list[dict[str, Any]] = [
        {"rules": []},
        {"rules": rules, "enabled": False},
        {"rules": rules, "conditions": never},
        {"rules": [{**rules[0], "conditions": never}]},
        {"rules": [{**rules[0], "capabilities": ["list"]}]},
        {"rules": [{**rules[0], "effect": "allow"}]},
    ]
    for subject in (maker, token(agent, "app-all", by=maker)):
        for document in lifting:
            refused(agent, subject, "PUT", "policies/own", document)
        refused(agent, subject, "DELETE", "policies/own")
        ok(agent, "PUT", "policies/own", {"rules": [ALL, *rules, NO_DB]}, token=subject)
        assert reads(agent, subject, "secret/own/a") == reads(agent, subject) == 403
        ok(agent, "PUT", "policies/own", {"rules": rules})
    ok(agent, "DELETE", "policies/own")


def test_who_is_not_bound_may_give_and_take_it(agent: Agent) -> None:
    """A policy that only denies need not be held by whoever manages those who have it."""
    _, admin = user(agent, "unbound", "app-all")
    body = {"username": "junior", "policies": ["app-all", "no-db"]}
    made = ok(agent, "POST", "users", body, token=admin)
    ok(agent, "PATCH", f"users/{made['id']}", {"policies": ["app-all"]}, token=admin)
    body = {"username": "y", "policies": ["unheard-of"]}
    answer = agent.call("POST", f"{API}/users", body, token=admin)
    assert (answer.status, answer.json["code"]) == (403, "more_privileged")
