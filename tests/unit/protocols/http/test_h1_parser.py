"""What protocols.http.h1_parser promises."""

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.http.errors import RefusedError
from protocols.http.h1_parser import H1RequestParser, RequestHead
from protocols.http.limits import Limits

LIMITS = Limits()


def parse(raw: bytes, limits: Limits = LIMITS) -> RequestHead:
    """The head in `raw`."""
    reader = H1RequestParser(limits)
    reader.feed(raw)
    head = reader.next_head()
    assert head is not None
    return head


def head(*lines: bytes, start: bytes = b"GET / HTTP/1.1", host: bytes | None = b"a") -> bytes:
    """Bytes of a head with these lines."""
    fields = ([] if host is None else [b"Host: " + host]) + list(lines)
    return b"\r\n".join([start, *fields, b"", b""])


def feed(reader: H1RequestParser, data: bytes, step: int) -> RequestHead | None:
    """Feed `data` in steps, looking for a head after each; what is held stays bounded."""
    got = None
    for begin in range(0, len(data), step):
        reader.feed(data[begin : begin + step])
        got = reader.next_head()
        assert reader.pending <= LIMITS.header_bytes + step
    return got


def refusal(raw: bytes, limits: Limits = LIMITS) -> RefusedError:
    """Why `raw` is refused."""
    with pytest.raises(RefusedError) as refused:
        parse(raw, limits)
    return refused.value


def test_head_is_split_into_what_asgi_needs() -> None:
    """Names come in lower case, values without the white space around them, order kept."""
    got = parse(head(b"X-Token:  s.abc \t", b"Accept: */*", start=b"GET /v1/a%20b?x=1 HTTP/1.1"))
    assert (got.method, got.target, got.version) == ("GET", b"/v1/a%20b?x=1", "1.1")
    assert got.headers == [(b"host", b"a"), (b"x-token", b"s.abc"), (b"accept", b"*/*")]
    assert got.keep_alive
    assert got.body.done
    assert not got.expects_continue


class Fields:
    """What llhttp makes of a head."""

    def __init__(self) -> None:
        self.found: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Part of httptools' protocol."""
        self.found.append((name.lower(), value.rstrip(b" \t")))


@given(
    st.lists(
        st.tuples(
            st.from_regex(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}", fullmatch=True),
            st.from_regex(rb"[\t\x20-\x7e\x80-\xff]{0,24}", fullmatch=True),
        ),
        max_size=6,
    )
)
def test_fields_are_what_llhttp_says(fields: list[tuple[bytes, bytes]]) -> None:
    """Names and values of every head that passes are those of a parser that others keep."""
    raw = head(*(b"X-%b:%b" % field for field in fields))
    seen = Fields()
    httptools.HttpRequestParser(seen).feed_data(raw)
    assert parse(raw).headers == seen.found


@pytest.mark.parametrize("method", ["LIST", "SCAN", "PATCH", "M-SEARCH", "get"])
def test_methods_that_llhttp_does_not_know_pass(method: str) -> None:
    """Vault's LIST is a method like any other; the application decides which exist."""
    assert parse(head(start=method.encode() + b" /x HTTP/1.1")).method == method


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\nHost: a\n\n\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: y\rz\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: y\x00z\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: y\x01z\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: y\x7fz\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX\xc3: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX\x00: y\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1 x\r\nHost: a\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / http/1.1\r\nHost: a\r\n\r\n",
        b"GET / RTSP/1.0\r\nHost: a\r\n\r\n",
        b"SOURCE / ICE/1.0\r\nHost: a\r\n\r\n",
        b"GET / HTTP/11.1\r\nHost: a\r\n\r\n",
        b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a\x00b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_what_two_readers_could_take_apart_differently_is_refused(raw: bytes) -> None:
    """Bare CR and LF, NUL, folding, odd white space, odd start lines: 400, never a guess."""
    assert refusal(raw).status == 400


