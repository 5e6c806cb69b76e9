"""What protocols.http.server_state promises."""

import json

from protocols.http.server_state import overload_response, refuse_as_json


def test_default_refusal_has_vaults_shape() -> None:
    """Clients of the Vault API look for `errors`."""
    headers, body = refuse_as_json(400, "malformed", 'say "please"')
    assert headers == [(b"content-type", b"application/json")]
    assert json.loads(body) == {"errors": ['say "please"']}


def test_the_default_refusal_of_an_overload() -> None:
    """With `Retry-After`, so that clients wait."""
    headers, body = overload_response(b"/any")
    assert (b"retry-after", b"1") in headers
    assert "wait" in json.loads(body)["errors"][0]
