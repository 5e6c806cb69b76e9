"""What is used, from the request to the control plane's answer: no name on the way."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from tests.acceptance.agent import dev_agent, running
from tests.acceptance.command import freehold
from tests.acceptance.control.plane import Plane, dev_plane
from tests.acceptance.link.test_agent import BASE, enrolled, until

NAME, VALUE = "canaryname-7d1e", "canary-value-20ab"


def test_use_is_told_by_opaque_ids_alone(folder: Path) -> None:
    """Counted, forecast, exported; names and values neither on the wire nor in the database."""
    (folder / "plane").mkdir()
    (folder / "agent").mkdir()
    plane = dev_plane(folder / "plane")
    agent = dev_agent(folder / "agent")
    agent.command.extend(("--heartbeat", "1s"))
    with running(plane):
        plane.sign_in()
        plane.organization("acme")
        enrolled(plane, "one", "--data-dir", str(agent.data))
        with running(agent):
            body = {"data": {"password": VALUE}}
            assert agent.call("POST", f"/v1/secret/data/{NAME}", body).status == 200
            for _ in range(5):
                assert agent.call("GET", f"/v1/secret/data/{NAME}").status == 200

            def rows() -> list[dict[str, Any]]:
                found: list[dict[str, Any]]
                found = plane.want(200, "GET", f"{BASE}/usage/top?of=secret")["rows"]
                return found

            until(lambda: rows() and rows()[0]["count"] == 5)
            opaque = rows()[0]["subject"]

            def operations() -> dict[str, int]:
                told = plane.want(200, "GET", f"{BASE}/usage")["operations"]
                return {row["operation"]: row["count"] for row in told}

            until(lambda: operations().get("secret.read", 0) >= 5)  # another message
            seen = plane.want(200, "GET", f"{BASE}/usage")
            assert seen["secrets"]["total"] == seen["agents"] == seen["opaque_agents"] == 1
            until(lambda: plane.want(200, "GET", f"{BASE}/usage/top?of=identity")["rows"])
            assert (
                plane.want(200, "GET", f"{BASE}/usage/secrets?which=all")["rows"][0]["reads"] == 5
            )
            assert plane.want(200, "GET", f"{BASE}/usage/curve?operation=secret.read")[0]["count"]
            assert {one["enough"] for one in plane.want(200, "GET", f"{BASE}/capacity")} == {False}
            _keys_are_told(plane)
            table = plane.ask("GET", f"{BASE}/usage/export?of=secret&format=csv")
            assert table.headers["content-type"].startswith("text/csv")
            [row] = csv.DictReader(io.StringIO(table.body.decode()))
            assert (row["vault"], row["subject"]) == ("one", opaque)
            assert (
                plane.ask("GET", f"{BASE}/usage/export?of=all&format=json").json[0]["secret"]
                == opaque
            )
            who = agent.call("GET", f"/api/v1/system/usage/{opaque}").json
            assert (who["kind"], who["name"]) == ("secret", f"secret/{NAME}")
            assert agent.call("GET", f"/api/v1/system/usage/{'0' * 32}").status == 404
            environment = {"FREEHOLD_ADDR": agent.address, "FREEHOLD_TOKEN": agent.token}
            listed = freehold("-o", "json", "agent", "usage", "list", environment=environment)
            assert listed.returncode == 0, listed.stderr
            assert [one["opaque"] for one in json.loads(listed.stdout)] == [opaque]
    ledger = (agent.data / "uplink" / "egress.log").read_text().splitlines()
    sent = b"".join(_frames(ledger))
    assert b"usage" in sent
    kept = b"".join(file.read_bytes() for file in plane.data.rglob("*") if file.is_file())
    assert opaque.encode() in kept
    for canary in (NAME.encode(), VALUE.encode()):
        assert canary not in sent
        assert canary not in kept


def _keys_are_told(plane: Plane) -> None:
    """The first generation of the key, and no change of it owed; the same as a table."""
    until(lambda: plane.want(200, "GET", f"{BASE}/usage/keys")["rows"])
    [key] = plane.want(200, "GET", f"{BASE}/usage/keys")["rows"]
    assert (key["generation"], key["due_since"], key["exact"]) == (1, None, False)
    assert plane.want(200, "GET", f"{BASE}/usage/keys?due=true")["rows"] == []
    assert plane.ask("GET", f"{BASE}/usage/export?of=keys&format=json").json == [key]


def _frames(ledger: list[str]) -> list[bytes]:
    from base64 import b64decode

    return [b64decode(json.loads(line).get("data", "")) for line in ledger]
