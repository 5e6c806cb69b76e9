"""Grants: a refusal is lifted for a time, by who may do it themselves, and by nobody else."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.agent import Agent, Answer, dev_agent, own_folder, running
from tests.acceptance.native.test_story import API, ok
from tests.acceptance.patience import until

SECRET = "secret/pay/db"
GRANTS = f"{API}/policies-grants"


@pytest.fixture(scope="module", params=[1, 2], ids=["1 process", "2 workers"])
def agent(request: pytest.FixtureRequest) -> Iterator[Agent]:
    """With secrets, an administrator who may grant, and one who may read nothing."""
    with own_folder() as folder, running(dev_agent(folder, workers=request.param)) as started:
        for name in (SECRET, "secret/pay/other"):
            ok(started, "POST", "secrets", {"name": name, "value": 1})
        granting = {
            "effect": "allow",
            "paths": ["sys/access-grants", "sys/access-grants/*", "sys/policies-explain"],
            "capabilities": ["sudo", "list", "delete", "read"],
        }
        reading = {"effect": "allow", "paths": ["secret/*"], "capabilities": ["read"]}
        ok(started, "PUT", "policies/grants", {"rules": [granting]})
        ok(started, "PUT", "policies/reads", {"rules": [reading]})
        yield started


def token(agent: Agent, *policies: str) -> tuple[str, str]:
    """A token with these policies, and its accessor."""
    made = ok(agent, "POST", "tokens", {"policies": list(policies)})
    return made["token"], made["accessor"]


def read(agent: Agent, who: str, name: str = SECRET) -> Answer:
    """Read a secret."""
    return agent.call("GET", f"{API}/secrets/{name}", token=who)


def refused(agent: Agent, who: str, name: str = SECRET) -> str:
    """The ticket of a refusal."""
    answer = read(agent, who, name)
    assert answer.status == 403
    return str(answer.json["details"]["ticket"])


def grant(agent: Agent, ticket: str, by: str | None = None, **more: Any) -> Answer:
    """Grant what a ticket is about."""
    return agent.call("POST", GRANTS, {"ticket": ticket, **more}, **({"token": by} if by else {}))


def test_a_refusal_is_lifted_for_one_caller_and_one_path(agent: Agent) -> None:
    """In both dialects, and it is on record by which grant; it can be ended at once."""
    job, accessor = token(agent, "default")
    other, _ = token(agent, "default")
    made = grant(agent, refused(agent, job), duration="30m")
    assert made.status == 201
    assert (made.json["credential"], made.json["path"]) == (accessor, SECRET)
    assert read(agent, job).json["value"] == 1
    assert agent.call("GET", "/v1/secret/data/pay/db", token=job).status == 200
    assert read(agent, other).status == 403
    assert read(agent, job, "secret/pay/other").status == 403
    assert agent.call("PUT", f"{API}/secrets/{SECRET}", {"value": 2}, token=job).status == 403
    listed = ok(agent, "GET", "policies-grants")["grants"]
    assert made.json["id"] in [one["id"] for one in listed]
    asked = "audit/events?operation=secret.read&limit=50"
    rule = f"grant:{made.json['id']}"
    until(
        lambda: rule in {one["rule"] for one in ok(agent, "GET", asked)["events"]},
        "the grant is on record",
    )
    assert agent.call("DELETE", f"{GRANTS}/{made.json['id']}").status == 204
    assert read(agent, job).status == 403
    assert agent.call("DELETE", f"{GRANTS}/{made.json['id']}").status == 404


def test_a_grant_ends_by_itself(agent: Agent) -> None:
    """After its time, whoever asks."""
    job, _ = token(agent, "default")
    ticket = refused(agent, job)
    made = grant(agent, ticket, duration="1s")
    assert made.status == 201
    until(lambda: read(agent, job).status == 403, "the grant has ended")
    listed = ok(agent, "GET", "policies-grants")["grants"]
    assert all(one["request_id"] != made.json["request_id"] for one in listed)


def test_nobody_grants_what_they_may_not_do(agent: Agent) -> None:
    """Nor with a right to grant alone, nor with the access alone, nor to make it wider."""
    job, _ = token(agent, "default")
    ticket = refused(agent, job)
    granter, _ = token(agent, "grants")
    reader, _ = token(agent, "reads")
    told = grant(agent, ticket, granter)
    assert (told.status, told.json["code"]) == (403, "grant_exceeds_own")
    assert grant(agent, ticket, reader).json["code"] == "permission_denied"
    assert grant(agent, ticket, job).json["code"] == "permission_denied"
    both, accessor = token(agent, "grants", "reads")
    assert grant(agent, ticket, both).status == 201
    assert read(agent, job).status == 200
    agent.call("DELETE", f"{API}/tokens/{accessor}")
    assert read(agent, job).status == 403


def test_a_grant_lives_from_the_access_of_its_granter(agent: Agent) -> None:
    """What they may not do any more is not granted any more."""
    job, _ = token(agent, "default")
    rule = {"effect": "allow", "paths": ["secret/*"], "capabilities": ["read"]}
    ok(agent, "PUT", "policies/for-now", {"rules": [rule]})
    both, _ = token(agent, "grants", "for-now")
    assert grant(agent, refused(agent, job), both).status == 201
    assert read(agent, job).status == 200
    ok(agent, "PUT", "policies/for-now", {"rules": []})
    assert read(agent, job).status == 403


def test_a_grant_ends_with_the_policies_of_its_granter(agent: Agent) -> None:
    """Who is no administrator any more has granted nothing, with a credential that still stands."""
    job, _ = token(agent, "default")
    held = {"username": "granter", "policies": ["grants", "reads"]}
    user = ok(agent, "POST", "users", held)["id"]
    key = ok(agent, "POST", "keys", {"user": "granter", "name": "granting"})["key"]
    assert grant(agent, refused(agent, job), key).status == 201
    assert read(agent, job).status == 200
    ok(agent, "PATCH", f"users/{user}", {"policies": ["grants"]})
    assert read(agent, job).status == 403
    ok(agent, "PATCH", f"users/{user}", {"policies": ["reads"]})
    assert read(agent, job).status == 200


def test_a_grant_ends_with_what_the_granter_s_entity_had(agent: Agent) -> None:
    """A policy that is taken from them, and a denial that they come to have, end it at once."""
    ok(agent, "POST", "auth/mounts/bosses", {"type": "userpass"})
    vault = "/v1/auth/bosses"
    agent.call("POST", f"{vault}/users/bo", {"password": "pw-of-bo", "token_policies": "grants"})
    done = agent.call("POST", f"{vault}/login/bo", {"password": "pw-of-bo"}, token="").json["auth"]
    entity = f"{API}/entities/{done['entity_id']}"
    denial = {"effect": "deny", "paths": ["secret/pay/*"], "capabilities": ["read"]}
    ok(agent, "PUT", "policies/denied-now", {"rules": [denial]})
    job, _ = token(agent, "default")
    assert agent.call("PATCH", entity, {"policies": ["reads"]}).status == 200
    assert grant(agent, refused(agent, job), done["client_token"]).status == 201
    assert read(agent, job).status == 200
    for now, status in (([], 403), (["reads"], 200), (["reads", "denied-now"], 403)):
        assert agent.call("PATCH", entity, {"policies": now}).status == 200
        assert read(agent, job).status == status, now


def test_a_granted_access_is_not_granted_on(agent: Agent) -> None:
    """It is no access of one's own."""
    granter, _ = token(agent, "grants")
    job, _ = token(agent, "default")
    assert grant(agent, refused(agent, granter)).status == 201
    assert read(agent, granter).status == 200
    assert grant(agent, refused(agent, job), granter).json["code"] == "grant_exceeds_own"


