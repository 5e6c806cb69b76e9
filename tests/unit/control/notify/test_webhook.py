"""A webhook's body is the same every time, and signed so that others can check it."""

import json
from base64 import b64decode

from msgspec.structs import replace

from control.model.notices import Kind
from control.notify import webhook
from tests.unit.control.notify.letters import BAD, EVIL, NOTICE, ONE
from tests.unit.control.notify.receiving import is_genuine


def test_the_specifications_own_example() -> None:
    """Standard Webhooks 1.0, "Verifying webhook authenticity": the signature that it gives."""
    secret = b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    headers = webhook.webhook_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", body, [secret], 1614265330)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_signed_with_each_key() -> None:
    """Whoever has either key can tell; another body or time is not genuine."""
    keys = [webhook.new_webhook_key(), webhook.new_webhook_key()]
    body = webhook.webhook_body(ONE)
    headers = webhook.webhook_headers(ONE.id, body, keys, 1_790_000_000)
    assert all(is_genuine(webhook.encode_webhook_key(key), headers, body) for key in keys)
    assert not is_genuine(webhook.encode_webhook_key(webhook.new_webhook_key()), headers, body)
    assert not is_genuine(webhook.encode_webhook_key(keys[0]), headers, body + b" ")
    assert not is_genuine(
        webhook.encode_webhook_key(keys[0]), {**headers, "webhook-timestamp": "1"}, body
    )


def test_the_body() -> None:
    """JSON with all there is to know; a test says that it is one."""
    told = json.loads(webhook.webhook_body(ONE))
    assert (told["type"], told["timestamp"]) == ("freehold.notices", "2026-09-21T14:13:20Z")
    assert told["data"]["notices"][0] == {
        "id": "n1", "kind": "raised", "code": "agent_offline", "severity": "critical",
        "vault": "v1", "subject": "", "message": "agent v1 is gone",
        "at": "2026-09-21T14:13:20Z", "repeated": 0,
        "began_at": "2026-09-21T14:13:08Z", "ended_at": None,
    }  # fmt: skip
    assert json.loads(webhook.webhook_body(BAD))["data"]["notices"][0]["message"] == EVIL
    test = replace(ONE, notices=(replace(NOTICE, kind=Kind.TEST),))
    assert json.loads(webhook.webhook_body(test))["type"] == "freehold.notices.test"
