import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.pki.errors import CsrError
from protocols.pki.messages import (
    MAX_BODY,
    MAX_RESPONSE,
    EnrolRequest,
    Grant,
    JoinRequest,
    Pending,
    RejoinRequest,
    RenewRequest,
    decode_request,
    decode_response,
    encode_message,
)

ENROL = EnrolRequest(token="fhe_x", csr=b"c", link_key=bytes(32), proof=bytes(64))
JOIN = JoinRequest(csr=b"c", link_key=bytes(32), proof=bytes(64), org="acme", label="host")
REJOIN = RejoinRequest(
    org="acme", vault="prod", serial="0" * 40, csr=b"c", proof=bytes(64), held=bytes(70)
)
GRANT = Grant(
    org="acme",
    vault="prod",
    generation=1,
    chain=[b"leaf", b"ca"],
    roots=[b"root"],
    cross=None,
    link_key=bytes(32),
    policy_key=bytes(32),
)


@pytest.mark.parametrize("message", [ENROL, JOIN, REJOIN, RenewRequest(csr=b"c")])
def test_a_request_comes_back(message: msgspec.Struct) -> None:
    """As it was sent."""
    assert decode_request(type(message), encode_message(message)) == message


@pytest.mark.parametrize("answer", [GRANT, Pending(id="1", fingerprint="f", retry_after=10)])
def test_an_answer_says_which_it_is(answer: Grant | Pending) -> None:
    """By its tag."""
    assert decode_response(encode_message(answer)) == answer


def test_what_is_not_described_is_refused() -> None:
    """Unknown fields, wrong sizes, names that are none."""
    good = msgspec.json.decode(encode_message(REJOIN))
    for change in (
        {"name": "x"},
        {"org": "ACME"},
        {"serial": "0"},
        {"proof": "AA=="},
        {"csr": ""},
        {"held": ""},
    ):
        with pytest.raises(CsrError):
            decode_request(RejoinRequest, msgspec.json.encode(good | change))


@pytest.mark.parametrize("label", ["a\u202eb", "a\u200bb", "a\0b", "\x1b[2J", "a\n", "\x9b"])
def test_a_label_holds_no_control_character(label: str) -> None:
    """It is a stranger's: it is stored, and shown to the person who decides."""
    with pytest.raises(CsrError):
        decode_request(JoinRequest, encode_message(msgspec.structs.replace(JOIN, label=label)))


def test_bounds_come_before_parsing() -> None:
    """Of requests and answers."""
    with pytest.raises(CsrError, match="at most"):
        decode_request(EnrolRequest, b" " * (MAX_BODY + 1))
    with pytest.raises(CsrError, match="at most"):
        decode_response(b" " * (MAX_RESPONSE + 1))


@given(st.binary(max_size=200))
def test_garbage_is_a_typed_error(body: bytes) -> None:
    """Whatever comes."""
    with pytest.raises(CsrError):
        decode_request(EnrolRequest, body)
    with pytest.raises(CsrError):
        decode_response(b"[" * 1000 + body)


def test_a_token_is_not_shown_by_its_request() -> None:
    """Neither in a log nor in a traceback."""
    assert "fhe_" not in repr(ENROL)
