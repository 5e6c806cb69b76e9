"""Whatever a caller with a valid token sends that is no operation leaves one record.

Who holds a stolen token could otherwise try out unseen what an agent answers to it. `actor` says
under whom the record is: `CALLER`, where the request's head is sound, and `ANONYMOUS`, where it is
not, so that no credential in it is trusted.
"""

import json
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import trustme
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset

from loadtests.agent_process import await_open
from tests.acceptance.agent import PATIENCE, Agent, own_folder, running, served_agent
from tests.acceptance.native.test_story import API, ok
from tests.acceptance.workers.waiting import await_true

CALLER: Final = "caller"
ANONYMOUS: Final = "anonymous"
MIB: Final = 1 << 20
TOKEN: Final = b"{token}"  # in a header's value: the token

Headers = Sequence[tuple[bytes, bytes]]


class Case(NamedTuple):
    """A request, its answer's status, and under whom it is on record."""

    method: str
    target: str
    status: int
    actor: str = CALLER
    headers: Headers = ()
    body: bytes | None = None
    token: bool = True  # in `X-Vault-Token`


KV = "/v1/secret/data/x"
SECRETS = f"{API}/secrets"
UPGRADE: Headers = [
    (b"upgrade", b"websocket"),
    (b"connection", b"upgrade"),
    (b"sec-websocket-version", b"13"),
]
MERGE: Headers = [(b"content-type", b"application/merge-patch+json")]

