"""The OpenAPI document of the control plane."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from control.api.endpoint import Endpoint, EndpointGroup
from control.model.names import SLUG
from protocols.openapi import ApiInfo, Schema, build_document

PREFIX: Final = "/api/v1/"
_SLUG: Final[Schema] = {"type": "string", "pattern": f"^{SLUG}$", "maxLength": 64}

_SLUG_SEGMENTS: Final = (
    "org", "home", "user", "token", "session", "vault", "policy", "rollout", "alert", "join",
    "ticket", "invitation", "report", "schedule", "note", "hold", "channel", "delivery",
)  # fmt: skip

ABOUT: Final = ApiInfo(
    title="Freehold control plane",
    description="Who the agents are, what they are to do, and what they tell. No secret, ever.",
    version="1",
    prefix=PREFIX,
    credential="A session of `login`, or an API token.",
    errors={
        400: "The request is malformed; `details.field` names the faulty field",
        401: "No credential, or one that does not count",
        403: "The caller may not do this",
        404: "There is nothing here that the caller may see",
        409: "The state is not the one that the request was made for",
        413: "The body is too large",
        415: "The body is not JSON",
        429: "Too many requests; try again after `Retry-After` seconds",
        500: "A fault of the control plane; its log has more under the request id",
        503: "Not now: the database does not work; `details.outcome` says if anything was stored",
    },
    segments=dict.fromkeys(_SLUG_SEGMENTS, _SLUG)
    | {"number": {"type": "string", "pattern": "^[0-9]{1,15}$"}},
)


def endpoint_extensions(endpoint: Endpoint) -> Schema:
    """What the endpoint requires beside a role, for people (text) and for programs (`x-…`)."""
    if endpoint.public:
        return {}
    more: dict[str, Any] = {
        "x-step-up": endpoint.requires_recent_auth,
        "x-api-token": endpoint.allows_api_tokens,
    }
    words = (
        ("Asks for a fresh proof (403 `step_up`).", endpoint.requires_recent_auth),
        ("Not for API tokens (403 `person_needed`).", not endpoint.allows_api_tokens),
    )
    if told := " ".join(text for text, is_so in words if is_so):
        more["description"] = told
    return more


def encode_document(resources: Sequence[EndpointGroup[Any]]) -> bytes:
    """The document as it is served."""
    return msgspec.json.encode(build_document(resources, ABOUT, endpoint_extensions))
