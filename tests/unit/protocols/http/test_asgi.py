"""What protocols.http.asgi promises."""

import pytest

from protocols.http.asgi import ConnectionInfo, build_scope, decode_path
from protocols.http.errors import RefusedError

PEER = ConnectionInfo(("127.0.0.1", 1), ("127.0.0.1", 2), "https", {"tls": {"version": "TLSv1.3"}})


def test_scope_has_what_asgi_promises() -> None:
    """Path decoded once, raw path and query as they came, the connection's facts."""
    scope = build_scope(PEER, "2", "GET", b"/a%2Fb%20%C3%A9?x=%20&y", [(b"host", b"a")])
    assert scope["type"] == "http"
    assert scope["path"] == "/a/b é"
    assert scope["raw_path"] == b"/a%2Fb%20%C3%A9"
    assert scope["query_string"] == b"x=%20&y"
    assert (scope["method"], scope["http_version"], scope["scheme"]) == ("GET", "2", "https")
    assert (scope["client"], scope["server"]) == (("127.0.0.1", 1), ("127.0.0.1", 2))
    assert scope["headers"] == [(b"host", b"a")]
    assert scope["extensions"]["tls"] == {"version": "TLSv1.3"}


def test_path_is_decoded_once() -> None:
    """What decodes to an escape stays one: decoding twice would name another thing."""
    assert decode_path(b"/%252e%252e") == "/%2e%2e"
    assert decode_path(b"/a+b") == "/a+b"


def test_query_keeps_a_second_question_mark() -> None:
    """Only the first one ends the path."""
    assert build_scope(PEER, "2", "GET", b"/a?b?c", [])["query_string"] == b"b?c"


@pytest.mark.parametrize("path", [b"/%", b"/%4", b"/%zz", b"/%4g", b"/a%%41", b"/% 1", b"/%+1"])
def test_broken_escapes_are_refused(path: bytes) -> None:
    """Readers disagree about them, so nobody gets to read them."""
    with pytest.raises(RefusedError) as refused:
        decode_path(path)
    assert refused.value.status == 400


@pytest.mark.parametrize("path", [b"/%ff", b"/%c3", b"/%c0%af", b"/%ed%a0%80"])
def test_paths_that_are_not_utf8_are_refused(path: bytes) -> None:
    """Overlong forms and surrogates hide characters from checks."""
    with pytest.raises(RefusedError) as refused:
        decode_path(path)
    assert refused.value.code == "bad_utf8"


@pytest.mark.parametrize("path", [b"/%ff", b"/%zz", b"/%"])
def test_an_application_may_refuse_paths_itself(path: bytes) -> None:
    """It reads `raw_path`; the decoded one is there, and names nothing by mistake."""
    scope = build_scope(PEER, "2", "GET", path, [], any_path=True)
    assert scope["raw_path"] == path
    assert scope["path"] in {"/\ufffd", path.decode()}
