"""Why a command failed, as an exit code that a script can act on."""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes; part of the CLI's contract. 2 is also what the parser uses for wrong usage."""

    OK = 0
    ERROR = 1
    SEALED = 2  # as `bao status` does
    NOT_FOUND = 3
    DENIED = 4
    CONFLICT = 5
    UNREACHABLE = 6


class CliError(Exception):
    """Shown as one line on stderr; `exit_code` ends the process."""

    def __init__(self, message: str, exit_code: Exit = Exit.ERROR) -> None:
        super().__init__(message)
        self.exit_code = exit_code
