"""The errors that an agent's caller can meet: the family that every wire of ours shares."""

from protocols.errors import (
    ApiError,
    AuthenticationError,
    AuthorizationError,
    ConflictError,
    ErrorType,
    InternalError,
    MediaTypeError,
    MethodError,
    NotFoundError,
    RateLimitError,
    SetupError,
    TamperedError,
    TooLargeError,
    UnavailableError,
    ValidationError,
)

__all__ = [
    "AuthenticationError",
    "AuthorizationError",
    "ConflictError",
    "ErrorType",
    "InternalError",
    "MediaTypeError",
    "MethodError",
    "NotFoundError",
    "RateLimitError",
    "SetupError",
    "TamperedError",
    "TooLargeError",
    "UnavailableError",
    "ValidationError",
    "VaultError",
]

VaultError = ApiError
