"""Feeds systemd's watchdog while the process serves; one that does not is restarted.

A restart seals a vault whose shares people have, so that no more than this counts: the event loop
turns, a thread can be had, and whoever accepts connections has shown a sign of life. A sealed
vault, a database that is away and a full disk are no reason: a restart would not mend them.
"""

import logging
from collections.abc import Callable
from typing import Final

import trio

from protocols.systemd import SystemdNotifier

log: Final = logging.getLogger("freehold.watchdog")


async def feed_watchdog(
    service: SystemdNotifier,
    is_serving: Callable[[float], bool],
    *,
    call: Callable[[], object] = lambda: None,
) -> None:
    """Notify twice in each interval of the watchdog, until cancelled; at once without a watchdog.

    `is_serving` is asked whether there was a sign of life within so many seconds. `call` is run in
    a thread of its own limiter, so that disks that hang, and with them all other threads, do not
    count.
    """
    limiter, well = trio.CapacityLimiter(1), True
    while service.watchdog_seconds:
        pause = service.watchdog_seconds / 2
        was_well, well = well, False
        with trio.move_on_after(pause / 2):
            await trio.to_thread.run_sync(call, limiter=limiter, abandon_on_cancel=True)
            well = is_serving(pause)
        if well:
            try:
                service.notify_watchdog()
            except OSError as error:
                log.warning("the service manager does not take our messages: %s", error.strerror)
        elif was_well:
            log.critical(
                "this process does not serve any more, and the watchdog will have it restarted: "
                "threads or workers do not answer"
            )
        await trio.sleep(pause)
