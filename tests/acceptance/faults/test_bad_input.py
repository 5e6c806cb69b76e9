"""What no client should send: a clear refusal in both dialects, and nothing of it comes back."""

import json
from collections.abc import Iterator
from typing import Final

import pytest

from tests.acceptance.agent import Agent, Answer
from tests.acceptance.workers.waiting import await_true

CANARY: Final = "CaNaRy17"  # in whatever is sent; it may not come back
LIMIT: Final = 64 << 20  # bytes: over the bound of every body
VALUE: Final = {"kept": "as it was"}

COMPAT, NATIVE = "/v1/secret/data/", "/api/v1/secrets/secret/"
DIALECTS = pytest.mark.parametrize("prefix", [COMPAT, NATIVE], ids=["compat", "native"])

Headers = list[tuple[str, bytes]]


@pytest.fixture(autouse=True)
def unharmed(shared_agent: Agent) -> Iterator[None]:
    """Whatever a test sent: what was kept is still there, and nobody saw a traceback."""
    if shared_agent.call("GET", COMPAT + "kept").status == 404:
        shared_agent.call("POST", COMPAT + "kept", {"data": VALUE})
    yield
    assert shared_agent.call("GET", COMPAT + "kept").json["data"]["data"] == VALUE
    assert "Traceback" not in shared_agent.output()
    assert "failed with" not in shared_agent.output()  # an error that nobody meant to raise
    assert CANARY not in shared_agent.output()


BODIES = {
    "not JSON": b"{",
    "cut": b'{"data": {"a": "%s',
    "not an object": b'["%s"]',
    "null": b"null",
    "text": b'"%s"',
    "not UTF-8": b'{"value": "%s\xff\xfe"}',
    "UTF-16": '{"value": 1}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"value": "%s", "data": {}}',
    "more after it": b'{"value": 1, "data": {}} %s',
    "not a number": b'{"value": NaN, "data": {"a": NaN}}',
    "over a double": b'{"value": 1e999, "data": {"a": 1e999}}',
    "endless digits": b'{"value": %s, "data": {"a": %s}}' % ((b"9" * 5000,) * 2),
    "half a surrogate pair": b'{"value": "\\ud800", "data": {"a": "\\ud800"}}',
    "a bare NUL": b'{"value": "\x00", "data": {"a": "\x00"}}',
    "deep": b"[" * 100_000,
    "deep object": b'{"value": %s, "data": %s}' % ((b'{"a":' * 40 + b"1" + b"}" * 40,) * 2),
    "many strings": b'{"value": [%s], "data": {"a": [%s]}}' % ((b'"",' * 20_000 + b"1",) * 2),
    "wrong version": b'{"value": 1, "cas": "%s", "options": {"cas": "%s"}, "data": {}}',
    "wrong types": b'{"value": 1, "tags": {"%s": 1}, "data": ["%s"]}',
}


@DIALECTS
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_bad_body_is_refused(shared_agent: Agent, prefix: str, body: bytes) -> None:
    """A body that is not what it should be is a 4xx that names the fault and not the content."""
    method = "POST" if prefix == COMPAT else "PUT"
    sent = body.replace(b"%s", CANARY.encode())
    need_refused(shared_agent.call(method, prefix + "kept", sent), 400)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": 5, "value": CANARY},
        {"name": "secret/new"},
        {"name": "secret/new", "value": 1, "unknown": CANARY},
        {"name": "secret/new", "value": 1, "tags": CANARY},
        {"name": "secret/new", "value": 1, "metadata": {CANARY: 5}},
        {"name": "secret/new", "value": 1, "expires_at": CANARY},
        {"name": f"../{CANARY}", "value": 1},
        {"name": f"secret/{CANARY}\0", "value": 1},
        {"name": f"sys/{CANARY}", "value": 1},
    ],
    ids="-".join,
)
def test_a_wrong_field_is_named(shared_agent: Agent, fields: dict[str, object]) -> None:
    """The native dialect refuses unknown, missing and mistyped fields, without their values."""
    need_refused(shared_agent.call("POST", "/api/v1/secrets", fields), 400)


