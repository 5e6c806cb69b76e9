"""What protocols.http.h2_request promises."""

import pytest

from protocols.http.asgi import Headers
from protocols.http.errors import RefusedError
from protocols.http.h2_request import H2Request, vet_request
from protocols.http.limits import Limits

BASE: Headers = [
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":path", b"/v1/x?y"),
    (b":authority", b"a:8200"),
]


def vet(*more: tuple[bytes, bytes], **changed: bytes | None) -> H2Request:
    """The base request with pseudo-headers changed or left out, and more fields."""
    pseudo = [(name, changed.get(name[1:].decode(), value)) for name, value in BASE]
    fields = [(name, value) for name, value in pseudo if value is not None]
    return vet_request([*fields, *more], Limits())


def test_request_is_turned_into_what_asgi_needs() -> None:
    """Host comes from :authority and first; cookies are one field; the rest in order."""
    got = vet((b"cookie", b"a=1"), (b"x-token", b"s"), (b"cookie", b"b=2"), (b"te", b"trailers"))
    assert (got.method, got.target, got.expects_continue) == ("GET", b"/v1/x?y", False)
    assert got.headers == [
        (b"host", b"a:8200"),
        (b"x-token", b"s"),
        (b"te", b"trailers"),
        (b"cookie", b"a=1; b=2"),
    ]


def test_host_may_stand_for_authority() -> None:
    """RFC 9113 section 8.3.1: either, or both if they agree; never twice in the result."""
    assert vet((b"host", b"b"), authority=None).headers == [(b"host", b"b")]
    assert vet((b"host", b"A:8200")).headers == [(b"host", b"a:8200")]


@pytest.mark.parametrize("method", [b"LIST", b"PATCH", b"HEAD"])
def test_methods_are_the_applications_to_know(method: bytes) -> None:
    """Any token passes."""
    assert vet(method=method).method == method.decode()


@pytest.mark.parametrize(
    "changed",
    [
        {"method": None},
        {"method": b""},
        {"method": b"GE T"},
        {"scheme": None},
        {"scheme": b"ftp"},
        {"path": None},
        {"path": b""},
        {"path": b"x"},
        {"path": b"*"},
        {"path": b"/a b"},
        {"path": b"/a#b"},
        {"path": b"/\xc3\xa9"},
        {"path": b"/a\x00"},
        {"path": b"http://b/"},
        {"authority": None},
        {"authority": b""},
        {"authority": b"user@a"},
        {"authority": b"a/b"},
        {"authority": b"a b"},
    ],
)
def test_pseudo_headers_are_there_and_clean(changed: dict[str, bytes | None]) -> None:
    """RFC 9113 section 8.3.1: each is needed, once, and is what it is called."""
    with pytest.raises(RefusedError) as refused:
        vet(**changed)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "more",
    [
        [(b":path", b"/other")],
        [(b"x", b"y"), (b":method", b"GET")],
        [(b":status", b"200")],
        [(b":protocol", b"websocket")],
        [(b":", b"x")],
        [(b"X-Upper", b"y")],
        [(b"", b"y")],
        [(b"a b", b"y")],
        [(b"a:b", b"y")],
        [(b"a\x00", b"y")],
        [(b"\xc3", b"y")],
        [(b"x", b"a\r\nb: c")],
        [(b"x", b"a\nb")],
        [(b"x", b"a\x00b")],
        [(b"x", b" a")],
        [(b"x", b"a\t")],
        [(b"connection", b"close")],
        [(b"transfer-encoding", b"chunked")],
        [(b"upgrade", b"h2c")],
        [(b"keep-alive", b"1")],
        [(b"proxy-connection", b"x")],
        [(b"te", b"gzip")],
        [(b"host", b"b")],
        [(b"host", b"a:8200"), (b"host", b"b")],
        [(b"content-length", b"1"), (b"content-length", b"2")],
        [(b"content-length", b"+1")],
        [(b"content-length", b"")],
    ],
)
def test_malformed_fields_are_refused(more: Headers) -> None:
    """RFC 9113 sections 8.2 and 8.3: smuggling by way of HTTP/2 ends here."""
    with pytest.raises(RefusedError) as refused:
        vet(*more)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("more", "changed", "status"),
    [
        ([(b"content-length", b"33554433")], {}, 413),
        ([], {"path": b"/" + b"x" * (1 << 14)}, 414),
        ([(b"x", b"y")] * 101, {}, 431),
        ([(b"x", b"y" * 33_000)], {}, 431),
        ([], {"method": b"CONNECT"}, 501),
        ([(b"expect", b"tea")], {}, 417),
    ],
)
def test_too_much_or_not_ours(more: Headers, changed: dict[str, bytes], status: int) -> None:
    """The same statuses as on HTTP/1.1."""
    with pytest.raises(RefusedError) as refused:
        vet(*more, **changed)
    assert refused.value.status == status


def test_expectation_is_seen() -> None:
    """RFC 9110 section 10.1.1 holds on HTTP/2 too."""
    assert vet((b"expect", b"100-continue")).expects_continue


def test_asterisk_is_for_options() -> None:
    """RFC 9113 section 8.3.1."""
    assert vet(method=b"OPTIONS", path=b"*").target == b"*"
