"""What a check has found: what is wrong, where, and what to do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from vault.config import Settings
from vault.installation.machine import Machine


class Severity(StrEnum):
    """`error`: the agent does not start, does not serve, or could lose or show what it keeps."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """One fault. `code` is stable: scripts may look for it. `remedy`: what to do, an imperative."""

    code: str
    severity: Severity
    problem: str
    remedy: str


def error(code: str, problem: str, remedy: str) -> Finding:
    """The agent cannot go on like this."""
    return Finding(code, Severity.ERROR, problem, remedy)


def warning(code: str, problem: str, remedy: str) -> Finding:
    """It works, until something happens."""
    return Finding(code, Severity.WARNING, problem, remedy)


@dataclass(frozen=True)
class Installation:
    """An agent on its machine. `names`: by which clients call it. `is_running`: it answers."""

    config: Path
    settings: Settings
    machine: Machine
    names: tuple[str, ...] = ()
    is_running: bool = False


Check = Callable[[Installation], Iterator[Finding]]
"""Looks, and changes nothing. Blocks."""
