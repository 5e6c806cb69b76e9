"""A disk that is really full, under the running agent.

Run by `test_full_disk.py` in a mount namespace of its own, so that the mounts are gone with this
process, however that ends.

`python -m tests.acceptance.faults.disk` reads a line for each story, `["data", "FOLDER"]`, and
writes one when it is over: what went otherwise, or "".
"""

import json
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import disk_usage

from tests.acceptance.agent import Agent, Answer, running, served_agent
from tests.acceptance.control.plane import Plane, dev_plane
from tests.acceptance.link.test_agent import enrolled

SIZE = "96m"  # more than the audit log's reserve of 64 MiB
PAYLOAD = "x" * 2000
FREED_WITHIN = 15.0  # seconds from free space to service, the longest back-off included
FAILURES = 5
LEFT = 4 << 20  # bytes of the small disk that are left when it is low


def main(what: str, folder: Path) -> None:
    """Tell one story. Raises `AssertionError` when it goes otherwise."""
    workers = what == "workers"
    small = folder / "small"
    small.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "tmpfs", str(small)], check=True
    )
    agent = _agent(what, folder, small)
    if what in {"linked", "low"}:
        _linked(agent, folder, _low if what == "low" else _refusing, small / "filler")
        return
    with running(agent):
        _furnish(agent)
        kept = [n for n in range(10) if _write(agent, n).status == 200]
        assert len(kept) == 10
        _fill(small / "filler")
        kept += _until_refused(agent)
        _full(agent, reads_go_on=what == "data")
        _seen(agent, what)
        (small / "filler").unlink()
        _recovers(agent, what)
        kept.append(_until_served(agent))
        _need_kept(agent, kept)
        if workers:
            kept += _full_under_load(agent, small / "filler")
    with running(agent):
        _need_kept(agent, kept)
    assert agent.verify().returncode == 0
    assert "Traceback" not in agent.output()


def _linked(
    agent: Agent, folder: Path, story: Callable[[Agent, Plane, Path], tuple[str, str]], filler: Path
) -> None:
    """A story of which the control plane hears: the link's own folder has room."""
    (folder / "plane").mkdir()
    plane = dev_plane(folder / "plane")
    with running(plane):
        plane.sign_in()
        plane.organization("acme")
        enrolled(plane, "v", "--config", str(folder / "vault.yaml"))
        with running(agent):
            _furnish(agent)
            _eventually(lambda: _state(plane) == "online")
            code, severity = story(agent, plane, filler)
            filler.unlink()
            _eventually(lambda: _state(plane) == "online")
            _eventually(lambda: not any(state == "firing" for _, state, _ in _alerts(plane)))
            assert (code, "resolved", severity) in _alerts(plane)


def _refusing(agent: Agent, plane: Plane, filler: Path) -> tuple[str, str]:
    """The control plane has an alert while the agent refuses; its code and severity."""
    _fill(filler)
    _until_refused(agent)  # by the database or by the log, whichever was full first
    _eventually(lambda: "audit log" in str(_write(agent, 1_000).json))
    _eventually(lambda: _state(plane) == "refusing")
    _eventually(lambda: ("refusing", "firing", "critical") in _alerts(plane))
    return "refusing", "critical"


def _low(agent: Agent, plane: Plane, filler: Path) -> tuple[str, str]:
    """There is an alert while all is served: whoever frees space in time has no outage."""
    assert 'vault_disk_low{place="data"} 0.0' in _metrics(agent)
    _fill(filler, leaving=LEFT)
    _eventually(lambda: ("disk_low", "firing", "warning") in _alerts(plane))
    _eventually(lambda: _state(plane) == "degraded")
    assert _write(agent, 1).status == 200
    shown = _metrics(agent)
    assert 'vault_disk_low{place="data"} 1.0' in shown
    assert 'vault_disk_low{place="link"} 0.0' in shown
    disks = agent.call("GET", "/api/v1/system/health").json["disks"]
    assert [disk["place"] for disk in disks] == ["data", "audit", "anchor", "link"]
    assert [disk["low"] for disk in disks] == [True, True, True, False]
    assert disks[0]["free"] <= LEFT < disks[0]["total"]
    return "disk_low", "warning"


