"""`server.workers`: how many processes serve, which a machine may say by itself."""

import platform
import sys
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field

from vault.config import machine

AUTO: Final = "auto"
MOST: Final = 64  # processes
MOST_BY_ITSELF: Final = 4
"""What more of them do beside one leader was not measured (decision 13)."""
_WHAT: Final = f"is {AUTO}, or how many: 1 to {MOST}"
BYTES: Final = 512 << 20
"""Of memory for each worker by itself: it takes some 60 MiB at rest and the leader as much, the
cache is an eighth of all memory, and each worker may hold `limits.answer_bytes` (128 MiB) for slow
readers, beside its part of `limits.body_bytes`."""


def _by_itself(value: Any) -> Any:
    if value == AUTO:
        return _as_many_as_fit()
    is_number = type(value) is int or (isinstance(value, str) and value.isdecimal())
    if not is_number:  # the environment has texts; YAML's `yes` is none
        raise ValueError(_WHAT)
    return value


def _as_many_as_fit() -> int:
    if not _is_fit() or not machine.has_process_handles():
        return 1
    return max(min(machine.cores(), machine.memory() // BYTES, MOST_BY_ITSELF), 1)


def _fitting(value: int) -> int:
    if value > 1 and not _is_fit():
        raise ValueError("more than 1 is for Linux on x86-64; leave it at 1 on this machine")
    return value


def _is_fit() -> bool:
    """Whether words that several processes share are kept in order: see `vault.workers.page`."""
    return (sys.platform, platform.machine()) == ("linux", "x86_64")


Workers = Annotated[
    int, BeforeValidator(_by_itself), Field(ge=1, le=MOST), AfterValidator(_fitting)
]
"""`AUTO` is one for each core and each `BYTES` of memory, up to `MOST_BY_ITSELF`; one process where
several cannot be. After it is validated it is a number."""
