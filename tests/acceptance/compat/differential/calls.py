"""Calls as data: a round of them can be written down, sent to any server again, and shortened.

`{r}` in a text is the name of the round, which all that it makes begins with. `{name:dotted.path}`
is what the answer to the call of that name has there.
"""

import base64
import http.client
import json
import re
import socket
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode

from msgspec import Struct

from tests.acceptance.compat.servers import Server

PATIENCE: Final = 60.0  # seconds; for one answer
NAME: Final = "{r}"
ROOT: Final = "{root:auth.client_token}"
NOTHING: Final = "nothing-there"
"""What a reference to an answer stands for that has no such field."""
COMPARED_HEADERS: Final = ("content-type", "cache-control", "x-vault-inline-auth-failed")
_REFERENCE: Final = re.compile(r"\{(\w+):([\w./-]+)\}")


class Call(Struct, frozen=True, omit_defaults=True):
    """A request. `path` is below `/v1/` and not quoted; `text` is a body that is no JSON."""

    method: str
    path: str
    query: dict[str, str] = {}
    body: Any = None
    text: str | None = None
    token: str = ROOT
    headers: dict[str, str] = {}
    name: str = ""


@dataclass(frozen=True)
class Answer:
    """What came back. `body` is decoded JSON, None for nothing, and text for what is no JSON."""

    status: int
    headers: dict[str, str]
    body: Any


@dataclass
class Session:
    """One server in one round: its connection, and the answers that later calls refer to."""

    server: Server
    round_name: str
    answers: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._connection = http.client.HTTPConnection(
            self.server.address.removeprefix("http://"), timeout=PATIENCE
        )

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def send(self, call: Call) -> Answer:
        """Send one call. Raises `OSError` and `http.client.HTTPException` for no answer."""
        path = "/v1/" + quote(self.filled(call.path), safe="/%:*+@,;=")
        if call.query:
            path += "?" + urlencode({k: self.filled(v) for k, v in call.query.items()})
        body = None
        if call.text is not None:
            body = self.filled(call.text).encode()
        elif call.body is not None:
            body = self.filled(json.dumps(call.body)).encode()
        headers = {name: self.filled(value) for name, value in call.headers.items()}
        if token := self.filled(call.token):
            headers["X-Vault-Token"] = token
        self._connection.request(call.method, path, body, headers)
        response = self._connection.getresponse()
        answer = Answer(
            response.status,
            {name: response.headers.get(name, "") for name in COMPARED_HEADERS},
            _decoded(response.read(), self.round_name),
        )
        if self._connection.sock is not None:
            self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if call.name:
            self.answers[call.name] = answer.body
        return answer

    def filled(self, text: str) -> str:
        """With the round's name, and with what references stand for."""

        def value(match: re.Match[str]) -> str:
            found = self.answers.get(match[1])
            for key in match[2].split("."):
                found = found.get(key) if isinstance(found, dict) else None
            return found.replace(NAME, self.round_name) if isinstance(found, str) else NOTHING

        return _REFERENCE.sub(value, text).replace(NAME, self.round_name)


def _decoded(body: bytes, round_name: str) -> Any:
    """Plain data, in which the round's name is `{r}` again."""
    if not body:
        return None
    text = body.decode(errors="replace").replace(round_name, NAME)
    try:
        return json.loads(text)
    except ValueError:
        return text


def encoded(text: str) -> str:
    """Base64, as policies may be written."""
    return base64.b64encode(text.encode()).decode()
