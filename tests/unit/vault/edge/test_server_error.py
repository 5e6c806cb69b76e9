"""The server's own refusals are errors in both dialects."""

import json

import pytest

from actors.testing import FakeWorld
from vault.edge.asgi import server_error_reply


@pytest.mark.parametrize(
    ("status", "kind"), [(431, "validation"), (408, "validation"), (500, "internal")]
)
def test_both_dialects_read_it(status: int, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """`errors` for Vault's clients, the typed fields for the others, one id in header and log."""
    caplog.set_level("INFO", "freehold.edge")
    reply = server_error_reply(status, "header_too_large", "too large", FakeWorld())
    body = json.loads(reply.body)
    assert (reply.status, body["errors"]) == (status, ["too large"])
    assert (body["type"], body["code"], body["message"]) == (kind, "header_too_large", "too large")
    assert body["timestamp"].endswith("Z")
    assert dict(reply.headers)[b"x-request-id"].decode() == body["request_id"]
    assert body["request_id"] in caplog.text
