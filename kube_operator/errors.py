"""What goes wrong between the operator, the API server and agents. No text holds a value."""

from typing import ClassVar, Final


class ClusterError(Exception):
    """The API server refuses, or is not reached. `status`: of HTTP; 0 without an answer."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"the API server: {message}" if not reason else f"{reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


class ExpiredError(ClusterError):
    """410: this resource version, or this page of a list, is not kept any more. List anew."""


class ConflictError(ClusterError):
    """409: somebody else has changed the object, or made it. Read it again."""


class MissingError(ClusterError):
    """404: there is no such object."""


class InvalidObjectError(ClusterError):
    """422: the object is not one that the API server takes, or a test of a patch failed."""


class ReconcileError(Exception):
    """A resource cannot be brought about. `reason`: of its condition; the text is for people.

    `is_lasting`: only a change of the resource helps, so that it is not tried again soon.
    """

    is_lasting: ClassVar[bool] = False

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class SpecError(ReconcileError):
    """The resource says something that cannot be done."""

    is_lasting = True


class AgentError(ReconcileError):
    """An agent refuses, or is not reached. `code`: of its error; `status`: 0 without an answer."""

    def __init__(self, status: int, code: str, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.status = status
        self.code = code


def refusal(error: ReconcileError | ClusterError) -> ReconcileError:
    """What a condition says of an error. Raises it again where another try may do."""
    if isinstance(error, ReconcileError):
        return error
    if error.status not in _REFUSALS:
        raise error
    return ReconcileError(error.reason or "Refused", error.message)


_REFUSALS: Final = frozenset({400, 403, 404, 405})


class BodyTooLongError(Exception):
    """An answer is longer than we read."""
