"""The machine: its clock, limits and memory, and the service manager's settings."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from protocols.instant import MINUTE, SECOND, rfc3339
from ui.web.files import BUILT
from vault.installation.file_checks import places
from vault.installation.finding import Finding, Installation, error, warning

UNIT: Final = "freehold-agent.service"
_AHEAD: Final = 2 * MINUTE
_BESIDE_CONNECTIONS: Final = 256
"""Files that a process has open beside its connections."""
_WORKER_MEMORY: Final = 512 << 20
_DRAIN: Final = 15 * SECOND
"""What a stop takes after `server.drain_delay`: answers in flight, the end of the audit log."""
_STOP: Final = re.compile(r"^TimeoutStopSec=(\d+)s?$", re.MULTILINE)


def check_clock(what: Installation) -> Iterator[Finding]:
    """Whether it is right: expiry, certificates and retention depend on it."""
    machine, now = what.machine, what.machine.world.wall()
    newest = max((_changed(file), str(file)) for file in places(what.settings).values())
    if newest[0] > now + _AHEAD:
        yield error(
            "clock_behind",
            f"the clock says {rfc3339(now)}, and {newest[1]} was written at {rfc3339(newest[0])}",
            "set the clock (timedatectl), then start the agent",
        )
    if machine.is_synchronized() is False:
        yield warning(
            "clock_not_synchronized",
            "nothing keeps the clock right",
            "run: timedatectl set-ntp true, or install chrony",
        )


def _changed(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def check_limits(what: Installation) -> Iterator[Finding]:
    """Files, memory and randomness."""
    settings, machine = what.settings, what.machine
    database = settings.storage.file
    holder = None
    if database is not None:
        holder = machine.lock_holder(database.with_name(f"{database.name}.lock"))
    limit, needs = machine.open_files(holder), settings.limits.connections + _BESIDE_CONNECTIONS
    if limit < needs:
        whose = "the agent" if holder else "a process of this shell"
        yield warning(
            "few_open_files",
            f"{whose} may have {limit} files open; limits.connections "
            f"({settings.limits.connections}) needs {needs}",
            "set LimitNOFILE=65536 (the unit has it) or ulimit -n 65536, or lower the key",
        )
    if not machine.has_randomness():
        yield error(
            "no_randomness",
            "the kernel's random numbers are not ready: there are no ids and no keys",
            "give the virtual machine a random device (virtio-rng), or wait",
        )
    if machine.memory() < _WORKER_MEMORY:
        yield warning(
            "little_memory",
            f"{machine.memory() >> 20} MiB of memory may be used; one worker needs 512 MiB",
            "give it more, or lower cache.max_size and limits.body_bytes",
        )
    if settings.server.workers > 1 and not machine.has_process_handles():
        yield error(
            "no_process_handles",
            "several workers need Linux 5.3 or newer, and a sandbox that allows pidfd_open",
            "set server.workers: 1",
        )


def check_user(what: Installation) -> Iterator[Finding]:
    """Whom the agent runs as."""
    if what.machine.user.uid == 0:
        yield warning(
            "runs_as_root",
            "the agent would run as root: a fault in it is one of the machine",
            "run it as a user of its own (the unit does); name that one here with --user",
        )


def check_service(what: Installation) -> Iterator[Finding]:
    """Whether systemd gives the agent the time that it takes to stop."""
    unit = what.machine.unit(UNIT)
    said = _STOP.findall(unit)
    needs = (what.settings.server.drain_delay or 0) + _DRAIN
    if said and int(said[-1]) * SECOND < needs:
        yield warning(
            "stop_timeout_short",
            f"systemd kills the agent {said[-1]} s after it was told to stop; it needs up to "
            f"{needs // SECOND} s",
            f"run: systemctl edit {UNIT}, and set TimeoutStopSec={needs // SECOND + 15}s",
        )


def check_pages(what: Installation) -> Iterator[Finding]:
    """Whether there are pages to serve."""
    if what.settings.server.web and not (BUILT / "agent.html").exists():
        yield error(
            "pages_missing",
            "server.web is true, and this installation has no web pages",
            "install a wheel, package or image, or run 'make setup' in the clone",
        )
