"""What protocols.http.shared promises."""

import json

from protocols.http.shared import refuse_as_json


def test_default_refusal_has_vaults_shape() -> None:
    """Clients of the Vault API look for `errors`."""
    headers, body = refuse_as_json(400, "malformed", 'say "please"')
    assert headers == [(b"content-type", b"application/json")]
    assert json.loads(body) == {"errors": ['say "please"']}
