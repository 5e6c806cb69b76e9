"""Serves one program of the web interface, in front of the API of the same origin.

    /api/ and what the API's side answers → the application behind
    a file of the build                   → the file
    a page's address, asked by a browser  → the page, whose script reads the address
    anything else                         → the application behind, which has a typed 404

Every answer forbids the browser what the pages do not need: no inline script or style, nothing from
another origin, no frame around it.
"""

from collections.abc import Mapping
from typing import Final

from protocols.http.asgi import App, Headers, Receive, Scope, Send
from ui.web.files import ASSETS, File

CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Trusted types: a script that wrote markup from text would be stopped by the browser."""
SECURITY: Final[Headers] = [
    (b"content-security-policy", CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
]
API: Final = ("/api/", "/v1/", "/health/", "/link/", "/metrics")
"""Never a page: programs ask here, and get an answer or an error as programs do."""


class Site:
    """An ASGI application: `index` is the page (a path of `files`), `behind` answers the rest."""

    def __init__(self, files: Mapping[str, File], index: str, behind: App) -> None:
        self._files = files
        self._index = index
        self._page = files[index]
        self._behind = behind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hand it on."""
        file = self._found(scope) if scope["type"] == "http" else None
        if file is None:
            await self._behind(scope, receive, send)
        else:
            await _reply(scope, send, file)

    def _found(self, scope: Scope) -> File | None:
        """The file that the request is about, None if it is not for us."""
        path: str = scope["path"]
        if scope["method"] not in ("GET", "HEAD") or path.startswith(API):
            return None
        if path == "/":
            return self._page
        if path in self._files and not path.endswith(".html"):
            return self._files[path]
        wants_page = "text/html" in _header(scope, b"accept")
        return self._page if wants_page and not path.startswith(ASSETS) else None


async def _reply(scope: Scope, send: Send, file: File) -> None:
    packs = bool(file.packed) and _takes_gzip(_header(scope, b"accept-encoding"))
    body = file.packed if packs else file.body
    headers: Headers = [
        (b"content-type", file.content_type.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", file.cache.encode()),
        (b"vary", b"Accept, Accept-Encoding"),
        *([(b"content-encoding", b"gzip")] if packs else []),
        *SECURITY,
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _header(scope: Scope, name: bytes) -> str:
    values = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
    return ", ".join(values).lower()


def _takes_gzip(accepted: str) -> bool:
    """Whether gzip is listed and not refused by `q=0` (RFC 9110, section 12.5.3)."""
    for each in accepted.split(","):
        name, _, quality = each.partition(";")
        if name.strip() in ("gzip", "*"):
            return quality.replace(" ", "").rstrip("0.") != "q="
    return False