def _state(plane: Plane) -> str:
    return str(plane.want(200, "GET", "organizations/acme/agents/v")["state"])


def _alerts(plane: Plane) -> list[tuple[str, str, str]]:
    found = plane.want(200, "GET", "organizations/acme/alerts?vault=v")
    return [(row["code"], row["state"], row["severity"]) for row in found]


def _agent(what: str, folder: Path, small: Path) -> Agent:
    data, log = (small, folder) if what == "data" else (folder, small)
    linked = what in {"linked", "low"}
    if linked:  # database and log on one disk
        data = small
    agent = served_agent(
        folder,
        {
            "storage": {"type": "sqlite", "connection_string": f"sqlite:///{data}/vault.db"},
            "audit": {"enabled": True, "log_file": f"{log}/audit.log"},
            "control_plane": {
                "enabled": linked,
                "heartbeat_interval": "1s",
                "folder": f"{folder}/uplink",
            },
            "encryption": {"key_management": "file", "key_file": f"{folder}/root.key"},
            "server": {
                "listen": "127.0.0.1:0",
                "tls": {"enabled": False},
                "workers": 2 if what in {"workers", "linked", "low"} else 1,
            },
        },
    )
    agent.data = log
    return agent


def _furnish(agent: Agent) -> None:
    made = agent.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
    agent.token = made.json["root_token"]
    mount = {"type": "kv", "options": {"version": "2"}}
    assert agent.call("POST", "/v1/sys/mounts/secret", mount).status == 204


def _write(agent: Agent, number: int) -> Answer:
    body = {"data": {"n": number, "more": PAYLOAD}}
    return agent.call("POST", f"/v1/secret/data/n{number}", body)


def _fill(file: Path, *, leaving: int = 0) -> None:
    """Until not a byte more fits, or not more than so many."""
    if leaving:
        file.write_bytes(bytes(disk_usage(file.parent).free - leaving))
        return
    with file.open("ab", buffering=0) as filler:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    filler.write(b"x" * size)
            except OSError:
                continue


def _until_refused(agent: Agent) -> list[int]:
    """Write until the disk says no; those that were acknowledged before."""
    done: list[int] = []
    for number in range(100, 1_000):
        answer = _write(agent, number)
        if answer.status != 200:
            _need_clear(answer)
            return done
        done.append(number)
    raise AssertionError("the disk was never full")


def _full(agent: Agent, *, reads_go_on: bool) -> None:
    """Nothing is acknowledged; values are read on exactly if their records can be kept."""
    for number in range(2_000, 2_000 + FAILURES):
        _need_clear(_write(agent, number))
    _need_clear(agent.call("PUT", "/api/v1/secrets/secret/n1", {"value": 1}))
    for path in ("/v1/secret/data/n1", "/api/v1/secrets/secret/n2"):
        answer = agent.call("GET", path)
        if reads_go_on:
            assert answer.status == 200, answer
        else:
            _need_clear(answer)
            assert PAYLOAD.encode() not in answer.body
    assert agent.call("GET", "/health/live").status == 200


def _seen(agent: Agent, what: str) -> None:
    """Load balancers and monitoring see it, and the agent's pages say why."""
    if what == "data":
        _eventually(lambda: "vault_store_failing 1.0" in _metrics(agent))
        assert agent.call("GET", "/health/ready").status == 200
        assert "vault_refusing 0.0" in _metrics(agent)
        return
    _eventually(lambda: agent.call("GET", "/health/ready").status == 503)
    ready = agent.call("GET", "/health/ready").json
    assert ready == {"status": "refusing", "reason": "the audit log's disk is full"}
    health = agent.call("GET", "/v1/sys/health")
    assert (health.status, health.json["sealed"]) == (503, False)
    assert agent.call("GET", "/v1/sys/health?sealedcode=204").status == 204
    assert "disk is full" in agent.call("GET", "/v1/sys/seal-status").json["refusing"]
    for said in (
        "vault_refusing 1.0",
        "vault_audit_sinks_failing 1.0",
        'vault_audit_sink_failing{sink="file"} 1.0',
        'vault_secret_operations_total{operation="secret.read",status="unavailable"}',
        'vault_requests_refused_total{reason="audit_unavailable"}',
    ):
        _eventually(lambda said=said: said in _metrics(agent))
    assert 'vault_audit_sink_failing_seconds{sink="file"} 0.0\n' not in _metrics(agent)


