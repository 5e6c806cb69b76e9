"""Tests of reading a request: bounded, decoded once, refused where it is ambiguous."""

import random
import unicodedata
from typing import Annotated, Any, Literal
from urllib.parse import quote_from_bytes

import pytest
from msgspec import Meta, Struct

from vault.edge.dialect import convert_fields
from vault.edge.request import MAX_BRACKETS, MAX_DEPTH, MAX_STRINGS, Request, begin_request
from vault.errors import MediaTypeError, TooLargeError, ValidationError
from vault.model.path import ResourcePath

LIMIT = 1_000
CANARY = "canary-93"


class Body(Struct, forbid_unknown_fields=True):
    """Something to decode to."""

    name: str = ""
    count: Annotated[int, Meta(ge=0, le=9)] = 0
    kind: Literal["a", "b"] = "a"
    more: dict[str, Any] = {}


def scope(path: bytes = b"/x", query: bytes = b"", **more: Any) -> dict[str, Any]:
    """Of a GET."""
    fields = {
        "method": "GET", "raw_path": path, "query_string": query, "headers": [],
        "client": ("192.0.2.1", 5),
    }  # fmt: skip
    return fields | more


async def read(given: dict[str, Any], *messages: dict[str, Any]) -> Request:
    """A request whose body comes in these messages; asked for more, the test fails."""
    left = list(messages or [{"type": "http.request", "body": b""}])

    async def receive() -> dict[str, Any]:
        return left.pop(0)

    request = begin_request(given, request_id="r", dialect="d")
    await request.read(given, receive, max_body=LIMIT)
    return request


async def body(content: bytes) -> Request:
    """A request with this body."""
    return await read(scope(), {"type": "http.request", "body": content})


async def test_what_it_holds() -> None:
    """Method, decoded path, query, headers by lower-case name, and where it came from."""
    headers = [(b"user-agent", b"curl/8 \xe9"), (b"content-type", b"a/b; charset=x")]
    request = await read(scope(b"/a%20b/%C3%A9", b"x=1&y=", headers=headers))
    assert (request.id, request.method, request.path) == ("r", "GET", "/a b/é")
    assert request.query == {"x": "1", "y": ""}
    assert request.header(b"user-agent") == "curl/8 é"
    assert request.header(b"absent") == ""
    assert (request.origin.ip, request.origin.dialect) == ("192.0.2.1", "d")


@pytest.mark.parametrize(
    ("text", "number"),
    [(b"17", 17), (b"", 0), (b"djE6Yw==", 0), (b"-1", 0), (b"1" * 19, 0), (b" 7", 0)],
)
async def test_the_commit_that_a_caller_has_seen(text: bytes, number: int) -> None:
    """What no agent has told, as another server's state, counts as none."""
    given = scope(headers=[(b"x-vault-index", text)])
    assert begin_request(given, request_id="r", dialect="d").served.required == number


async def test_the_peer_certificate_comes_from_tls_alone() -> None:
    """As the server verified it; a header of that name is nothing."""
    tls = {"tls": {"peer_certificate": b"der"}}
    headers = [(b"peer_certificate", b"forged"), (b"x-forwarded-for", b"10.9.9.9")]
    request = await read(scope(extensions=tls, headers=headers))
    assert request.origin.peer_certificate == b"der"
    request = await read(scope(headers=headers))
    assert request.origin.peer_certificate is None
    assert request.origin.ip == "192.0.2.1"


async def test_the_user_agent_is_printable() -> None:
    """It goes to the audit log and from there to terminals: C1 control characters are escapes."""
    request = await read(scope(headers=[(b"user-agent", b"curl/8 \x9b2J\xad\t\xe9")]))
    assert request.origin.user_agent == r"curl/8 \x9b2J\xad\t\xe9".replace(r"\xe9", "é")


async def test_the_user_agent_is_bounded() -> None:
    """It goes into every audit record."""
    request = await read(scope(headers=[(b"user-agent", b"a" * 5000)]))
    assert len(request.origin.user_agent) == 256


@pytest.mark.parametrize(
    "name", [b"authorization", b"x-vault-token", b"x-vault-namespace", b"content-type"]
)
async def test_a_header_that_decides_comes_once(name: bytes) -> None:
    """A proxy that looked at the first and an agent that takes the last would disagree."""
    with pytest.raises(ValidationError, match="header_invalid"):
        await read(scope(headers=[(name, b"a"), (b"x", b"y"), (name, b"b")]))
    await read(scope(headers=[(b"accept", b"a"), (b"accept", b"b"), (name, b"c")]))


# Paths.


@pytest.mark.parametrize(
    "path", [b"/a%2fb", b"/a%2Fb", b"/a%5cb", b"/a%5Cb", b"/a%00", b"/%ff", b"/\xff", b"/%c3"]
)
async def test_ambiguous_escapes(path: bytes) -> None:
    """A slash, a backslash or NUL behind an escape, and what is not UTF-8."""
    with pytest.raises(ValidationError, match="path_invalid"):
        await read(scope(path))


