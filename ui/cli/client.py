"""The HTTP client of the commands: one call, its answer decoded, its error as an exit code."""

import re
import ssl
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any, Final, TypeGuard

import httpx2

from ui.cli.connection_settings import ConnectionSettings
from ui.cli.errors import (
    CliError,
    CredentialError,
    Exit,
    FaultsError,
    StepUpError,
    exit_code_for,
)

TIMEOUT: Final = 90.0  # seconds; the longest that a server works on one request
USER_AGENT: Final = "freehold-cli"
_SEALED: Final = "Vault is sealed"  # how the Vault dialect, which has no codes, says it
_UNMADE: Final = "Vault is not initialized"
_INIT: Final = "freehold operator init"
_REFUSED: Final = 401
_LOGINS: Final = ("/api/v1/auth/login/", "/api/v1/mfa/login")
_JSON: Final = {"Content-Type": "application/json"}
_WRAP: Final = "X-Freehold-Wrap-TTL"
_MERGE_PATCH: Final = {"Content-Type": "application/merge-patch+json"}  # RFC 7396


class ApiClient:
    """Talks to one agent or control plane. A test gives a `transport` of its own.

    `prove_identity`: asks the person to confirm who they are, where a request requires it; returns
    whether it could. `timeout`: seconds for one request. `wrap_ttl`: answers are to wait behind a
    token for so long, which `on_wrapped` is given.
    """

    def __init__(
        self,
        settings: ConnectionSettings,
        transport: httpx2.BaseTransport | None = None,
        prove_identity: "Callable[[ApiClient], bool] | None" = None,
        timeout: float = TIMEOUT,
        wrap_ttl: str = "",
        on_wrapped: Callable[[dict[str, Any]], object] | None = None,
    ) -> None:
        _require_bare(settings)
        self._prove_identity = prove_identity
        self.kept = settings.kept
        """Where the token is kept, for people."""
        self._address = settings.address
        self._peer = settings.peer
        self._has_token = bool(settings.token)
        self._variable = settings.variable
        self._on_wrapped = on_wrapped
        headers = {"User-Agent": USER_AGENT}  # it is in the audit log
        if wrap_ttl:
            headers[_WRAP] = wrap_ttl
        if self._has_token:
            _require_private(settings.address)
            _require_plain(settings.token)
            headers["Authorization"] = f"Bearer {settings.token}"
        self._http = httpx2.Client(
            base_url=settings.address,
            verify=_tls(settings),
            headers=headers,
            timeout=timeout,
            transport=transport,
            trust_env=False,  # through its proxies a secret would go in clear
        )

    def call(
        self, method: str, path: str, body: object = None, *, query: dict[str, Any] | None = None
    ) -> Any:
        """The decoded answer, None for an empty one; `body` is encoded, or JSON in bytes.

        Raises `CliError`.
        """
        params = {name: value for name, value in (query or {}).items() if value not in (None, "")}
        try:
            return self._send_once(method, path, body, params)
        except StepUpError:
            if self._prove_identity is None or not self._prove_identity(self):
                raise
        return self._send_once(method, path, body, params)

    def _send_once(self, method: str, path: str, body: object, params: dict[str, Any]) -> Any:
        if body is not None:
            _require_private(self._address)
        try:
            if isinstance(body, bytes):
                reply = self._http.request(
                    method, path, content=body, params=params or None, headers=_JSON
                )
            else:
                reply = self._http.request(method, path, json=body, params=params or None)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._unreachable(str(error)) from None
        return self._read_reply(reply)

    def download(self, path: str, *, query: dict[str, Any]) -> bytes:
        """The bytes of an answer that is a file. Raises `CliError`."""
        try:
            reply = self._http.request("GET", path, params=query)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._unreachable(str(error)) from None
        if not reply.is_success:
            self._read_reply(reply)
        return reply.content

    def merge_patch(self, path: str, patch: object, *, query: dict[str, Any] | None = None) -> Any:
        """As `call`, with a JSON merge patch."""
        params = {name: value for name, value in (query or {}).items() if value is not None}
        _require_private(self._address)
        try:
            reply = self._http.request(
                "PATCH", path, json=patch, params=params or None, headers=_MERGE_PATCH
            )
        except httpx2.HTTPError as error:
            raise self._unreachable(str(error)) from None
        return self._read_reply(reply)

    def _read_reply(self, reply: httpx2.Response) -> Any:
        if reply.is_success and not reply.content:
            return None
        try:
            told = reply.json()
        except ValueError:
            told = None
        if reply.is_success and told is not None:
            if self._on_wrapped is not None:
                if not isinstance(told, dict) or set(told) != {"wrap"}:
                    raise CliError("this answer cannot be wrapped: leave --wrap-ttl", Exit.USAGE)
                self._on_wrapped(told["wrap"])
            return told
        if not _is_error(told):
            raise CliError(
                f"{self._address} answers {reply.status_code}, and not as a Freehold "
                f"{self._peer.name} does; is {self._peer.prefix}ADDR right?",
                Exit.UNREACHABLE,
            )
        raise self._failure(reply.status_code, told, reply.request.url.path)

    def _failure(self, status: int, told: dict[str, Any], path: str) -> CliError:
        """The agent's own words, and what to do where that is clear. `path`: of the request."""
        if (told.get("code"), told.get("message")) == self._peer.foreign_error:
            return CliError(
                f"what answers at {self._address} is no {self._peer.name}, but Freehold's other "
                f"kind of server; is {self._peer.prefix}ADDR right?",
                Exit.UNREACHABLE,
            )
        text = told.get("message") or "; ".join(told.get("errors", ())) or f"error {status}"
        field = (told.get("details") or {}).get("field")
        if (
            isinstance(field, str)
            and "'freehold " not in text
            and not re.search(rf"\b{re.escape(field)}(?!\w)", text)
        ):
            text += f" ({field})"
        code = Exit.USAGE if told.get("type") == "validation" else exit_code_for(status)
        request = f" (request {told['request_id']})" if told.get("request_id") else ""
        if told.get("code") == "sealed" or _SEALED in told.get("errors", []):
            code = Exit.SEALED
            text += "; unseal it with `freehold operator unseal`"
        elif told.get("code") == "not_initialized" or text.startswith(_UNMADE):
            code = Exit.SEALED
            text += "" if _INIT in text else f": make it with `{_INIT}`"
        elif status == _REFUSED:
            # At a login the password or the code was refused, not the token.
            help_ = "" if path.startswith(_LOGINS) else f"; {self._credential_help()}"
            return CredentialError(text + help_, request)
        if told.get("code") == "step_up":
            way = f"`{self._peer.login}` again"
            if self._variable:
                way += f", then `unset {self._variable}` or set it anew: until then it wins"
            again = f"it is too long ago that you showed who you are: {way}"
            return StepUpError(f"{again}{request}", code)
        if ticket := (told.get("details") or {}).get("ticket"):
            help_ = f"an administrator sees why by `freehold policy explain {ticket}`"
            return FaultsError([f"{text}{request}", help_], code)
        if len(faults := _faults(told)) > 1:
            return FaultsError([f"{fault}{request}" for fault in faults], code)
        return CliError(f"{text}{request}", code)

    def _credential_help(self) -> str:
        """What to do about a credential that was not taken."""
        if self._variable:
            way = f"unset it and `{self._peer.login}`, or set it to another"
            return f"the token in {self._variable} is unknown or expired: {way}"
        why = "the token is unknown or expired" if self._has_token else "there is no token"
        return f"{why}: `{self._peer.login}`, or set {self._peer.prefix}TOKEN"

    def _unreachable(self, why: str) -> CliError:
        return CliError(
            f"cannot reach {self._address}: {why}; is the {self._peer.name} running, and are "
            f"{self._peer.prefix}ADDR and {self._peer.prefix}CACERT right?",
            Exit.UNREACHABLE,
        )