def _recovers(agent: Agent, what: str) -> None:
    """By itself: who is not ready is sent no request that would try."""
    if what == "data":
        return
    _eventually(lambda: agent.call("GET", "/health/ready").status == 200)
    _eventually(lambda: "vault_refusing 0.0" in _metrics(agent))  # whoever asks often gets old ones
    shown = _metrics(agent)
    assert "vault_audit_sinks_failing 0.0" in shown
    assert 'vault_audit_sink_failing_seconds{sink="file"} 0.0\n' in shown


def _metrics(agent: Agent) -> str:
    return agent.call("GET", "/metrics").body.decode()


def _full_under_load(agent: Agent, filler: Path) -> list[int]:
    """What was done is answered as done, and has its end on record; those that were acknowledged.

    Whoever writes the records (a worker has no reserve of its own).
    """
    done: list[int] = []
    told: list[str] = []
    stopped = threading.Event()

    def write(first: int) -> None:
        number = first
        with agent.client() as client:
            while not stopped.is_set():
                body = {"data": {"n": number, "more": PAYLOAD}}
                answer = client.call("POST", f"/v1/secret/data/n{number}", body)
                if answer.status == 200:
                    done.append(number)
                    number += 1
                told.append(answer.body.decode())

    with ThreadPoolExecutor() as pool:
        writers = [pool.submit(write, 10_000 * writer) for writer in range(1, 7)]
        try:
            for _ in range(5):
                refused = len(told) - len(done)
                _fill(filler)
                _eventually(lambda refused=refused: len(told) - len(done) > refused + 6)
                filler.unlink()
                before = len(done)
                _eventually(lambda before=before: len(done) > before + 50)
        finally:
            stopped.set()
        for writer in writers:
            writer.result()
    assert not any("not on record" in text for text in told)
    return done[-20:]


def _need_clear(answer: Answer) -> None:
    assert answer.status == 503, answer
    assert b"disk" in answer.body, answer
    assert b"full" in answer.body, answer
    # A commit that the disk has cut short may be stored: nobody is asked to come again.
    unknown = b"outcome: unknown" in answer.body or b'"outcome":"unknown"' in answer.body
    assert unknown != ("retry-after" in answer.headers), answer


def _until_served(agent: Agent) -> int:
    """Write until it is taken again, without a restart; the number that was."""
    numbers = iter(range(3_000, 4_000))
    _eventually(lambda: _write(agent, next(numbers)).status == 200)
    return next(numbers) - 1


def _need_kept(agent: Agent, numbers: list[int]) -> None:
    for number in numbers:
        answer = agent.call("GET", f"/v1/secret/data/n{number}")
        assert answer.status == 200, answer
        assert answer.json["data"]["data"]["n"] == number


def _eventually(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + FREED_WITHIN
    while not holds():
        assert time.monotonic() < end, "not again within the time allowed"
        time.sleep(0.1)


def told(what: str, folder: Path) -> str:
    """What went otherwise in this story; empty if nothing did."""
    try:
        main(what, folder)
    except Exception:  # noqa: BLE001  # whoever asked fails with it
        return traceback.format_exc()
    finally:
        subprocess.run(["umount", "--lazy", str(folder / "small")], check=True)
    return ""


if __name__ == "__main__":
    for line in sys.stdin:
        asked, place = json.loads(line)
        print(json.dumps(told(asked, Path(place))), flush=True)  # noqa: T201  # its answer
