"""Why a command failed, as an exit code that a script can act on."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final


class Exit(IntEnum):
    """Exit codes; part of the CLI's contract (docs/reference/cli.md)."""

    OK = 0
    ERROR = 1
    SEALED = 2  # as `bao status` does
    NOT_FOUND = 3
    DENIED = 4
    CONFLICT = 5
    UNREACHABLE = 6
    BUSY = 7  # not now: too many requests, or no audit log accepts the record
    USAGE = 64  # EX_USAGE of sysexits.h; the parser's own 2 already means sealed
    CANNOT_RUN = 126  # as shells tell it of a program that `run` was to start
    NO_PROGRAM = 127
    INTERRUPTED = 130


_CODES: Final = {
    401: Exit.DENIED,
    403: Exit.DENIED,
    404: Exit.NOT_FOUND,
    409: Exit.CONFLICT,
    429: Exit.BUSY,
    503: Exit.BUSY,
}


def exit_code_for(status: int) -> Exit:
    """The exit code for an HTTP status that is none of success."""
    return _CODES.get(status, Exit.ERROR)


class CliError(Exception):
    """Shown as one line on stderr; `exit_code` ends the process."""

    def __init__(self, message: str, exit_code: Exit = Exit.ERROR) -> None:
        super().__init__(message)
        self.lines: tuple[str, ...] = (message,)
        self.exit_code = exit_code


class FaultsError(CliError):
    """What is wrong in several places: a line for each."""

    def __init__(self, lines: Sequence[str], exit_code: Exit = Exit.ERROR) -> None:
        super().__init__("; ".join(lines), exit_code)
        self.lines = tuple(lines)


class StepUpError(CliError):
    """What was asked takes a fresh proof of who one is."""


class CredentialError(CliError):
    """A credential was not taken. `request`: where that is in the audit log, to end a line with."""

    def __init__(self, message: str, request: str) -> None:
        super().__init__(message + request, Exit.DENIED)
        self.request = request