BOTH: dict[str, Case] = {
    # Paths
    "not UTF-8": Case("GET", "/v1/secret/data/%ff", 400),
    "not UTF-8, native": Case("GET", f"{SECRETS}/%c0%af", 400),
    "not UTF-8, of no dialect": Case("GET", "/%ff", 400),
    "a broken escape": Case("GET", "/v1/secret/data/%zz", 400),
    "half an escape": Case("GET", f"{SECRETS}/a%2", 400),
    "an escaped slash": Case("GET", f"{SECRETS}/a%2fb", 400),
    "an escaped NUL": Case("GET", "/v1/secret/data/a%00b", 400),
    "an empty part": Case("GET", f"{SECRETS}/a//b", 400),
    "of no dialect": Case("GET", "/foo", 404),
    "of no dialect, a change": Case("POST", "/foo", 404, body=b"{}"),
    "of no dialect, and large": Case("POST", "/foo", 413, body=b" " * 4096),
    "of no dialect, asked twice": Case("GET", "/foo?a=1&a=2", 400),
    "the root, as a program": Case("DELETE", "/", 404),
    "a dialect's name alone": Case("GET", "/v1", 404),
    "a dialect that is none": Case("GET", "/api/v2/secrets", 404),
    "the server": Case("OPTIONS", "*", 404),
    "no such route": Case("GET", f"{API}/nothing", 404),
    "no such route of Vault's": Case("GET", "/v1/sys/nothing", 404),
    "no such route of a mount": Case("GET", "/v1/secret/zzz/x", 404),
    "no mount": Case("GET", "/v1/nowhere/x", 404),
    # Methods
    "no such method": Case("BREW", KV, 405),
    "no such method, native": Case("BREW", SECRETS, 405),
    "no such method, of no dialect": Case("TRACE", "/foo", 404),
    "a wrong method": Case("PUT", f"{API}/users", 405, body=b"{}"),
    "a wrong method at health": Case("POST", "/health/live", 405),
    "a wrong method at metrics": Case("DELETE", "/metrics", 405),
    "a wrong method at Vault's health": Case("DELETE", "/v1/sys/health", 405),
    # Queries
    "a query twice": Case("GET", f"{KV}?a=1&a=2", 400),
    "a query twice at health": Case("GET", "/health/ready?a=1&a=2", 400),
    "a query twice at seal-status": Case("GET", "/v1/sys/seal-status?a=1&a=2", 400),
    "a query that is not UTF-8": Case("GET", f"{SECRETS}?prefix=%ff", 400),
    "a query that is unknown": Case("GET", f"{SECRETS}?zzz=1", 400),
    "a query that is unknown, in public": Case("GET", f"{API}/openapi.json?zzz=1", 400),
    "a list perhaps": Case("GET", f"{KV}?list=perhaps", 400),
    # Bodies
    "no JSON": Case("POST", KV, 400, body=b"{"),
    "no JSON, native": Case("POST", SECRETS, 400, body=b"{"),
    "not UTF-8 in a body": Case("POST", SECRETS, 400, body=b'{"name": "\xff"}'),
    "an unknown field": Case("POST", SECRETS, 400, body=b'{"nonsense": 1}'),
    "no body": Case("POST", f"{API}/users", 400),
    "a deep body": Case("POST", KV, 400, body=b"[" * 50_000),
    "a large body": Case("POST", SECRETS, 413, body=b" " * (2 * MIB + 1)),
    "a huge body": Case("POST", SECRETS, 413, ANONYMOUS, [(b"content-length", b"99999999")]),
    "another media type": Case("PATCH", f"{SECRETS}/a", 415, body=b"{}"),
    "a patch of nothing": Case("PATCH", KV, 400, headers=MERGE, body=b"{"),
    "an init that is no JSON": Case("PUT", "/v1/sys/init", 400, body=b"{"),
    "an init with a wrong number": Case(
        "PUT", "/v1/sys/init", 400, body=b'{"secret_shares": "many"}'
    ),
    "a second init": Case("PUT", "/v1/sys/init", 400, body=b'{"secret_shares": 1}'),
    "an unseal that is no JSON": Case("PUT", "/v1/sys/unseal", 400, body=b"{"),
    "an unseal without a share": Case("PUT", "/v1/sys/unseal", 400, body=b"{}"),
    "an unseal with no share": Case("PUT", "/v1/sys/unseal", 400, body=b'{"key": "%%"}'),
    "an unseal to begin anew": Case("PUT", "/v1/sys/unseal", 400, body=b'{"reset": true}'),
    "a root token that is no JSON": Case("PUT", "/v1/sys/generate-root/update", 400, body=b"{"),
    "a root token by PGP": Case(
        "PUT", "/v1/sys/generate-root/attempt", 400, body=b'{"pgp_key": "x"}'
    ),
    # Headers
    "another namespace": Case("GET", KV, 404, headers=[(b"x-vault-namespace", b"other")]),
    "wrapping": Case("GET", KV, 400, headers=[(b"x-vault-wrap-ttl", b"soon")]),
    "a content type twice": Case(
        "POST", KV, 400, headers=[(b"content-type", b"a/b"), (b"content-type", b"c/d")], body=b"{}"
    ),
    "a namespace twice": Case("GET", KV, 400, headers=[(b"x-vault-namespace", b"root")] * 2),
    "a token twice": Case("GET", KV, 400, ANONYMOUS, [(b"x-vault-token", TOKEN)]),
    "two tokens": Case("GET", KV, 400, ANONYMOUS, [(b"x-vault-token", b"other")]),
    "two tokens, native": Case("GET", SECRETS, 400, ANONYMOUS, [(b"x-vault-token", b"other")]),
    "two tokens, of no dialect": Case("GET", "/foo", 400, ANONYMOUS, [(b"x-vault-token", TOKEN)]),
    "two tokens at health": Case(
        "GET", "/health/live", 400, ANONYMOUS, [(b"x-vault-token", TOKEN)]
    ),
    "two bearers": Case(
        "GET",
        SECRETS,
        400,
        ANONYMOUS,
        [(b"authorization", b"Bearer " + TOKEN), (b"authorization", b"Bearer other")],
        token=False,
    ),
    "a token and another bearer": Case(
        "GET", KV, 404, headers=[(b"authorization", b"Bearer other")]
    ),
    "a bearer and another token": Case(
        "GET",
        f"{API}/users",
        401,
        ANONYMOUS,
        [(b"x-vault-token", b"other"), (b"authorization", b"Bearer " + TOKEN)],
        token=False,
    ),
    "a scheme that is none": Case(
        "GET", f"{API}/users", 401, ANONYMOUS, [(b"authorization", b"Basic " + TOKEN)], token=False
    ),
    "another site's init": Case(
        "PUT", "/v1/sys/init", 403, headers=[(b"sec-fetch-site", b"cross-site")], body=b"{}"
    ),
    "an expectation": Case("GET", KV, 417, ANONYMOUS, [(b"expect", b"cake")]),
    "a length that is none": Case("POST", KV, 400, ANONYMOUS, [(b"content-length", b"+1")]),
    "two lengths": Case(
        "POST", KV, 400, ANONYMOUS, [(b"content-length", b"1"), (b"content-length", b"2")]
    ),
    "many headers": Case("GET", KV, 431, ANONYMOUS, [(b"x-%d" % n, b"") for n in range(200)]),
    "a long target": Case("GET", "/v1/secret/data/" + "x" * 20_000, 414, ANONYMOUS),
    "a fragment": Case("GET", f"{KV}#a", 400, ANONYMOUS),
    "a tunnel": Case("CONNECT", "localhost:1", 501, ANONYMOUS),
    "two hosts": Case("GET", KV, 400, ANONYMOUS, [(b"host", b"other")]),
    "a control character": Case("GET", KV, 400, ANONYMOUS, [(b"x-a", b"a\x01b")]),
}