@pytest.mark.parametrize(
    "lines",
    [
        [b"Content-Length: 3", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Content-Length: 3"],
        [b"Content-Length: 3", b"Content-Length: 4"],
        [b"Content-Length: 3", b"Content-Length: 3"],
        [b"Content-Length: 3, 3"],
        [b"Content-Length: +3"],
        [b"Content-Length: -3"],
        [b"Content-Length: 0x3"],
        [b"Content-Length: 3 3"],
        [b"Content-Length:"],
        [b"Content-Length: \xb2"],
        [b"Content-Length: 99999999999999999999"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"],
    ],
)
def test_ambiguous_length_is_refused(lines: list[bytes]) -> None:
    """Request smuggling needs two lengths; a request has one here, or none."""
    assert refusal(head(*lines, start=b"POST / HTTP/1.1")).status == 400


@pytest.mark.parametrize(
    "coding", [b"gzip", b"gzip, chunked", b"chunked, chunked", b"xchunked", b"chunked;q=1", b""]
)
def test_other_transfer_codings_are_refused(coding: bytes) -> None:
    """Nothing but `chunked` is decoded here, so nothing else is taken for it."""
    assert refusal(head(b"Transfer-Encoding: " + coding)).status in (400, 501)


def test_chunked_in_http_1_0_is_refused() -> None:
    """HTTP/1.0 has no chunks: a proxy of that age would see another message."""
    raw = head(b"Transfer-Encoding: chunked", start=b"POST / HTTP/1.0")
    assert refusal(raw).code == "bad_framing"


@pytest.mark.parametrize(
    ("host", "more"),
    [
        (None, []),
        (b"", []),
        (b"a", [b"Host: a"]),
        (b"a", [b"Host: b"]),
        (b"a b", []),
        (b"a/b", []),
        (b"user@a", []),
        (b"a,b", [b"Host: c"]),
        (b"a:b", []),
        (b"a?b", []),
        (b"a:123456", []),
        (b"[::1", []),
    ],
)
def test_host_is_there_once_and_is_one(host: bytes | None, more: list[bytes]) -> None:
    """RFC 9112 section 3.2: anything but one valid Host is answered 400."""
    assert refusal(head(*more, host=host)).status == 400


@pytest.mark.parametrize("host", [b"a", b"a:8200", b"127.0.0.1:1", b"[::1]:8200", b"x_y.z:"])
def test_hosts_of_all_shapes_pass(host: bytes) -> None:
    """Names, addresses and ports are let through as they are."""
    assert parse(head(host=host)).headers == [(b"host", host)]


def test_http_1_0_needs_no_host_and_closes() -> None:
    """HTTP/1.0 closes unless asked to keep the connection."""
    assert not parse(head(start=b"GET / HTTP/1.0", host=None)).keep_alive
    kept = parse(head(b"Connection: Keep-Alive", start=b"GET / HTTP/1.0", host=None))
    assert kept.keep_alive


@pytest.mark.parametrize("value", [b"close", b"Close", b"keep-alive, close", b"x ,close"])
def test_connection_close_closes(value: bytes) -> None:
    """The client's wish to close is found wherever it stands in the list."""
    assert not parse(head(b"Connection: " + value)).keep_alive


def test_close_in_a_second_connection_field_counts() -> None:
    """Fields of one name form one list (RFC 9110 section 5.3)."""
    assert not parse(head(b"Connection: x", b"Connection: close")).keep_alive


@pytest.mark.parametrize(
    ("target", "origin"),
    [
        (b"http://a/x?y", b"/x?y"),
        (b"HTTP://A", b"/"),
        (b"https://a?q", b"/?q"),
        (b"http://a/b/../%2e%2e/c", b"/b/../%2e%2e/c"),
    ],
)
def test_absolute_form_is_read_as_origin_form(target: bytes, origin: bytes) -> None:
    """RFC 9112 section 3.2.2: servers accept the absolute form."""
    assert parse(head(start=b"GET " + target + b" HTTP/1.1")).target == origin


@pytest.mark.parametrize(
    ("target", "authority"),
    [(b"http://b/x", b"b"), (b"http://a:80/", b"a:80"), (b"http://[::1]:8200/x", b"[::1]:8200")],
)
def test_the_authority_of_an_absolute_form_takes_hosts_place(
    target: bytes, authority: bytes
) -> None:
    """RFC 9112 section 3.2.2: a received Host is ignored, so nobody sees another one."""
    got = parse(head(start=b"GET " + target + b" HTTP/1.1"))
    assert [value for name, value in got.headers if name == b"host"] == [authority]
    old = parse(b"GET " + target + b" HTTP/1.0\r\n\r\n")
    assert old.headers == [(b"host", authority)]


def test_an_absolute_form_needs_a_valid_host_beside_it() -> None:
    """Section 3.2: a request without one is refused, whatever its target."""
    assert refusal(b"GET http://a/ HTTP/1.1\r\n\r\n").status == 400


def test_options_for_the_server_in_absolute_form() -> None:
    """Section 3.2.4."""
    assert parse(head(start=b"OPTIONS http://a HTTP/1.1")).target == b"*"
    assert parse(head(start=b"OPTIONS http://a/ HTTP/1.1")).target == b"/"


def test_https_is_for_secure_connections() -> None:
    """RFC 9110 section 7.4: what came in the clear is no request for a resource of https."""
    reader = H1RequestParser(Limits(), secure=False)
    reader.feed(head(start=b"GET https://a/x HTTP/1.1"))
    with pytest.raises(RefusedError) as refused:
        reader.next_head()
    assert refused.value.status == 421


@pytest.mark.parametrize(
    "target",
    [
        b"http://b@a/", b"http://a:b@c/", b"http://a\\b/", b"http://a:8x/", b"ftp://a/", b"http:///x",
        b"http:/a/x", b"http://a/x#f", b"//a/x#f", b"a:80", b"*", b"x",
    ],
)  # fmt: skip
def test_other_targets_are_refused(target: bytes) -> None:
    """No user information, no other scheme, no fragment, no form of CONNECT or OPTIONS."""
    assert refusal(head(start=b"GET " + target + b" HTTP/1.1")).status == 400


def test_asterisk_is_for_options() -> None:
    """RFC 9112 section 3.2.4."""
    assert parse(head(start=b"OPTIONS * HTTP/1.1")).target == b"*"


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (head(start=b"GET / HTTP/2.0"), 505),
        (head(start=b"GET / HTTP/1.2"), 505),
        (b"PRI * HTTP/2.0\r\n\r\n", 505),
        (head(start=b"CONNECT a:1 HTTP/1.1"), 501),
        (head(b"Expect: tea"), 417),
        (head(b"Content-Length: 33554433"), 413),
        (head(start=b"GET /" + b"x" * (1 << 14) + b" HTTP/1.1"), 414),
        (head(*[b"X: y"] * 100), 431),
    ],
)
def test_what_is_well_formed_but_too_much_or_not_ours(raw: bytes, status: int) -> None:
    """Each has the status that its RFC section names."""
    assert refusal(raw).status == status


