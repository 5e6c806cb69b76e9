"""Wrapped answers and cubbyholes: the same requests to OpenBao and to Freehold."""

import threading
from collections.abc import Callable
from typing import Any

from tests.acceptance.compat.calls import Call, answers_of, ask
from tests.acceptance.compat.conftest import Both

RACING = 100


WRAP = {"w": "wrap_info.token", "a": "wrap_info.accessor"}
POLICY = """path "MOUNT/data/*" {
  capabilities = ["read"]
  min_wrapping_ttl = "30s"
  max_wrapping_ttl = "2m"
}"""
CALLS = [
    Call("POST", "sys/wrapping/wrap", {"a": 1, "b": {"c": [1.5, None]}}, "60s", keep=WRAP),
    Call("POST", "sys/wrapping/lookup", {"token": "{w}"}),
    Call("POST", "sys/wrapping/lookup", {"token": "{w}"}, token=""),
    Call("GET", "sys/wrapping/lookup", token="{w}"),
    Call("POST", "sys/wrapping/unwrap", {"token": "{w}"}),
    Call("POST", "sys/wrapping/unwrap", {"token": "{w}"}),
    Call("POST", "sys/wrapping/lookup", {"token": "{w}"}),
    Call("POST", "sys/wrapping/unwrap", token="{w}"),
    Call("POST", "sys/wrapping/wrap", {"a": 1}, "60", keep=WRAP),
    Call("POST", "sys/wrapping/unwrap", token="{w}"),
    Call("POST", "sys/wrapping/wrap", {"a": 1}),
    Call("POST", "MOUNT/data/w", {"data": {"k": "v"}}),
    Call("GET", "MOUNT/data/w", ttl="1m", keep=WRAP),
    Call("POST", "sys/wrapping/rewrap", {"token": "{w}"}, keep={"new": "wrap_info.token"}),
    Call("POST", "sys/wrapping/unwrap", {"token": "{w}"}),
    Call("POST", "sys/wrapping/lookup", {"token": "{new}"}),
    Call("POST", "sys/wrapping/unwrap", {"token": "{new}"}),
    Call("POST", "sys/auth/MOUNT", {"type": "userpass"}),
    Call("POST", "auth/MOUNT/users/al", {"password": "p"}),
    Call("POST", "auth/MOUNT/login/al", {"password": "p"}, "1m", token="", keep=WRAP),
    Call("POST", "sys/wrapping/unwrap", token="{w}", keep={"in": "auth.client_token"}),
    Call("GET", "auth/token/lookup-self", token="{in}"),
    Call("GET", "MOUNT/data/none", ttl="1m"),
    Call("DELETE", "MOUNT/data/w", ttl="1m"),
    Call("POST", "auth/token/create", {"policies": ["default"]}, "1m", keep=WRAP),
    Call("POST", "sys/wrapping/unwrap", token="{w}", keep={"made": "auth.client_token"}),
    Call("GET", "auth/token/lookup-self", token="{made}"),
    Call("POST", "sys/wrapping/wrap", {"own": "x"}, "1m", token="{made}", keep=WRAP),
    Call("POST", "sys/wrapping/unwrap", {"token": "{w}"}, token="{made}"),
    Call("POST", "sys/wrapping/wrap", {"own": "x"}, "1m", keep=WRAP),
    Call("POST", "auth/token/revoke-accessor", {"accessor": "{a}"}),
    Call("POST", "sys/wrapping/unwrap", {"token": "{w}"}),
    Call("POST", "sys/wrapping/unwrap", {"token": "{made}"}),
    Call("POST", "sys/wrapping/unwrap", {"token": "s.nobody"}),
    Call("PUT", "sys/policies/acl/MOUNT", {"policy": POLICY}),
    Call("POST", "auth/token/create", {"policies": ["MOUNT"]}, keep={"held": "auth.client_token"}),
    Call("POST", "MOUNT/data/h", {"data": {"k": "v"}}),
    Call("GET", "MOUNT/data/h", token="{held}"),
    Call("GET", "MOUNT/data/h", ttl="20s", token="{held}"),
    Call("GET", "MOUNT/data/h", ttl="1m", token="{held}", keep=WRAP),
    Call("POST", "sys/wrapping/unwrap", token="{w}"),
    Call("GET", "MOUNT/data/h", ttl="1h", token="{held}"),
    Call("GET", "cubbyhole/a", token="{made}"),
    Call("LIST", "cubbyhole/", token="{made}"),
    Call("POST", "cubbyhole/a", {"x": 12, "y": "z"}, token="{made}"),
    Call("PUT", "cubbyhole/b/c", {"x": True}, token="{made}"),
    Call("GET", "cubbyhole/a", token="{made}"),
    Call("GET", "cubbyhole/a"),
    Call("LIST", "cubbyhole/", token="{made}"),
    Call("LIST", "cubbyhole/b", token="{made}"),
    Call("DELETE", "cubbyhole/a", token="{made}"),
    Call("DELETE", "cubbyhole/a", token="{made}"),
    Call("GET", "cubbyhole/a", token="{made}"),
]


