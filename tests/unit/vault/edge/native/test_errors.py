"""vault.edge.native.views: the design's APIError, and nothing else."""

import msgspec

from vault.edge.native.views import error_body
from vault.errors import ConflictError


def test_the_seeds_fields() -> None:
    """Type, code, message, request id, the second, and details that are a copy."""
    error = ConflictError("cas_mismatch", "not the current version", field="cas")
    told = error_body(error, "id.3", 1_800_000_000_999_999_999)
    assert msgspec.to_builtins(told) == {
        "type": "conflict",
        "code": "cas_mismatch",
        "message": "not the current version",
        "request_id": "id.3",
        "timestamp": "2027-01-15T08:00:00Z",
        "details": {"field": "cas"},
    }
    assert told.details is not error.details