@DIALECTS
@pytest.mark.parametrize("kind", ["declared", "chunked"])
def test_a_huge_body_is_refused_early(shared_agent: Agent, prefix: str, kind: str) -> None:
    """413, before more than the bound was read, and the memory stays bounded."""
    before = shared_agent.resident()
    piece = CANARY.encode() * (1 << 13)  # 64 KiB
    if kind == "declared":
        headers: Headers = [("Content-Length", b"%d" % LIMIT)]
        body = piece * (LIMIT // len(piece))
    else:
        headers = [("Transfer-Encoding", b"chunked")]
        body = (b"%x\r\n%s\r\n" % (len(piece), piece)) * (LIMIT // len(piece)) + b"0\r\n\r\n"
    method = b"POST" if prefix == COMPAT else b"PUT"
    need_refused(send(shared_agent, method, prefix.encode() + b"kept", body, headers), 413)
    assert shared_agent.resident() - before < 128 << 20


PATHS = {
    "parent": b"a/../kept",
    "escaped parent": b"a/%2e%2e/kept",
    "out": b"../../sys/seal",
    "here": b"./kept",
    "double slash": b"a//kept",
    "NUL": b"a%00kept",
    "escaped slash": b"a%2fkept",
    "escaped slash in capitals": b"a%2Fkept",
    "escaped backslash": b"a%5ckept",
    "backslash": b"a\\kept",
    "line break": b"a%0d%0aX-Injected:1",
    "trailing space": b"kept%20",
    "right to left": b"%E2%80%AEkept",
    "zero width": b"ke%E2%80%8Bpt",
    "NFD": b"e%CC%81",
    "NFC and NFD": b"%C3%A9/e%CC%81",
    "not UTF-8": b"%FF%FE",
    "overlong slash": b"a%C0%AFkept",
    "surrogate": b"%ED%A0%80",
    "broken escape": b"kept%",
    "no hex": b"kept%zz",
    "bare UTF-8": "é".encode(),
    "fragment": b"kept#x",
    "many segments": b"x/" * 40 + b"x",
    "over 512 bytes": b"x" * 600,
    "10 kB": b"x" * 10_240,
    "20 kB": b"x" * 20_480,
}


@DIALECTS
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_path_with_two_spellings_is_refused(
    shared_agent: Agent, prefix: str, path: bytes
) -> None:
    """No path is repaired: what is not canonical is 400 (414 when too long), to read and write."""
    for method in (b"GET", b"POST" if prefix == COMPAT else b"PUT"):
        whole = prefix.encode() + path
        body = b'{"data": {"a": 1}}' if prefix == COMPAT else b'{"value": 1}'
        need_refused(send(shared_agent, method, whole, body), 414 if len(path) > 16_384 else 400)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"//v1/secret/data/kept", 404),
        (b"/v1//secret/data/kept", 400),
        (b"/V1/secret/data/kept", 404),
        (b"*", 400),
        (b"http://elsewhere/v1/secret/data/kept", 421),
        (b"/%s", 404),
        (b"/api/v1/%s", 404),
        (b"/api/v1/secrets?status=%s", 400),
        (b"/api/v1/secrets?limit=%s", 400),
        (b"/api/v1/secrets?cursor=%s", 400),
        (b"/api/v1/secrets?prefix=../%s", 400),
        (b"/api/v1/secrets?metadata=%s", 400),
        (b"/api/v1/secrets?expiring_before=%s", 400),
        (b"/api/v1/secrets/secret/kept?version=%s", 400),
        (b"/v1/secret/data/kept?version=%s", 400),
        (b"/v1/secret/data/kept?list=%s", 400),
        (b"/v1/secret/data/kept?version=1&version=1", 400),
        (b"/v1/sys/health?standbycode=1&standbycode=%s", 400),
    ],
)
def test_a_target_that_leads_nowhere_is_told(
    shared_agent: Agent, target: bytes, status: int
) -> None:
    """Unknown routes are 404, bad queries 400, and a host that is not this one is 421."""
    need_refused(send(shared_agent, b"GET", target.replace(b"%s", CANARY.encode())), status)


@DIALECTS
@pytest.mark.parametrize("method", [CANARY, "get", "TRACE", "OPTIONS"])
def test_a_wrong_method_is_told(shared_agent: Agent, prefix: str, method: str) -> None:
    """405 on a path that takes others."""
    need_refused(send(shared_agent, method.encode(), prefix.encode() + b"kept"), 405)


def test_credentials_that_do_not_count_are_one_refusal(shared_agent: Agent) -> None:
    """Unknown, malformed, expired, revoked, used up and foreign: the same words, no hint which."""
    ended = [
        CANARY,
        f"s.{CANARY}{'a' * 51}",
        "fh_aaaaaaaaaaaaaaaa_" + "b" * 43 + "_00000000",
        "x" * 9000,
        "ROOT-OF-THE-TEST",
        _token(shared_agent, ttl="1s"),
        _token(shared_agent, num_uses=1),
        _token(shared_agent),
    ]
    assert shared_agent.call("GET", COMPAT + "none", token=ended[-2]).status == 404  # its one use
    revoked = shared_agent.call("POST", "/v1/auth/token/revoke", {"token": ended[-1]})
    assert revoked.status == 204
    expired = ended[-3]
    itself = "/v1/auth/token/lookup-self"
    await_true(lambda: shared_agent.call("GET", itself, token=expired).status != 200)
    for header in ("X-Vault-Token", "Authorization"):
        scheme = "Bearer " if header == "Authorization" else ""
        for prefix, status in ((COMPAT, 403), (NATIVE, 401)):
            told = set()
            for token in ended:
                if token.endswith(" ") and scheme:
                    continue  # RFC 9110: the space around a field is no part of it
                answer = send(
                    shared_agent,
                    b"GET",
                    prefix.encode() + b"kept",
                    headers=[(header, (scheme + token).encode())],
                    token="",
                )
                need_refused(answer, status)
                told.add(_words(answer))
            assert len(told) == 1


