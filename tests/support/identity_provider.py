"""An OpenID provider and a cluster's API server on this machine, for agents of other processes.

The provider checks client, redirect and PKCE. It takes a code twice: agents do not rely on that.
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from tests.support.identity_source import SigningKey

CLIENT = "freehold"
CLIENT_SECRET = "s3cret+/="


class Provider:
    """`claims` are of whoever logs in; `accounts` are the cluster's service accounts by token."""

    def __init__(self) -> None:
        self.key = SigningKey("idp-1", "RS256")
        self.claims: dict[str, Any] = {"sub": "ann", "groups": ["dev"]}
        self.reviews: dict[str, dict[str, Any]] = {}
        self.reviewer = "reviewer-token"
        self.is_broken = False
        self.codes: dict[str, dict[str, str]] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                match parts.path:
                    case _ if outer.is_broken:
                        self.reply(500, {})
                    case "/.well-known/openid-configuration":
                        self.reply(200, outer.metadata())
                    case "/keys":
                        self.reply(200, {"keys": [outer.key.jwk()]})
                    case "/authorize":
                        self.send_response(302)
                        self.send_header("Location", outer.authorize(query))
                        self.send_header("Content-Length", "0")
                        self.end_headers()
                    case _:
                        self.reply(404, {})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if outer.is_broken:
                    self.reply(500, {})
                elif self.path == "/token":
                    form = dict(parse_qsl(body.decode()))
                    self.reply(*outer.exchange(form, self.headers.get("Authorization", "")))
                else:
                    self.reply(*outer.review(json.loads(body), self.headers["Authorization"]))

            def reply(self, status: int, body: Any) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def metadata(self) -> dict[str, Any]:
        """OpenID Connect Discovery 1.0, section 3."""
        return {
            "issuer": self.address,
            "authorization_endpoint": f"{self.address}/authorize?tenant=a",
            "token_endpoint": f"{self.address}/token",
            "jwks_uri": f"{self.address}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def authorize(self, query: dict[str, str]) -> str:
        """Where the browser is sent back to, with a code."""
        assert query["client_id"] == CLIENT
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        assert query["tenant"] == "a"
        code = secrets.token_urlsafe()
        self.codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def exchange(self, form: dict[str, str], authorization: str) -> tuple[int, Any]:
        """The ID token for a code."""
        asked = self.codes.get(form.get("code", ""))
        pair = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        challenge = base64.urlsafe_b64encode(
            hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        ).rstrip(b"=")
        if (
            asked is None
            or pair != f"{CLIENT}:{'s3cret%2B%2F%3D'}"
            or form["redirect_uri"] != asked["redirect_uri"]
            or challenge.decode() != asked["code_challenge"]
        ):
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        said = {
            "iss": self.address, "aud": CLIENT, "exp": now + 60, "iat": now,
            "nonce": asked["nonce"], **self.claims,
        }  # fmt: skip
        return 200, {"id_token": self.key.sign(said), "token_type": "Bearer"}

    def review(self, body: dict[str, Any], authorization: str) -> tuple[int, Any]:
        """A `TokenReview`."""
        token = body["spec"]["token"]
        if authorization not in {f"Bearer {self.reviewer}", f"Bearer {token}"}:
            return 401, {}
        found = self.reviews.get(token, {"authenticated": False})
        return 201, {"kind": "TokenReview", "status": found}


@contextmanager
def provider() -> Iterator[Provider]:
    """Running for the length of the block."""
    made = Provider()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        thread.join()
        made.server.server_close()