def _is_error(told: object) -> TypeGuard[dict[str, Any]]:
    """Whether this has the form of a Freehold's error, of either dialect; a stranger's may not."""
    if not isinstance(told, dict):
        return False
    words = told.get("errors", [])
    return (
        isinstance(told.get("message", ""), str)
        and isinstance(told.get("details") or {}, dict)
        and isinstance(words, list)
        and all(isinstance(word, str) for word in words)
    )


def _faults(told: Mapping[str, Any]) -> list[str]:
    """All that is wrong with a document, where the server has looked at all of it."""
    faults = (told.get("details") or {}).get("errors")
    if not isinstance(faults, list):
        return []
    return [
        f"{fault.get('field') or 'the document'} {fault.get('message', '')}"
        for fault in faults
        if isinstance(fault, dict)
    ]


def _require_bare(settings: ConnectionSettings) -> None:
    """What stands before an `@` may be a password, and each message about an address shows it."""
    if "@" in settings.address:
        raise CliError(
            f"the address of the {settings.peer.name} has an @ in it: no user or password goes "
            f"there; it looks like https://HOST:PORT, a token goes into {settings.peer.prefix}TOKEN"
        )


def _require_private(address: str) -> None:
    """A token, a password, a share goes out in clear to this machine only."""
    try:
        url = httpx2.URL(address)
    except httpx2.InvalidURL:
        raise CliError(f"{address} is no address; it looks like https://HOST:PORT") from None
    if url.scheme == "https":
        return
    if url.scheme != "http" or not url.host:
        raise CliError(f"{address} is no address; it looks like https://HOST:PORT")
    if not _is_loopback(url.host):
        raise CliError(f"{address} has no TLS: nothing secret is sent there; use https://")


def _require_plain(token: str) -> None:
    """What no header takes (a line's end above all) would be quoted in the error."""
    if not all("!" <= c <= "~" for c in token):
        raise CliError("a token is plain ASCII on one line; this one is not", Exit.DENIED)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tls(settings: ConnectionSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
        if settings.client_cert:
            context.load_cert_chain(settings.client_cert, settings.client_key or None)
    except (OSError, ssl.SSLError) as error:
        raise CliError(f"cannot load certificates: {error}") from None
    return context
