"""What protocols.http.errors promises."""

from protocols.http.errors import (
    AppError,
    HttpError,
    PeerLeftError,
    ProtocolViolationError,
    RefusedError,
    TlsConfigError,
)


def test_refusal_carries_what_the_answer_needs() -> None:
    """Status, a stable word, and a sentence for the client."""
    error = RefusedError(413, "body_too_large", "request body is too large")
    assert (error.status, error.code) == (413, "body_too_large")
    assert error.message == "request body is too large"


def test_violation_carries_its_http2_code() -> None:
    """The GOAWAY says why."""
    error = ProtocolViolationError(0xB, "flood")
    assert (error.code, error.reason) == (0xB, "flood")


def test_all_are_of_one_family_and_faults_are_apart() -> None:
    """The peer's faults and ours are never caught by the same name, short of the base."""
    peers = (RefusedError, PeerLeftError, ProtocolViolationError)
    assert all(issubclass(kind, HttpError) for kind in (*peers, AppError, TlsConfigError))
    assert not any(issubclass(AppError, kind) for kind in peers)
