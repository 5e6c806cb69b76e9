"""An error as the native API tells it."""

from vault.edge.native.openapi import ErrorBody
from vault.errors import VaultError
from vault.model.instant import SECOND, rfc3339


def error_body(error: VaultError, request_id: str, now: int) -> ErrorBody:
    """The design's APIError; `now` in Unix nanoseconds."""
    return ErrorBody(
        type=error.type,
        code=error.code,
        message=error.message,
        request_id=request_id,
        timestamp=rfc3339(now // SECOND * SECOND),
        details=dict(error.details),
    )
