"""The errors of the control plane's API: the family that all our protocols share."""

from protocols.errors import (
    ApiError,
    AuthenticationError,
    AuthorizationError,
    ConflictError,
    ErrorType,
    InternalError,
    MethodError,
    NotFoundError,
    RateLimitError,
    TooLargeError,
    UnavailableError,
    ValidationError,
)

__all__ = [
    "AuthenticationError",
    "AuthorizationError",
    "ConflictError",
    "ControlError",
    "ErrorType",
    "InternalError",
    "MethodError",
    "NotFoundError",
    "RateLimitError",
    "TooLargeError",
    "UnavailableError",
    "ValidationError",
]

ControlError = ApiError