def test_limits_themselves_are_allowed() -> None:
    """A bound is the largest value that passes."""
    assert len(parse(head(*[b"X: y"] * 99)).headers) == 100
    parse(head(b"Content-Length: 33554432"))
    parse(head(start=b"GET /" + b"x" * ((1 << 14) - 14) + b" HTTP/1.1"))


def test_upgrade_is_an_offer_that_is_not_taken() -> None:
    """h2c and websocket offers are ignored; the request is served as HTTP/1.1."""
    got = parse(head(b"Connection: Upgrade", b"Upgrade: h2c", start=b"GET /x HTTP/1.1"))
    assert (got.target, len(got.headers)) == (b"/x", 3)


def test_expect_is_ignored_in_http_1_0() -> None:
    """RFC 9110 section 10.1.1."""
    raw = head(b"Expect: 100-continue", start=b"POST / HTTP/1.0")
    assert not parse(raw).expects_continue
    assert parse(head(b"Expect: 100-Continue", start=b"POST / HTTP/1.1")).expects_continue


# The reader.

ONE = b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
TWO = b"POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n"
THREE = b"GET /3 HTTP/1.1\r\nHost: a\r\n\r\n"


@given(st.integers(1, 60))
def test_pipelined_requests_come_out_in_order_however_they_are_cut(step: int) -> None:
    """Each request has its own head and body; nothing leaks into the next."""
    data = ONE + TWO + THREE
    reader = H1RequestParser(LIMITS)
    got: list[tuple[bytes, bytes]] = []
    current: RequestHead | None = None
    body = b""
    for start in range(0, len(data), step):
        reader.feed(data[start : start + step])
        while True:
            if current is None:
                current = reader.next_head()
                if current is None:
                    break
            body += reader.next_body(current.body)
            if not current.body.done:
                break
            got.append((current.target, body))
            current, body = None, b""
    assert got == [(b"/1", b"abc"), (b"/2", b"de"), (b"/3", b"")]
    assert reader.pending == 0


def test_one_blank_line_before_a_request_is_forgiven() -> None:
    """RFC 9112 section 2.2; a second one is not."""
    reader = H1RequestParser(LIMITS)
    reader.feed(b"\r\n")
    assert reader.next_head() is None
    reader.feed(THREE)
    assert reader.next_head() is not None
    reader.feed(b"\r\n\r\n" + THREE)
    with pytest.raises(RefusedError):
        reader.next_head()


@pytest.mark.parametrize(
    "start",
    [
        b"\x16\x03\x01\x02\x00",
        b" GET",
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.1\r\nHost: a\rb",
        b"GET / HTTP/1.1\r\nHost: a\x00",
    ],
)
def test_what_can_never_become_a_head_is_refused_early(start: bytes) -> None:
    """No time-out is needed to refuse what is wrong already; cut anywhere."""
    for step in (1, 2, len(start)):
        with pytest.raises(RefusedError) as refused:
            feed(H1RequestParser(LIMITS), start, step)
        assert refused.value.status == 400


@given(st.integers(1, 40))
def test_a_good_head_is_never_refused_for_where_it_was_cut(step: int) -> None:
    """Early checks see parts of CR LF pairs and must not mistake them."""
    data = b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nLong-Name: with value\r\n\r\n"
    got = feed(H1RequestParser(LIMITS), data, step)
    assert got is not None
    assert len(got.headers) == 3


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"x" * 17_000, 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 33_000, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 33_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 33_000 + b" HTTP/1.1\r\n\r\n", 414),
    ],
)
def test_heads_without_end_are_refused_at_the_bound(data: bytes, status: int) -> None:
    """What is held of an unfinished head is bounded."""
    with pytest.raises(RefusedError) as refused:
        feed(H1RequestParser(LIMITS), data, 1_000)
    assert refused.value.status == status


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_a_refusal(data: bytes) -> None:
    """No input raises anything else."""
    reader = H1RequestParser(LIMITS)
    for raw in (data, b"GET /" + data + b" HTTP/1.1\r\nHost: a\r\n\r\n", ONE[:30] + data + ONE):
        try:
            reader.feed(raw)
            reader.next_head()
        except RefusedError:
            reader = H1RequestParser(LIMITS)