def test_a_grant_lifts_no_denial(agent: Agent) -> None:
    """Neither one that is there, nor one that comes later."""
    denial = {"effect": "deny", "paths": ["secret/pay/*"], "capabilities": ["read"]}
    ok(agent, "PUT", "policies/denies", {"rules": [denial]})
    job, _ = token(agent, "denies")
    told = grant(agent, refused(agent, job))
    assert (told.status, told.json["code"]) == (409, "denied_by_rule")
    ok(agent, "PUT", "policies/later", {"rules": []})
    job, _ = token(agent, "later")
    assert grant(agent, refused(agent, job)).status == 201
    assert read(agent, job).status == 200
    ok(agent, "PUT", "policies/later", {"rules": [denial]})
    assert read(agent, job).status == 403


def test_tickets_for_which_nothing_is_granted(agent: Agent) -> None:
    """Forged, of those who are gone, of the agent's own paths, of lists, of what is allowed."""
    job, accessor = token(agent, "default")
    ticket = refused(agent, job)
    for wrong in ("fdt_none", ticket[:-4], ticket + "A", job):
        assert grant(agent, wrong).json["code"] == "ticket_invalid"
    for duration in ("0s", "25h", "-1h"):
        assert grant(agent, ticket, duration=duration).status == 400
    for path in ("policies/grants", "users", "tokens"):
        denied = agent.call("GET", f"{API}/{path}", token=job).json["details"]["ticket"]
        told = grant(agent, denied)
        assert told.json["code"] in {"grant_path_reserved", "grant_capability_invalid"}, path
    agent.call("DELETE", f"{API}/tokens/{accessor}")
    assert grant(agent, ticket).json["code"] == "grant_subject_gone"
    late, _ = token(agent, "later-reads")
    ticket = refused(agent, late)
    rule = {"effect": "allow", "paths": [SECRET], "capabilities": ["read"]}
    ok(agent, "PUT", "policies/later-reads", {"rules": [rule]})
    assert grant(agent, ticket).json["code"] == "already_allowed"


def test_a_key_that_is_cut_down_stays_so(agent: Agent) -> None:
    """Its permissions are its bound."""
    ok(agent, "POST", "users", {"username": "cut", "policies": ["reads"]})
    permissions = [{"capabilities": ["read"], "paths": ["secret/none"]}]
    key = ok(agent, "POST", "keys", {"user": "cut", "name": "k", "permissions": permissions})
    told = grant(agent, refused(agent, key["key"]))
    assert told.json["code"] == "grant_subject_bounded"


def test_a_grant_is_for_the_person_whose_login_was_refused(agent: Agent) -> None:
    """For their next login too, not for tokens that they make, and not once they are disabled."""
    ok(agent, "POST", "auth/mounts/people", {"type": "userpass"})
    vault = "/v1/auth/people"
    agent.call("POST", f"{vault}/users/ann", {"password": "pw-of-ann"})

    def log_in() -> str:
        done = agent.call("POST", f"{vault}/login/ann", {"password": "pw-of-ann"}, token="")
        return str(done.json["auth"]["client_token"])

    first = log_in()
    made = grant(agent, refused(agent, first))
    assert (made.status, made.json["credential"]) == (201, "")
    second = log_in()
    assert read(agent, second).status == 200
    entity = made.json["subject"]
    assert agent.call("PATCH", f"{API}/entities/{entity}", {"disabled": True}).status == 200
    assert read(agent, second).status in {401, 403}
