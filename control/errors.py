"""The errors that the control plane's caller can meet: the family all our wires share."""

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
