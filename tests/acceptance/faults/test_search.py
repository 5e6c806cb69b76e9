"""Somebody with the database file leads searches astray: no answer is wrong, and none is silent."""

from pathlib import Path
from typing import Any, Final

import pytest

from tests.acceptance.agent import Agent, Answer, dev_agent, running
from tests.acceptance.faults.pages import mapped, replace, restored, swap, tables_of
from tests.acceptance.workers.fleet import fleet_agent
from tests.acceptance.workers.waiting import await_true

LOOKUP: Final = ("GET", "/v1/auth/token/lookup-self")
REVOKE_SELF: Final = ("POST", "/v1/auth/token/revoke-self")


@pytest.fixture(params=[1, 2], ids=["one process", "two workers"])
def agent(request: pytest.FixtureRequest, folder: Path) -> Agent:
    """An agent that is down."""
    return fleet_agent(folder, request.param) if request.param > 1 else dev_agent(folder)


def token(agent: Agent, *policies: str) -> dict[str, Any]:
    """A new one: `client_token` and `accessor`."""
    made = agent.call("POST", "/v1/auth/token/create", {"policies": policies, "ttl": "9h"})
    return dict(made.json["auth"])


def works(agent: Agent, text: str) -> bool:
    """Whether it is a token."""
    return agent.call(*LOOKUP, token=text).status == 200


def write(agent: Agent) -> Answer:
    """Have a commit, after which connections look at the file anew."""
    return agent.call("POST", "/v1/secret/data/any", {"data": {"k": "v"}})


def is_sealed(agent: Agent) -> bool:
    """Whether it serves nobody."""
    return bool(agent.call("GET", "/v1/sys/seal-status").json["sealed"])


def told(agent: Agent) -> set[str]:
    """The codes of the alerts on record that somebody else writes."""
    found = agent.call("GET", "/api/v1/audit/events?operation=store.foreign_write")
    return {event["code"] for event in found.json["events"]}


def test_an_index_that_leads_to_somebody_elses_token(agent: Agent) -> None:
    """Whose own token is asked for by its accessor ends his own, and never another one."""
    with running(agent):
        weak, strong = token(agent, "default"), token(agent, "root")
        assert write(agent).status == 200
    pair = ("sqlite_autoindex_tokens_2", weak["accessor"], strong["accessor"])
    with running(agent):
        for _ in range(4):  # in the cache of whoever answers
            for made in (weak, strong):
                agent.call("GET", "/api/v1/users", token=made["client_token"])
        with mapped(agent.database) as database:
            swap(database, agent.database, *pair)
            assert write(agent).status == 200
            assert agent.call(*REVOKE_SELF, token=weak["client_token"]).status == 503
            await_true(lambda: is_sealed(agent))
            swap(database, agent.database, *pair)
    with running(agent):
        assert "row_tampered" in told(agent)
        assert works(agent, weak["client_token"])
        assert works(agent, strong["client_token"])


def test_an_index_that_leads_to_another_user(agent: Agent) -> None:
    """A key that is made for one of them is never the other's."""
    with running(agent):
        for name, policies in (("first", []), ("ann", []), ("bob", ["root"])):
            user = {"username": name, "policies": policies}
            assert agent.call("POST", "/api/v1/users", user).status in {200, 201}
        assert write(agent).status == 200
    pair = ("sqlite_autoindex_users_2", "ann", "bob")
    with running(agent):
        for _ in range(4):
            agent.call("GET", "/api/v1/users")
        with mapped(agent.database) as database:
            swap(database, agent.database, *pair)
            assert write(agent).status == 200
            made = agent.call("POST", "/api/v1/keys", {"user": "ann", "name": "k"})
            assert made.status == 503, made.body
            await_true(lambda: is_sealed(agent))
            swap(database, agent.database, *pair)
    with running(agent):
        assert "row_tampered" in told(agent)


def hold_back(agent: Agent) -> dict[str, Any]:
    """A token that may do all but read `kept`, by the policy `denying`."""
    allow = {"effect": "allow", "paths": ["secret/*"], "capabilities": ["*"]}
    deny = {"effect": "deny", "paths": ["secret/kept"], "capabilities": ["*"]}
    for name, rule in (("allowing", allow), ("denying", deny)):
        assert agent.call("PUT", f"/api/v1/policies/{name}", {"rules": [rule]}).status == 200
    assert agent.call("POST", "/v1/secret/data/kept", {"data": {"k": "v"}}).status == 200
    return token(agent, "allowing", "denying")


def test_a_denial_that_is_hidden_while_policies_are_read_anew(agent: Agent) -> None:
    """As all do once somebody else has written. It is back at once, past SQLite, as it was.

    Nobody goes on without it; the vault is sealed where it was missed.
    """
    read = ("GET", "/v1/secret/data/kept")
    with running(agent):
        text = hold_back(agent)["client_token"]
        assert agent.call(*read, token=text).status == 403
        with mapped(agent.database) as database:
            database.execute("PRAGMA wal_autocheckpoint=0")
            database.execute("PRAGMA user_version=7")  # for which all forget what they hold
            await_true(lambda: b"foreign_write" in agent.audit_log.read_bytes())
            with restored(agent.database):
                database.execute("DELETE FROM policies WHERE name = 'denying'")
                told_first = {agent.call(*read, token=text).status for _ in range(8)}
        statuses = {agent.call(*read, token=text).status for _ in range(16)}
        assert told_first | statuses <= {403, 503}
    with running(agent):
        assert agent.call(*read, token=text).status == 403


def other(text: str) -> str:
    """Another text of the same length."""
    return ("~" if text[0] != "~" else "!") + text[1:]


def test_a_column_that_was_patched_hides_no_credential(agent: Agent) -> None:
    """Past SQLite, in table and indexes: who disables its user or revokes it is told it failed."""
    with running(agent):
        policies = ["root"]
        user = agent.call("POST", "/api/v1/users", {"username": "ann", "policies": policies}).json
        key = agent.call("POST", "/api/v1/keys", {"user": "ann", "name": "k"}).json["key"]
        made = agent.call("POST", "/v1/auth/token/create", {"ttl": "9h"}, token=key).json["auth"]
    with running(agent):
        assert write(agent).status == 200
        with mapped(agent.database) as database:
            pairs = [(text, other(text)) for text in (user["id"], made["accessor"])]
            row = "SELECT user_id, accessor FROM tokens WHERE user_id = ?"
            assert database.execute(row, [user["id"]]).fetchone() is not None
            tokens = tables_of(database)
            for pair in pairs:
                assert replace(database, agent.database, *pair, pages=tokens)
            assert write(agent).status == 200
            end = ("POST", "/v1/auth/token/revoke-accessor", {"accessor": made["accessor"]})
            assert agent.call(*end).status == 503
            disable = agent.call("PATCH", f"/api/v1/users/{user['id']}", {"status": "disabled"})
            assert disable.status == 503
            await_true(lambda: is_sealed(agent))
            for text, patched in pairs:
                replace(database, agent.database, patched, text, pages=tokens)
    with running(agent):
        assert "row_tampered" in told(agent)


def test_an_accessor_of_no_token(agent: Agent) -> None:
    """That one is told as before."""
    with running(agent):
        ask = {"accessor": "none-of-ours"}
        assert agent.call("POST", "/v1/auth/token/lookup-accessor", ask).status == 400
        revoked = agent.call("POST", "/v1/auth/token/revoke-accessor", ask)
        assert revoked.json["warnings"] == ["No token found with this accessor"]
        assert not is_sealed(agent)
