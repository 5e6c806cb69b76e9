"""What all connections of one server hold in common."""

import json
from dataclasses import dataclass

from protocols.http.limits import Limits
from protocols.http.pulse import Pulse
from protocols.http.scope import App, Headers, Refuse


@dataclass(frozen=True, slots=True)
class Shared:
    """The application and the rules it is served by."""

    app: App
    limits: Limits
    pulse: Pulse
    refuse: Refuse


def refuse_as_json(status: int, code: str, message: str) -> tuple[Headers, bytes]:  # noqa: ARG001 - Refuse's shape
    """The default answer to a refused request: `{"errors": [message]}`."""
    return [(b"content-type", b"application/json")], json.dumps({"errors": [message]}).encode()
