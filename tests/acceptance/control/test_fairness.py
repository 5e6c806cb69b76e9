"""A crowd of strangers at one address keeps nobody else waiting."""

import http.client
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Event, Lock

import pytest

from tests.acceptance.agent import PATIENCE, own_folder, running
from tests.acceptance.control.plane import API, PASSWORD, Plane, dev_plane

CROWD = 16
SERVED = 8  # of the crowd at most, until somebody who came behind all of it is
ELSEWHERE = "127.0.0.2"


@pytest.fixture(scope="module")
def costly_plane() -> Iterator[Plane]:
    """One whose passwords cost what they cost a user."""
    with own_folder() as folder:
        plane = dev_plane(folder)
        plane.anew = True
        with running(plane):
            plane.sign_in()
            plane.organization("acme")
            yield plane


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


def test_a_password_is_kept_as_a_slow_hash(costly_plane: Plane) -> None:
    """Argon2id with RFC 9106's second recommended parameters: 64 MiB, three passes, four lanes."""
    with closing(sqlite3.connect(costly_plane.data / "control.db", timeout=30)) as database:
        kept = [str(password) for (password,) in database.execute("SELECT password FROM users")]
    assert len(kept) == 2
    assert all(each.startswith("$argon2id$v=19$m=65536,t=3,p=4$") for each in kept)


def test_logins_of_strangers_do_not_hold_up_an_honest_one(costly_plane: Plane) -> None:
    """Each costs a password hash, and so the honest one waits for those that are computed."""
    plane = costly_plane
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
