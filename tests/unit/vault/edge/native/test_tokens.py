"""`/api/v1/tokens`: the text is shown once, and an absent token is 404 whoever words it."""

import json
from typing import Any

from vault.errors import AuthorizationError, NotFoundError, ValidationError


async def test_an_absent_token_is_404(wire: Any) -> None:
    """The words that other clients need are told as what they mean; other errors stay."""
    for error in (
        AuthorizationError("bad_token", "bad token"),
        ValidationError("invalid_accessor", "invalid accessor"),
        NotFoundError("token_not_found", "no"),
    ):
        wire.gate.answers["token.lookup_accessor"] = error
        reply = await wire.ask("GET", "tokens/a1")
        assert (reply.status, json.loads(reply.body)["code"]) == (404, "token_not_found")
    wire.gate.answers["token.lookup_accessor"] = AuthorizationError("permission_denied", "no")
    assert (await wire.ask("GET", "tokens/a1")).status == 403
