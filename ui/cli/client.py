"""The HTTP client of the commands: one call, its answer decoded, its error as an exit code."""

import ssl
from typing import Any, Final
from urllib.parse import quote

import httpx2

from ui.cli.errors import CliError, Exit
from ui.cli.settings import Settings

TIMEOUT: Final = 90.0  # seconds; the longest that a server works on one request
_CODES: Final = {
    401: Exit.DENIED,
    403: Exit.DENIED,
    404: Exit.NOT_FOUND,
    409: Exit.CONFLICT,
}
_UNAVAILABLE: Final = 503


class Client:
    """Talks to one agent."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        headers = {"X-Vault-Token": settings.token} if settings.token else {}
        self._http = httpx2.Client(
            base_url=settings.address, verify=_tls(settings), headers=headers, timeout=TIMEOUT
        )

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        """The decoded answer, None for an empty one. Raises `CliError`."""
        params = {name: value for name, value in (query or {}).items() if value not in (None, "")}
        try:
            reply = self._http.request(
                method, path, json=body, params=params or None, headers=headers
            )
        except httpx2.HTTPError as error:
            raise CliError(
                f"cannot reach {self._settings.address}: {error}; is the agent running, and is "
                "FREEHOLD_ADDR (and FREEHOLD_CACERT) right?",
                Exit.UNREACHABLE,
            ) from None
        if reply.is_success:
            return reply.json() if reply.content else None
        raise _failure(reply)


def path_of(prefix: str, name: str) -> str:
    """A URL path for a secret's name: escaped, its slashes kept."""
    return prefix + quote(name, safe="/")


def _failure(reply: httpx2.Response) -> CliError:
    try:
        told = reply.json()
    except ValueError:
        told = {}
    code = _CODES.get(reply.status_code, Exit.ERROR)
    if told.get("code") == "sealed" or (reply.status_code == _UNAVAILABLE and "errors" in told):
        code = Exit.SEALED
    text = told.get("message") or "; ".join(told.get("errors", [])) or reply.reason_phrase
    request = f" (request {told['request_id']})" if told.get("request_id") else ""
    return CliError(f"{text}{request}", code)


def _tls(settings: Settings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
        if settings.client_cert:
            context.load_cert_chain(settings.client_cert, settings.client_key or None)
    except (OSError, ssl.SSLError) as error:
        raise CliError(f"cannot load certificates: {error}") from None
    return context
