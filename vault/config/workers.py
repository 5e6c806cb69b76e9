"""`server.workers`: how many processes serve, which a machine may say by itself."""

import platform
import sys
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field

from vault.config import machine_limits

AUTO: Final = "auto"
MAX_WORKERS: Final = 64  # processes
MAX_AUTO_WORKERS: Final = 4
"""What more of them do beside one leader was not measured (decision 13)."""
_HELP: Final = f"is {AUTO}, or how many: 1 to {MAX_WORKERS}"
BYTES: Final = 512 << 20
"""Of memory for each worker by itself: it takes some 60 MiB at rest and the leader as much, the
cache is an eighth of all memory, and each worker may hold `limits.answer_bytes` (128 MiB) for slow
readers, beside its part of `limits.body_bytes`."""


def _resolve_auto(value: Any) -> Any:
    if value == AUTO:
        return _auto_count()
    is_number = type(value) is int or (isinstance(value, str) and value.isdecimal())
    if not is_number:  # the environment has texts; YAML's `yes` is none
        raise ValueError(_HELP)
    return value


def _auto_count() -> int:
    if not _supports_workers() or not machine_limits.has_process_handles():
        return 1
    return max(min(machine_limits.cores(), machine_limits.memory() // BYTES, MAX_AUTO_WORKERS), 1)


def _check_count(value: int) -> int:
    if value > 1 and not _supports_workers():
        raise ValueError("more than 1 is for Linux on x86-64; leave it at 1 on this machine")
    return value


def _supports_workers() -> bool:
    """Whether words that several processes share are kept in order: see `vault.workers.page`."""
    return (sys.platform, platform.machine()) == ("linux", "x86_64")


WorkerCount = Annotated[
    int, BeforeValidator(_resolve_auto), Field(ge=1, le=MAX_WORKERS), AfterValidator(_check_count)
]
"""`AUTO` is one for each core and each `BYTES` of memory, up to `MAX_AUTO_WORKERS`; one process
where several cannot be. After it is validated it is a number."""
