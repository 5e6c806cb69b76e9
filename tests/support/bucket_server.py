"""A server for buckets on loopback: `bucket_server.py s3|gcs`; it prints its port.

`s3` is moto's. `gcs` is the same behind the XML API of Google Cloud Storage, which is that of S3
but for names of headers and who may come: a service account, by a token that it has signed itself.
"""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import jwt
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

REQUEST: Final = "HTTP_X_GOOG_META_"
SIGNED: Final = (
    "AWS4-HMAC-SHA256 Credential=agent/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, "
    "Signature=00"
)


class GoogleDialect:
    """Passes requests on in the words of S3, and the answers back."""

    def __init__(self, inner: Callable[..., Iterable[bytes]], public_key: str) -> None:
        self._inner = inner
        self._key = public_key

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """WSGI."""
        token = environ.pop("HTTP_AUTHORIZATION", "").removeprefix("Bearer ")
        if "HTTP_X_TEST_SETUP" not in environ:
            try:
                jwt.decode(token, self._key, ["RS256"], options={"verify_aud": False})
            except jwt.InvalidTokenError:
                start("401 Unauthorized", [("Content-Length", "0")])
                return []
        environ["HTTP_AUTHORIZATION"] = SIGNED  # moto looks whether there is one
        if environ.pop("HTTP_X_GOOG_IF_GENERATION_MATCH", None) == "0":
            environ["HTTP_IF_NONE_MATCH"] = "*"
        for name in [each for each in environ if each.startswith(REQUEST)]:
            environ[name.replace("GOOG", "AMZ")] = environ.pop(name)

        def answer(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            translated = [(name.replace("x-amz-", "x-goog-"), value) for name, value in headers]
            return start(status, [*translated, ("x-goog-generation", "1")], *more)

        return self._inner(environ, answer)


class Handler(WSGIRequestHandler):
    """One connection for many requests, and nothing said."""

    protocol_version = "HTTP/1.1"

    def log(self, *_: Any) -> None:
        """Nothing."""


def main(kind: str, public_key: str = "") -> None:
    """Serve until killed."""
    app: Any = DomainDispatcherApplication(create_backend_app)
    if kind == "gcs":
        app = GoogleDialect(app, Path(public_key).read_text())
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Handler)
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