async def test_a_path_is_decoded_once() -> None:
    """A double escape stays one, which `ResourcePath` then refuses."""
    request = await read(scope(b"/a%252fb"))
    assert request.path == "/a%2fb"
    with pytest.raises(ValidationError):
        ResourcePath.parse(request.path[1:])


SEEDS = [
    b"secret/app/db", b"a", "secret/\u00e9t\u00e9/x".encode(), b"a/b/c/d", b"secret/a b",
    b"team/blue/x.y", "日本/語".encode(),
]  # fmt: skip
PIECES = [
    b"/", b"//", b".", b"..", b"/./", b"/../", b"%2f", b"%2F", b"%5c", b"\\", b"%00", b"%2e",
    b"%2e%2e", b"%20", b" ", b"%252f", b"%c0%af", b"%c3%a9", b"e%cc%81", b"%e2%80%8b", b"%ff",
    b"%EF%BC%8F", b"%0a", b"%0d%0a", b"\t", b";a=b", b"%3f", b"%23", b"+", b"*", b"%7e", b"~",
    b"%41", b"A", b"%", b"%2", b"%zz", b"\xc3\xa9", b"sys/", b"%73ys/", b"%ED%A0%80",
]  # fmt: skip
MUTATIONS = 100_000  # CVE-2026-3605, CVE-2025-49830: two readers of one path


def _mutated(chance: random.Random) -> bytes:
    path = bytearray(chance.choice(SEEDS))
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(path))
        match chance.randint(0, 3):
            case 0:
                path[at:at] = chance.choice(PIECES)
            case 1:
                path[at : at + chance.randint(0, 3)] = chance.choice(PIECES)
            case 2:
                path[at : at + 1] = b"%%%02X" % path[at] if at < len(path) else b""
            case _:
                path[at:at] = bytes([chance.randint(0x21, 0x7E)])
    return bytes(path)


async def test_every_mutation_is_canonical_or_refused() -> None:
    """And what is accepted has one spelling: whoever escapes or writes it anew means the same."""
    chance, accepted = random.Random(20_260_305), 0  # noqa: S311  # repeatable
    for _ in range(MUTATIONS):
        raw = _mutated(chance)
        try:
            request = await read(scope(b"/" + raw))
            path = ResourcePath.parse_secret(request.path[1:])
        except ValidationError:
            continue
        accepted += 1
        # What is authorized and stored is, to the letter, what was decoded from the wire.
        assert str(path) == request.path[1:]
        assert unicodedata.is_normalized("NFC", path)
        assert not {"", ".", ".."} & set(path.split("/"))
        assert not any(c in path for c in "\\\0\n\r\t")
        again = await read(scope(b"/" + quote_from_bytes(path.encode(), safe="/").encode()))
        assert ResourcePath.parse_secret(again.path[1:]) == path
    assert MUTATIONS / 100 < accepted < MUTATIONS


# Queries.


@pytest.mark.parametrize(
    "query", [b"a=1&a=2", b"&".join(b"a%d=1" % n for n in range(101)), b"a=%ff", b"a=\xc3\xa9"]
)
async def test_malformed_queries(query: bytes) -> None:
    """A parameter twice, too many, not UTF-8, not ASCII."""
    with pytest.raises(ValidationError, match="query_invalid"):
        await read(scope(query=query))


def test_a_query_is_checked_against_its_struct() -> None:
    """Numbers are read from text; what is unknown or out of bounds is refused, unquoted."""
    assert convert_fields({"count": "7"}, Body).count == 7
    for bad in ({"count": CANARY}, {"count": "10"}, {"kind": CANARY}, {"other": "x"}):
        with pytest.raises(ValidationError) as caught:
            convert_fields(bad, Body)
        assert CANARY not in str(caught.value)


# Bodies.


async def test_a_body_in_parts() -> None:
    """Joined in order."""
    request = await read(
        scope(),
        {"type": "http.request", "body": b'{"name":', "more_body": True},
        {"type": "http.request", "more_body": True},
        {"type": "http.request", "body": b'"x"}'},
    )
    assert request.decode_json(Body).name == "x"


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "http.disconnect"}],
        [{"type": "http.request", "body": b"{}", "more_body": True}, {"type": "http.disconnect"}],
    ],
)
async def test_a_body_that_was_cut(messages: list[dict[str, Any]]) -> None:
    """Half a request is none: a caller who left before its end has asked for nothing."""
    with pytest.raises(ValidationError, match="body_cut"):
        await read(scope(), *messages)