H1: dict[str, Case] = {
    "a space before the colon": Case("GET", KV, 400, ANONYMOUS, [(b"x-a ", b"b")]),
    "a folded line": Case("GET", KV, 400, ANONYMOUS, [(b"x-a", b"b\r\n c")]),
    "a line without a colon": Case("GET", KV, 400, ANONYMOUS, [(b"x-a", b"b\r\nnonsense")]),
    "a bare line feed": Case("GET", KV, 400, ANONYMOUS, [(b"x-a", b"b\nc")]),
    "a NUL": Case("GET", KV, 400, ANONYMOUS, [(b"x-a", b"\0")]),
    "a broken token line": Case(
        "GET", KV, 400, ANONYMOUS, [(b"x-vault-token ", TOKEN)], token=False
    ),
    "a bad target": Case("GET", "secret", 400, ANONYMOUS),
    "a method that is none": Case("G@T", KV, 400, ANONYMOUS),
    "two framings": Case(
        "POST",
        KV,
        400,
        ANONYMOUS,
        [(b"content-length", b"0"), (b"transfer-encoding", b"chunked")],
    ),
    "another coding": Case("POST", KV, 501, ANONYMOUS, [(b"transfer-encoding", b"gzip")]),
    "a websocket without a key": Case("GET", f"{API}/live", 400, ANONYMOUS, UPGRADE),
    "a websocket of another version": Case(
        "GET",
        f"{API}/live",
        426,
        ANONYMOUS,
        [*UPGRADE[:2], (b"sec-websocket-version", b"8")],
    ),
    "a websocket elsewhere": Case(
        "GET", "/foo", 404, headers=[*UPGRADE, (b"sec-websocket-key", b"A" * 22 + b"==")]
    ),
    "a websocket at a secret": Case(
        "GET", SECRETS, 404, headers=[*UPGRADE, (b"sec-websocket-key", b"A" * 22 + b"==")]
    ),
    "a websocket at no UTF-8": Case(
        "GET", "/%ff", 404, headers=[*UPGRADE, (b"sec-websocket-key", b"A" * 22 + b"==")]
    ),
    "a websocket without a session": Case(
        "GET",
        f"{API}/live",
        401,
        ANONYMOUS,
        [*UPGRADE, (b"sec-websocket-key", b"A" * 22 + b"==")],
    ),
}

H2: dict[str, Case] = {
    "a name in capitals": Case("GET", KV, 400, ANONYMOUS, [(b"X-A", b"b")]),
    "a connection's header": Case("GET", KV, 400, ANONYMOUS, [(b"connection", b"close")]),
    "a pseudo-header at the end": Case("GET", KV, 400, ANONYMOUS, [(b":path", b"/")]),
    "a space around a value": Case("GET", KV, 400, ANONYMOUS, [(b"x-a", b" b")]),
}


@pytest.fixture(scope="module")
def agent(workers: int) -> Iterator[Agent]:
    """Open, over TLS, with the web interface, and with room for many failures."""
    with own_folder() as folder:
        made = _served(folder)
        with running(made):
            body = {"secret_shares": 1, "secret_threshold": 1}
            made.token = made.call("PUT", "/v1/sys/init", body).json["root_token"]
            ok(made, "POST", "system/mounts/secret", {"version": 2})
            yield made


