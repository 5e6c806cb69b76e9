"""From the start of the process to the first secret read, unsealing included, and to its rest."""

import time
from http import HTTPStatus

from loadtests import wrk
from loadtests.bench.plan import write_load
from loadtests.servers import Server

FIRST = "/v1/secret/data/first"
REST_WITHIN = 300.0  # seconds: a warm-up of 1,000,000 takes its time
LOOK = 2.0  # seconds
IDLE = 0.03  # of a core


def seconds_after_stop(server: Server) -> float:
    """Seconds, after it was stopped in order."""
    server.stop()
    return _start(server)


def seconds_after_kill(server: Server) -> float:
    """Seconds, after kill -9 in the second in which writes ended."""
    wrk.run_load(server, write_load(), 1)
    server.kill()
    return _start(server)


def wait_idle(server: Server) -> None:
    """Return when it does nothing any more by itself, `REST_WITHIN` at the latest.

    Behind a start both kinds warm up, look through their logs or tidy; rows are of what comes then.
    """
    until = time.monotonic() + REST_WITHIN
    spent = server.cpu_seconds()
    while time.monotonic() < until:
        time.sleep(LOOK)
        now = server.cpu_seconds()
        if now - spent < IDLE * LOOK:
            return
        spent = now


def _start(server: Server) -> float:
    began = time.monotonic()
    server.start()
    server.unseal()
    server.api().wait_status(lambda status: status == HTTPStatus.OK, "GET", FIRST)
    return time.monotonic() - began
