"""A crowd of strangers at one address keeps nobody else waiting."""

import http.client
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock

from tests.acceptance.agent import PATIENCE
from tests.acceptance.control.plane import API, PASSWORD, Plane

CROWD = 16
SERVED = 8  # of the crowd at most, until somebody who came behind all of it is
ELSEWHERE = "127.0.0.2"


def sign_in(plane: Plane, source: str, name: str, password: str) -> int:
    """The status of one login from this address."""
    body = {"organization": "acme", "name": name, "password": password}
    wire = http.client.HTTPConnection(
        "127.0.0.1", plane.port, timeout=PATIENCE, source_address=(source, 0)
    )
    try:
        told = {"Content-Type": "application/json"}
        wire.request("POST", f"{API}sessions", json.dumps(body), told)
        return wire.getresponse().status
    finally:
        wire.close()


def test_logins_of_strangers_do_not_hold_up_an_honest_one(plane: Plane) -> None:
    """Each costs a password hash, and so the honest one waits for those that are computed."""
    answered: Counter[int] = Counter()
    begun, lock = Event(), Lock()

    def stranger(number: int) -> None:
        status = sign_in(plane, "127.0.0.1", f"nobody-{number}", "a guess of somebody")
        with lock:
            answered[status] += 1
        if status == 401:
            begun.set()

    with ThreadPoolExecutor(CROWD) as crowd:
        tasks = [crowd.submit(stranger, number) for number in range(CROWD)]
        assert begun.wait(PATIENCE)
        assert sign_in(plane, ELSEWHERE, "owner", PASSWORD) == 200
        hashed = answered[401]
        for task in tasks:
            task.result()
    assert hashed < SERVED
    assert answered == {401: CROWD}