def _served(folder: Path, limits: dict[str, Any] | None = None) -> Agent:
    authority, cert = trustme.CA(), folder / "server.pem"
    cert.touch(mode=0o600)
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        str(cert)
    )
    files = {"cert_file": str(cert), "key_file": str(cert)}
    plenty = {"failures": {"per_second": 10_000, "burst_size": 100_000}}
    made = served_agent(
        folder,
        {
            "server": {"listen": "127.0.0.1:0", "web": True, "tls": {"enabled": True, **files}},
            "encryption": {"key_management": "file", "key_file": f"{folder}/root.key"},
            "limits": limits or plenty,
        },
    )
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    made.tls = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    return made


@pytest.mark.parametrize("case", (BOTH | H1).values(), ids=BOTH | H1)
def test_over_http_1(agent: Agent, case: Case) -> None:
    """One record, whatever was wrong."""
    need_one_record(agent, case, *ask_h1(agent, case))


@pytest.mark.parametrize("case", (BOTH | H2).values(), ids=BOTH | H2)
def test_over_http_2(agent: Agent, case: Case) -> None:
    """The same."""
    need_one_record(agent, case, *ask_h2(agent, case))


def need_one_record(agent: Agent, case: Case, status: int, request_id: str) -> None:
    """Under the id of the answer, and under whom it should be."""
    events = ok(agent, "GET", f"audit/events?request_id={request_id}")["events"]
    accessor = ok(agent, "GET", "tokens/self")["accessor"]
    actors = [CALLER if e["actor_id"] == accessor else e["actor_id"] for e in events]
    assert (status, actors) == (case.status, [case.actor])
    assert events[0]["result"] in {"failed", "denied"}


def ask_h1(agent: Agent, case: Case) -> tuple[int, str]:
    """Send it as it is; status and id of the answer."""
    headers = [(b"host", b"localhost"), *_headers(agent, case)]
    if case.body is not None:
        headers.append((b"content-length", b"%d" % len(case.body)))
    lines = b"".join(b"%b: %b\r\n" % pair for pair in headers)
    closing = b"" if b"connection" in dict(headers) else b"connection: close\r\n"
    head = f"{case.method} {case.target} HTTP/1.1\r\n".encode()
    said = bytearray()
    with _connected(agent, "http/1.1") as wire:
        with suppress(OSError):
            wire.sendall(head + lines + closing + b"\r\n" + (case.body or b""))
        with suppress(OSError):
            while more := wire.recv(65536):
                said += more
    top = bytes(said).partition(b"\r\n\r\n")[0].decode().split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in top[1:])
    return int(top[0].split()[1]), fields["x-request-id"]


def ask_h2(agent: Agent, case: Case) -> tuple[int, str]:
    """The same over HTTP/2, by a client that checks nothing."""
    loose = H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
    speaker = H2Connection(loose)
    speaker.initiate_connection()
    pseudo = [
        (b":method", case.method.encode()),
        (b":scheme", b"https"),
        (b":authority", b"localhost"),
        (b":path", case.target.encode()),
    ]
    speaker.send_headers(1, [*pseudo, *_headers(agent, case)], end_stream=case.body is None)
    left, fields, done = case.body, dict[bytes, bytes](), False
    with _connected(agent, "h2") as wire:
        while not done:
            while left is not None and (left == b"" or speaker.local_flow_control_window(1)):
                room = min(speaker.local_flow_control_window(1), 16384)
                speaker.send_data(1, left[:room], end_stream=len(left) <= room)
                left = left[room:] or None
            wire.sendall(speaker.data_to_send())
            for event in speaker.receive_data(wire.recv(65536)):
                if isinstance(event, ResponseReceived):
                    fields = dict(event.headers)
                elif isinstance(event, DataReceived):
                    speaker.acknowledge_received_data(event.flow_controlled_length, 1)
                elif isinstance(event, StreamEnded | StreamReset | ConnectionTerminated):
                    done = True
                    left = None
    return int(fields[b":status"]), fields[b"x-request-id"].decode()


def _headers(agent: Agent, case: Case) -> Headers:
    own = [(b"x-vault-token", TOKEN)] if case.token else []
    token = agent.token.encode()
    return [(name, value.replace(TOKEN, token)) for name, value in [*own, *case.headers]]


def _connected(agent: Agent, protocol: str) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(agent.folder / "ca.pem"))
    context.set_alpn_protocols([protocol])
    plain = socket.create_connection(("127.0.0.1", agent.port), PATIENCE)
    return context.wrap_socket(plain, server_hostname="localhost")