@pytest.mark.parametrize("parts", [1, 3])
async def test_the_size_of_a_body(parts: int) -> None:
    """The bound itself passes, one byte more does not, however it is cut; no more is read."""
    for size, fits in ((LIMIT, True), (LIMIT + 1, False)):
        whole = b"x" * size
        step = size // parts + 1
        cut = [whole[at : at + step] for at in range(0, size, step)]
        messages = [{"type": "http.request", "body": part, "more_body": True} for part in cut]
        messages[-1]["more_body"] = not fits  # too large: refused without waiting for the end
        if fits:
            assert (await read(scope(), *messages)).body == whole
        else:
            with pytest.raises(TooLargeError):
                await read(scope(), *messages)


@pytest.mark.parametrize(
    "content",
    [b"{", b"nul", b'{"name": "\xff"}', b'{"name": "x"} x', b"\xef\xbb\xbf{}", b"{'a':1}", b"[1,]"],
)
async def test_malformed_json(content: bytes) -> None:
    """One clear error."""
    with pytest.raises(ValidationError, match=r"body_malformed|body_invalid"):
        (await body(content)).decode_json(Body)


@pytest.mark.parametrize(
    "content",
    [
        f'{{"count": "{CANARY}"}}', f'{{"kind": "{CANARY}"}}', f'"{CANARY}"', f'["{CANARY}"]',
        '{"count": 10}', '{"name": null}', '{"unknown": 1}',
    ],
)  # fmt: skip
async def test_a_wrong_body_is_not_quoted(content: str) -> None:
    """The error says where and what was wanted, never what was sent."""
    with pytest.raises(ValidationError) as caught:
        (await body(content.encode())).decode_json(Body)
    assert CANARY not in str(caught.value)


async def test_an_empty_body_is_an_empty_object() -> None:
    """So that a call without parameters needs none."""
    assert (await body(b"")).decode_json(Body) == Body()


@pytest.mark.parametrize("bracket", [b"[]", b'{"a":'])
async def test_the_depth_of_json(bracket: bytes) -> None:
    """32 levels, counted outside of strings only; a bomb never reaches the decoder."""
    opening, closing = (b"[", b"]") if bracket == b"[]" else (b'{"a":', b"}")

    def nested(depth: int) -> bytes:
        return b'{"more":' + opening * depth + b"1" + closing * depth + b"}"

    assert (await body(b'{"more":{"a":"' + b"[{" * 100 + b'"}}')).decode_json(Body).more
    (
        await body(b'{"more":{"a":' + b"[" * (MAX_DEPTH - 2) + b"]" * (MAX_DEPTH - 2) + b"}}")
    ).decode_json(Body)
    for depth in (MAX_DEPTH, 90):
        with pytest.raises(ValidationError, match="body_invalid"):
            (await body(nested(depth))).decode_json(Body)


@pytest.mark.parametrize("end", [b"", b"\\", b'\\"'])
async def test_a_string_that_is_not_closed_is_looked_at_once(end: bytes) -> None:
    """Brackets in it are none, and no quote in it begins another look at the rest."""
    unclosed = b"[]" * (MAX_DEPTH + 1) + b'"' + b'\\"[' * (MAX_DEPTH + 1) + end
    with pytest.raises(ValidationError) as refused:
        (await body(unclosed)).decode_json(Body)
    assert "nests" not in refused.value.message


async def test_an_escaped_quote_hides_no_depth() -> None:
    r"""A string that ends in `\\` ends there; one with `\"` goes on."""
    deep = b"[" * 40 + b"]" * 40
    with pytest.raises(ValidationError, match="body_invalid"):
        (await body(b'{"more":{"a\\\\":' + deep + b"}}")).decode_json(Body)
    assert (await body(b'{"more":{"a":"\\"' + deep + b'"}}')).decode_json(Body).more


async def test_the_number_of_strings() -> None:
    """Many small strings cost more memory than one large one."""
    request = await body(b"{}")
    request.body = b"[" + b",".join([b'""'] * (MAX_STRINGS + 1)) + b"]"
    with pytest.raises(ValidationError, match="body_invalid"):
        request.decode_json(list[str])
    request.body = b"[" + b",".join([b'""'] * MAX_STRINGS) + b"]"
    assert len(request.decode_json(list[str])) == MAX_STRINGS


@pytest.mark.parametrize("label", [b"application/x", b"APPLICATION/X; charset=utf-8"])
async def test_media_types(label: bytes) -> None:
    """Case and parameters do not count; anything else is refused."""
    request = await read(scope(headers=[(b"content-type", label)]))
    request.require_media_type("application/x")
    for other in ("application/json", "application/xy"):
        with pytest.raises(MediaTypeError):
            request.require_media_type(other)


async def test_many_brackets_are_refused_before_they_are_counted_through() -> None:
    """A flat body of very many brackets costs no more than its refusal."""
    request = await body(b"{}")
    request.body = b"[" + b",".join([b"[]"] * MAX_BRACKETS) + b"]"
    with pytest.raises(ValidationError, match="brackets"):
        request.decode_json(list[list[str]])
    request.body = b"[" + b",".join([b"[]"] * (MAX_BRACKETS - 1)) + b"]"
    assert len(request.decode_json(list[list[str]])) == MAX_BRACKETS - 1
