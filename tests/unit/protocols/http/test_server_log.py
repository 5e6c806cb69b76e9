"""What protocols.http.server_log promises."""

import logging

import pytest

from protocols.http.asgi import ConnectionInfo
from protocols.http.errors import ProtocolViolationError, RefusedError
from protocols.http.server_log import (
    log_app_failure,
    log_connection_failure,
    log_h2_violation,
    log_refusal,
)

PEER = ConnectionInfo(("10.0.0.7", 4711), None, "http")


def failing(text: str) -> ValueError:
    """An exception that was raised here."""
    with pytest.raises(ValueError, match=text) as caught:
        int(text)
    return caught.value


def test_events_are_typed(caplog: pytest.LogCaptureFixture) -> None:
    """A record has its event's name and its facts as attributes, and both in its text."""
    with caplog.at_level(logging.INFO, "freehold.http"):
        log_refusal(RefusedError(431, "header_too_large", "too large"), PEER)
    record = caplog.records[0]
    assert record.__dict__["event"] == "refused"
    facts = {"status": 431, "code": "header_too_large", "client": "10.0.0.7"}
    assert record.__dict__["facts"] == facts
    assert record.getMessage() == "refused status=431 code=header_too_large client=10.0.0.7"


def test_no_text_of_an_exception_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An exception's message may hold a secret; its kind and place do not."""
    group = ExceptionGroup("canary", [failing("canary"), ExceptionGroup("b", [KeyError("canary")])])
    with caplog.at_level(logging.DEBUG, "freehold.http"):
        log_app_failure(failing("canary"), PEER)
        log_app_failure(group, PEER, after_disconnect=True)
        log_connection_failure(failing("canary"), PEER)
        log_h2_violation(ProtocolViolationError(11, "flood"), PEER)
    assert "canary" not in caplog.text
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO", "ERROR", "INFO"]
    assert "ValueError,KeyError" in caplog.records[1].getMessage()
    assert "test_server_log.py:" in caplog.records[0].getMessage()
