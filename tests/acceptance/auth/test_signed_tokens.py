"""A token of a trusted issuer is a credential: no login, no token, no lease."""

from collections.abc import Iterator

import pytest

from loadtests import signed_tokens
from tests.acceptance.agent import Agent, own_folder, served_agent
from tests.acceptance.auth.signed import claims, ok, policy, trusting_agent, trusting_config
from tests.support.identity_source import GONE, SigningKey

KEY, FOREIGN = SigningKey(), SigningKey()
JOBS = 100


@pytest.fixture(scope="module", params=[1, 2], ids=["1 worker", "2 workers"])
def agent(request: pytest.FixtureRequest) -> Iterator[Agent]:
    """That trusts the issuer of `KEY`."""
    with own_folder() as folder, trusting_agent(folder, KEY, workers=request.param) as made:
        yield made


def status(agent: Agent, token: str, path: str = "secret/data/app/a", method: str = "GET") -> int:
    """Of a call with a token."""
    body = {"data": {"x": 3}} if method == "POST" else None
    return agent.call(method, f"/v1/{path}", body, token=token).status


def test_what_policies_and_ceiling_both_allow(agent: Agent) -> None:
    """In both dialects, by either header; the issuer's policies within its ceiling."""
    token = KEY.sign(claims())
    assert status(agent, token) == 200
    assert status(agent, token, method="POST") == 403  # the ceiling is for reading
    assert status(agent, token, "secret/data/other") == 403  # the policies are for app/
    answer = agent.call("GET", "/v1/secret/data/app/a", headers={"X-Vault-Token": token}, token="")
    assert answer.status == 200
    assert agent.call("GET", "/api/v1/secrets/secret/app/a", token=token).status == 200


def test_jobs_leave_nothing() -> None:
    """Not a token, a lease, an entity, an entry, or a count of uses: as the load test has it."""
    signer = signed_tokens.Signer()
    with own_folder() as folder, signed_tokens.trusting_agent(folder, signer) as made:
        done = signed_tokens.run_jobs(made, signer, JOBS)
    assert done.left == dict.fromkeys(signed_tokens.TABLES, 0)


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://other.example"}, {"iss": GONE}, {"aud": "other"}, {"aud": GONE},
        {"exp": GONE}, {"exp": 1}, {"nbf": 1 << 35}, {"sub": GONE}, {"sub": 5}, {"exp": 1 << 35},
    ],
)  # fmt: skip
def test_a_token_that_says_something_else(agent: Agent, changed: dict[str, object]) -> None:
    """Each claim missing or wrong, and one that lives for too long."""
    assert status(agent, KEY.sign(claims(**changed))) == 403


def test_tricks(agent: Agent) -> None:
    """Another key under the same id, a changed payload, no signature, a session's cookie."""
    token = KEY.sign(claims())
    head, payload, signature = token.split(".")
    other = KEY.sign(claims(sub="root")).split(".")[1]
    for text in (
        FOREIGN.sign(claims()), f"{head}.{other}.{signature}", f"{head}.{payload}.", f"{token}x",
        f"{token}.", KEY.sign(claims(), jwk=FOREIGN.jwk()), KEY.sign(claims(), crit=["x"], x=1),
    ):  # fmt: skip
        assert status(agent, text) == 403
        assert status(agent, token) == 200


def test_it_looks_itself_up_and_makes_nothing(agent: Agent) -> None:
    """What clients ask of a token; it is not renewed and makes neither tokens nor keys."""
    policy(agent, "make", "auth/token/*", "create", "update", "sudo")
    told = claims()
    token = KEY.sign(told)
    seen = ok(agent, "GET", "auth/token/lookup-self", token=token)["data"]
    assert seen["meta"] == {"issuer": "ci", "subject": told["sub"]}
    assert seen["policies"] == ["app", "default"]
    assert not seen["renewable"]
    assert 0 < seen["ttl"] <= 300
    assert status(agent, token, "auth/token/create", "POST") == 403
    assert status(agent, token, "auth/token/renew-self", "POST") in {400, 403}


