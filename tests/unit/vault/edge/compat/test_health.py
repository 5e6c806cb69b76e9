"""Tests of what anybody may ask."""

import pytest

from tests.unit.vault.edge.compat.conftest import Wire
from vault.seal.manager import SealStatus

SEALED = SealStatus(
    type="shamir", initialized=True, sealed=True, threshold=2, shares=3, progress=1, nonce="n"
)
REFUSING = SealStatus(type="shamir", initialized=True, sealed=False, refusing="the disk is full")
NEW = SealStatus(type="shamir", initialized=False, sealed=True)


async def test_seal_status(wire: Wire) -> None:
    """Terraform needs a semver version of 1.16 or later; the cluster is told of an open vault."""
    answer = await wire.ask("GET", "sys/seal-status")
    assert answer.json == {
        "type": "shamir", "initialized": True, "sealed": False, "t": 2, "n": 3, "progress": 0,
        "nonce": "", "recovery_seal": False, "version": "2.7.2", "migration": False,
        "cluster_name": "freehold-vault-id", "cluster_id": "vault-id-1", "storage_type": "sql",
    }  # fmt: skip
    wire.gate.state = SEALED
    body = (await wire.ask("GET", "sys/seal-status")).json
    assert (body["sealed"], body["progress"], body["nonce"]) == (True, 1, "n")
    assert "cluster_id" not in body


@pytest.mark.parametrize(
    ("state", "query", "status"),
    [
        ("open", "", 200),
        ("open", "?activecode=299", 299),
        ("open", "?sealedcode=299", 200),
        ("open", "?standbyok=true", 200),
        ("sealed", "", 503),
        ("sealed", "?sealedcode=200", 200),
        ("refusing", "", 503),
        ("refusing", "?sealedcode=204", 204),
        ("refusing", "?activecode=204", 503),
        ("new", "", 501),
        ("new", "?uninitcode=200&sealedcode=201", 200),
        ("open", "?activecode=abc", 400),
        ("open", "?sealedcode=99", 400),
        ("open", "?sealedcode=2000", 400),
    ],
)
async def test_health(wire: Wire, state: str, query: str, status: int) -> None:
    """Load balancers go by the status, and choose it."""
    states = {"open": wire.gate.state, "sealed": SEALED, "refusing": REFUSING, "new": NEW}
    wire.gate.state = states[state]
    wire.token = ""
    answer = await wire.ask("GET", f"sys/health{query}")
    assert answer.status == status
    if status != 400:
        assert answer.json["sealed"] is (state in {"sealed", "new"})
        assert answer.json.get("refusing") == ("the disk is full" if state == "refusing" else None)
        assert answer.json["initialized"] is (state != "new")
        assert answer.json["server_time_utc"] == 1_800_000_000