def test_wrapping(both: Both, once: Callable[[str, Callable[[], Any]], Any]) -> None:
    """Each request is answered with the same status and the same body."""
    openbao, freehold = both
    expected = once("wrapping", lambda: answers_of(openbao, "wrapping", CALLS))
    pairs = zip(CALLS, expected, answers_of(freehold, "wrapping", CALLS), strict=True)
    different = [(n, c, a, b) for n, (c, a, b) in enumerate(pairs) if a != b]
    assert not different, "\n".join(f"{n} {c}:\n  {a}\n  {b}" for n, c, a, b in different)


def test_one_of_many_who_unwrap_at_once_gets_the_answer(both: Both) -> None:
    """The others are told that there is no such token, whichever process they came to."""
    server, kept = both[1], {"root": both[1].token}
    wrap = Call("POST", "sys/wrapping/wrap", {"once": "only"}, "60s")
    kept["w"] = ask(server, wrap, kept)[1]["wrap_info"]["token"]
    answers: list[tuple[int, Any]] = []
    ways = [
        Call("POST", "sys/wrapping/unwrap", {"token": "{w}"}),
        Call("POST", "sys/wrapping/unwrap", token="{w}"),
        Call("POST", "sys/wrapping/rewrap", {"token": "{w}"}),
    ]
    racing = [
        threading.Thread(target=lambda n=n: answers.append(ask(server, ways[n % 3], kept)))
        for n in range(RACING)
    ]
    for one in racing:
        one.start()
    for one in racing:
        one.join()
    assert sorted(status for status, _ in answers) == [200] + [400] * (RACING - 1)
    refused = {"errors": ["wrapping token is not valid or does not exist"]}
    assert all(body == refused for status, body in answers if status != 200)


def test_a_wrapping_token_is_good_for_nothing_else(both: Both) -> None:
    """OpenBao's is used up by an attempt; here the answer still waits for its owner."""
    server, kept = both[1], {"root": both[1].token}
    policy = {"policy": 'path "*" { capabilities = ["read", "update", "list"] }'}
    name = "sys/policies/acl/response-wrapping"
    assert ask(server, Call("PUT", name, policy), kept)[0] == 204
    wrap = Call("POST", "sys/wrapping/wrap", {"k": "v"}, "60s")
    kept["w"] = ask(server, wrap, kept)[1]["wrap_info"]["token"]
    for method, path in (
        ("GET", "auth/token/lookup-self"),
        ("GET", "cubbyhole/response"),
        ("GET", "sys/mounts"),
        ("POST", "auth/token/create"),
        ("POST", "auth/token/revoke-self"),
    ):
        body = {} if method == "POST" else None
        assert ask(server, Call(method, path, body, token="{w}"), kept)[0] == 403, path
    found = ask(server, Call("POST", "sys/wrapping/unwrap", token="{w}"), kept)
    assert (found[0], found[1]["data"]) == (200, {"k": "v"})
    assert ask(server, Call("DELETE", name), kept)[0] == 204


def test_a_cubbyhole_has_bounds(both: Both) -> None:
    """A token may not fill the store, and an empty body is the caller's fault."""
    server, kept = both[1], {"root": both[1].token}
    made = ask(server, Call("POST", "auth/token/create", {"policies": ["default"]}), kept)[1]
    kept["t"] = made["auth"]["client_token"]
    empty = ask(server, Call("POST", "cubbyhole/a", {}, token="{t}"), kept)
    assert empty == (400, {"errors": ["missing data fields"]})
    large = Call("POST", "cubbyhole/large", {"x": "y" * 600_000}, token="{t}")
    assert ask(server, large, kept)[0] == 204
    again = Call("POST", "cubbyhole/other", {"x": "y" * 600_000}, token="{t}")
    status, body = ask(server, again, kept)
    assert (status, body["errors"]) == (413, ["a token keeps at most 1048576 bytes in all"])
    assert ask(server, large, kept)[0] == 204  # in place of itself


def test_a_wrapping_ttl_that_is_too_long_is_refused_before_anything_is_done(both: Both) -> None:
    """A token that nobody is given would be left behind."""
    server, kept = both[1], {"root": both[1].token}
    accessors = Call("LIST", "auth/token/accessors")
    before = ask(server, accessors, kept)[1]["data"]["keys"]
    create = Call("POST", "auth/token/create", {"policies": ["default"]}, "769h")
    assert ask(server, create, kept)[0] == 400
    assert set(ask(server, accessors, kept)[1]["data"]["keys"]) <= set(before)