CUT: dict[str, bytes] = {
    "a chunk that is none": b"transfer-encoding: chunked\r\n\r\nzz\r\n\r\n",
    "a chunk that is cut": b"transfer-encoding: chunked\r\n\r\n5\r\nab",
    "a body that is cut": b"content-length: 5\r\n\r\nab",
}


@pytest.mark.parametrize("rest", CUT.values(), ids=CUT)
def test_a_body_that_is_never_whole(agent: Agent, rest: bytes) -> None:
    """Its answer, if there is one, is the server's: the record has an id of its own."""
    before = _cut(agent)
    with _connected(agent, "http/1.1") as wire:
        head = f"POST {KV} HTTP/1.1\r\nhost: localhost\r\nx-vault-token: {agent.token}\r\n"
        wire.sendall(head.encode() + rest)
        with suppress(OSError):
            wire.unwrap()
    await_true(lambda: _cut(agent) > before)  # nobody is told when it is on record
    assert _cut(agent) == before + 1


def _cut(agent: Agent) -> int:
    return agent.audit_log.read_bytes().count(b'"code":"body_cut"')


BURST: Final = 4
STRANGE: Final = [
    Case("GET", KV, 400, ANONYMOUS, [(b"x-a", b"b\nc")], token=False),
    Case("GET", KV, 400, ANONYMOUS, [(b"x-vault-token", b"a"), (b"x-vault-token", b"b")]),
    Case("PUT", "/v1/sys/unseal", 400, ANONYMOUS, body=b"{", token=False),
    Case("PUT", "/v1/sys/init", 400, ANONYMOUS, body=b"{", token=False),
    Case("GET", "/%ff", 401, ANONYMOUS, [(b"x-vault-token", b"other")], token=False),
    Case("GET", "/v1/x/y", 414, ANONYMOUS, token=False)._replace(target="/" + "x" * 20_000),
]


@pytest.mark.usefixtures("workers")
def test_strangers_do_not_fill_the_log(folder: Path) -> None:
    """As many records as failed logins may have; the rest hear 429 and share one."""
    limits = {"failures": {"per_second": 0.001, "burst_size": BURST}}
    with running(_served(folder, limits)) as agent:
        body = {"secret_shares": 1, "secret_threshold": 1}
        for case in STRANGE[:1] + STRANGE[2:4]:  # nothing can be on record yet
            assert ask_h1(agent, case)[0] == 400
        agent.token = agent.call("PUT", "/v1/sys/init", body).json["root_token"]
        await_open(agent)
        heard = [ask_h1(agent, case)[0] for case in STRANGE * 3]
        asked = len(heard)
        assert heard[BURST:] == [429] * (asked - BURST)
        assert heard[:BURST] == [case.status for case in STRANGE[:BURST]]
        need_one_record(agent, BOTH["of no dialect"], *ask_h1(agent, BOTH["of no dialect"]))
        agent.stop()
        lines = [json.loads(line) for line in agent.audit_log.read_text().splitlines()]
        events = [line["body"] for line in lines if line["kind"] == "event"]
        shared = [e["rule"] for e in events if e["operation"] == "auth.refused"]
        assert sum(e["operation"] == "request.refused" for e in events) == BURST
        assert sum(int(rule.split()[0]) for rule in shared) == asked - BURST


def test_what_anybody_may_ask_is_on_record_of_nobody(agent: Agent) -> None:
    """Health checks, and paths of no dialect, without a credential."""
    before = agent.audit_log.read_bytes().count(b"request.")
    for method, path in (
        ("GET", "/foo"),
        ("POST", "/foo"),
        ("GET", "/health/live?a=1&a=2"),
        ("POST", "/metrics"),
    ):
        assert 400 <= agent.call(method, path, token="").status < 500
    assert agent.audit_log.read_bytes().count(b"request.") == before


def test_another_name_of_the_agent(shared_agent: Agent) -> None:
    """Without TLS it answers to loopback alone; a page of another site has the token's holder."""
    headers = {"Host": "evil.example"}
    answer = shared_agent.call("GET", KV, headers=headers)
    assert answer.status == 421
    (event,) = ok(shared_agent, "GET", f"audit/events?request_id={answer.request_id}")["events"]
    assert (event["actor_id"], event["code"]) == (ANONYMOUS, "host_not_local")