def test_revocation(agent: Agent) -> None:
    """By its own id, and of a subject up to now; other tokens stay."""
    told = claims(sub="project:left")
    first, second = KEY.sign(told), KEY.sign(claims(sub="project:left"))
    for token in (first, second):
        assert status(agent, token) == 200
    body = {"issuer": "ci", "token_id": told["jti"]}
    made = agent.call("POST", "/api/v1/jwt/revocations", body)
    assert made.status == 201, made.body
    assert (status(agent, first), status(agent, second)) == (403, 200)
    listed = agent.call("GET", "/api/v1/jwt/revocations?issuer=ci").json
    assert told["jti"] in [each["value"] for each in listed["revocations"]]
    body = {"issuer": "ci", "subject": "project:left"}
    assert agent.call("POST", "/api/v1/jwt/revocations", body).status == 201
    assert (status(agent, second), status(agent, KEY.sign(claims()))) == (403, 200)
    for wrong in ({"issuer": "ci"}, {"issuer": "ci", "token_id": "a", "subject": "b"}):
        assert agent.call("POST", "/api/v1/jwt/revocations", wrong).status == 400
    assert agent.call("POST", "/api/v1/jwt/revocations", {**body, "issuer": "x"}).status == 404


def test_without_the_mount_of_its_aliases_no_token_counts(agent: Agent) -> None:
    """Else a move of it would let in whom it keeps out: an entity that is disabled, or denied."""
    told = claims(sub="project:out")
    token = KEY.sign(told)
    accessor = ok(agent, "GET", "sys/auth")["data"]["jobs/"]["accessor"]
    entity = ok(agent, "POST", "identity/entity", {"name": "out"})["data"]["id"]
    alias = {"name": "project:out", "canonical_id": entity, "mount_accessor": accessor}
    ok(agent, "POST", "identity/entity-alias", alias)
    assert status(agent, token) == 200
    ok(agent, "POST", f"identity/entity/id/{entity}", {"disabled": True})
    assert status(agent, token) == 403
    ok(agent, "POST", "sys/remount", {"from": "auth/jobs", "to": "auth/away"})
    assert (status(agent, token), status(agent, KEY.sign(claims()))) == (403, 403)
    ok(agent, "POST", "sys/remount", {"from": "auth/away", "to": "auth/jobs"})
    assert (status(agent, token), status(agent, KEY.sign(claims()))) == (403, 200)


def test_a_job_ends_its_own_token(agent: Agent) -> None:
    """As with any token; without an id it has to wait for its end."""
    token, nameless = KEY.sign(claims()), KEY.sign(claims(jti=GONE))
    assert status(agent, token) == 200
    assert agent.call("POST", "/v1/auth/token/revoke-self", token=token).status == 204
    assert status(agent, token) == 403
    assert status(agent, nameless) == 200
    assert agent.call("POST", "/v1/auth/token/revoke-self", token=nameless).status == 400
    assert status(agent, nameless) == 200


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"jwks_file": "/nonexistent/keys"}, "cannot be read"),
        ({"algorithms": ["HS256"]}, "algorithms"),
        ({"ceiling": []}, "ceiling"),
        ({"policies": ["root"]}, "root"),
        ({"max_lifetime": "1s"}, "max_lifetime"),
        ({"leeway": "2m"}, "leeway"),
        ({"jwks_file": None, "jwks_url": "http://idp.example/keys"}, "https"),
    ],
)
def test_settings_that_cannot_be(changed: dict[str, object], word: str) -> None:
    """An issuer that is not usable is refused at the start, by the name of its key."""
    with own_folder() as folder:
        made = served_agent(folder, trusting_config(folder, KEY, **changed))
        assert word in made.refused_start()