def _token(agent: Agent, **more: object) -> str:
    """A token that may do everything, for as long as it counts."""
    made = agent.call("POST", "/v1/auth/token/create", {"policies": ["root"], "ttl": "1h", **more})
    text: str = made.json["auth"]["client_token"]
    return text


HEADERS: dict[str, tuple[Headers, int]] = {
    "over the bound": ([("X-Long", CANARY.encode() * 10_000)], 431),
    "too many": ([(f"X-{n}", CANARY.encode()) for n in range(300)], 431),
    "space in a name": ([("X A", CANARY.encode())], 400),
    "NUL": ([("X-A", b"a\0b")], 400),
    "folded": ([("X-A", b"a\r\n b")], 400),
    "bare line feed": ([("X-A", b"a\nX-B: b")], 400),
    "length and chunks": ([("Transfer-Encoding", b"chunked"), ("Content-Length", b"3")], 400),
    "two lengths": ([("Content-Length", b"1"), ("Content-Length", b"2")], 400),
    "negative length": ([("Content-Length", b"-1")], 400),
    "length of words": ([("Content-Length", CANARY.encode())], 400),
    "length of 400 digits": ([("Content-Length", b"9" * 400)], 400),
    "other coding": ([("Transfer-Encoding", CANARY.encode())], 501),  # RFC 9112 section 6.1
    "expects": ([("Expect", CANARY.encode())], 417),
    "second host": ([("Host", CANARY.encode())], 400),
}


@DIALECTS
@pytest.mark.parametrize(("headers", "status"), HEADERS.values(), ids=HEADERS)
def test_bad_headers_are_refused(
    shared_agent: Agent, prefix: str, headers: Headers, status: int
) -> None:
    """What could be read in two ways, and what is too much, is refused before any dialect."""
    answer = send(shared_agent, b"GET", prefix.encode() + b"kept", None, headers)
    need_refused(answer, status)
    need_both_forms(answer)


@pytest.mark.parametrize(
    "body", [b"%s\r\n", b"FFFFFFFFFFFFFFFFF\r\nabc", b"-1\r\nabc", b"3\r\nabcdef\r\n"]
)
def test_bad_chunks_are_refused(shared_agent: Agent, body: bytes) -> None:
    """A chunk size is a short hexadecimal number, and the chunk is as long."""
    sent = body.replace(b"%s", CANARY.encode())
    headers: Headers = [("Transfer-Encoding", b"chunked")]
    need_refused(send(shared_agent, b"POST", b"/v1/secret/data/kept", sent, headers), 400)


def need_refused(answer: Answer, status: int) -> None:
    """The refusal is as expected, typed or in the Vault form, and holds nothing that was sent."""
    assert answer.status == status, answer
    assert CANARY.encode() not in answer.body
    assert CANARY not in json.dumps(answer.headers)
    told = json.loads(answer.body)
    if "errors" in told:
        assert all(isinstance(line, str) for line in told["errors"])
    if told.keys() != {"errors"}:
        assert {"type", "code", "message", "request_id", "timestamp"} <= told.keys()
        assert told["request_id"] == answer.request_id


def need_both_forms(answer: Answer) -> None:
    """The server itself does not know whose the request was: both dialects read the refusal."""
    told = json.loads(answer.body)
    assert told["errors"] == [told["message"]]
    assert told["request_id"] == answer.request_id
    assert answer.headers["cache-control"] == "no-store"


def _words(answer: Answer) -> str:
    told = json.loads(answer.body)
    return json.dumps({k: v for k, v in told.items() if k not in {"request_id", "timestamp"}})


def send(
    agent: Agent,
    method: bytes,
    target: bytes,
    body: bytes | None = b"",
    headers: Headers | None = None,
    *,
    token: str | None = None,
) -> Answer:
    """One request, byte for byte; no body is for headers that say themselves how long it is."""
    headers = headers or []
    lines = [(name.encode(), value) for name, value in headers]
    lines += [(b"Host", b"localhost"), (b"Connection", b"close")]
    if secret := agent.token if token is None else token:
        lines.append((b"X-Vault-Token", secret.encode()))
    if body is not None and not {"Content-Length", "Transfer-Encoding"} & dict(headers).keys():
        lines.append((b"Content-Length", b"%d" % len(body)))
    head = b"".join(b"%s: %s\r\n" % line for line in lines)
    return agent.exchange(b"%s %s HTTP/1.1\r\n%s\r\n%s" % (method, target, head, body or b""))
