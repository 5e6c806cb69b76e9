"""From the start of the process to the first secret read, unsealing included."""

import time
from http import HTTPStatus

from loadtests import wrk
from loadtests.bench.plan import write
from loadtests.servers import Server

FIRST = "/v1/secret/data/first"


def after_stop(server: Server) -> float:
    """Seconds, after it was stopped in order."""
    server.stop()
    return _start(server)


def after_kill(server: Server) -> float:
    """Seconds, after kill -9 in the second in which writes ended."""
    wrk.run(server, write(), 1)
    server.kill()
    return _start(server)


def _start(server: Server) -> float:
    began = time.monotonic()
    server.start()
    server.unseal()
    server.api().wait(lambda status: status == HTTPStatus.OK, "GET", FIRST)
    return time.monotonic() - began
