"""What is said about a failure: its type and where it came from, never its text."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePath

_FRAMES = 4  # the innermost: enough to find the line, little enough for one line of a log

_log = logging.getLogger("actors")


class Verdict(Enum):
    """What a supervisor decided about a failure."""

    RESTART = "restart"
    ESCALATE = "escalate"
    DONE = "done"
    """The child is one that is not restarted."""


@dataclass(frozen=True, slots=True)
class FailureReport:
    """One failure of one child, and what follows."""

    actor: str
    """The path of the child."""
    failure: str
    """The exception's type."""
    where: str
    """The innermost frames, outermost first: `file.py:line in function`."""
    verdict: Verdict
    delay: float
    """Seconds until the restart, if there is one."""


Reporter = Callable[[FailureReport], None]


def make_report(actor: str, error: Exception, verdict: Verdict, delay: float) -> FailureReport:
    """The report of `error`: no source text, no values, as either could carry a secret."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    where = " > ".join(f"{PurePath(f.filename).name}:{f.lineno} in {f.name}" for f in frames)
    return FailureReport(actor, type(error).__name__, where, verdict, delay)


def log_failure(report: FailureReport) -> None:
    """Write the report to the standard library's logger `actors`, as a warning."""
    _log.warning(
        "actor %s failed: %s at %s; %s after %.3f s",
        report.actor,
        report.failure,
        report.where,
        report.verdict.value,
        report.delay,
    )
