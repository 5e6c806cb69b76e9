"""Inline authentication: headers that hold a login, for a request without a token.

`X-Vault-Inline-Auth-Path` names where to log in, each `X-Vault-Inline-Auth-Parameter-…` holds one
field of the login: unpadded base64url of JSON `{"key": …, "value": …}`.
"""

import re
from base64 import urlsafe_b64decode
from typing import Any, Final

import msgspec
from msgspec import Struct

from protocols import json_text
from vault.edge.request import Request
from vault.errors import MethodError, ValidationError
from vault.model.auth_mounts import AUTH
from vault.model.payloads import LogIn

PREFIX: Final = b"x-vault-inline-auth-"
PATH: Final = PREFIX + b"path"
OPERATION: Final = PREFIX + b"operation"
NAMESPACE: Final = PREFIX + b"namespace"
PARAMETER: Final = PREFIX + b"parameter-"
FAILED: Final = PREFIX + b"failed"
MAX_PARAMETERS: Final = 32
_BASE64URL: Final = re.compile(rb"[A-Za-z0-9_-]*")


class _Parameter(Struct, frozen=True):
    key: str
    value: Any = None


def is_inline(request: Request) -> bool:
    """Whether a request holds a login."""
    return PATH in request.headers


def parse_inline(request: Request) -> LogIn | None:
    """The login of a request; None: it has none. Raises `ValidationError`, `MethodError`.

    A path that is not below `auth/` leads to no method, and is refused as one without a mount is.
    """
    path = request.headers.get(PATH)
    if path is None:
        return None
    if request.headers.get(b"x-vault-token") or request.headers.get(b"authorization"):
        raise _invalid_error("cannot layer inline authentication with token authentication")
    if request.headers.get(NAMESPACE, b"").strip(b"/") not in {b"", b"root"}:
        raise _invalid_error("inline auth namespace was not found")
    operation = request.headers.get(OPERATION, b"update")
    if operation not in {b"update", b"create"}:
        if operation in {b"read", b"list", b"delete", b"patch", b"scan"}:
            raise MethodError("method_unsupported", "unsupported operation")
        raise _invalid_error("expected a valid login operation in X-Vault-Inline-Auth-Operation")
    text = path.decode("latin-1")
    below = text.removeprefix(AUTH) if text.startswith(AUTH) else ""
    return LogIn(path=below, fields=_fields(request))


def _fields(request: Request) -> dict[str, Any]:
    found = [value for name, value in request.headers.items() if name.startswith(PARAMETER)]
    if len(found) > MAX_PARAMETERS:
        raise _invalid_error(f"at most {MAX_PARAMETERS} parameters")
    fields: dict[str, Any] = {}
    for value in found:
        parameter = _parameter(value)
        if parameter.key in fields:
            raise _invalid_error("a parameter comes twice")
        fields[parameter.key] = parameter.value
    return fields


def _parameter(value: bytes) -> _Parameter:
    if _BASE64URL.fullmatch(value) is None or len(value) % 4 == 1:
        raise _invalid_error("failed raw url-safe base64 decoding header value")
    try:
        return json_text.decode(
            urlsafe_b64decode(value + b"=" * (-len(value) % 4)), type=_Parameter
        )
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise _invalid_error("a header value is not JSON with key and value") from None


def _invalid_error(reason: str) -> ValidationError:
    return ValidationError(
        "inline_auth_invalid", f"failed to perform inline authentication: {reason}"
    )
