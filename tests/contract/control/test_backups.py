"""Reports of backups on every database: stored by agent, read by vault, judged into alerts."""

from typing import Any

import pytest
from msgspec.structs import replace

from control.model.agents import Life, new_agent
from control.model.backups import BackupRecord
from control.services.vault_reports import VaultReport, record_backups
from control.store import agents, alerts, live_queries
from control.store.rows import Tx
from control.store.store import Store
from control.store.vault_reports import backups
from protocols.instant import DAY
from protocols.pki.names import AgentName

GOOD = BackupRecord(
    org="acme", vault="a", state="good", newest=30 * DAY, proven=30 * DAY, count=2**63 - 1,
    period=2**63 - 1, rto=1, rpo=0, certificate=b"\x00" + b"c" * 31, at=30 * DAY,
)  # fmt: skip


@pytest.fixture
async def vaults(store: Store) -> Store:
    """`a`, `b` and `gone` share a vault in acme; `c` is one of its own; `other` is of globex."""

    def add(tx: Tx) -> None:
        for org, name, vault_id in (
            ("acme", "a", "x"), ("acme", "b", "x"), ("acme", "gone", "x"), ("acme", "c", ""),
            ("globex", "other", "x"),
        ):  # fmt: skip
            life = Life.RETIRED if name == "gone" else Life.ACTIVE
            row = replace(new_agent(org, name, life, now=1), vault_id=vault_id)
            agents.add_agent(tx, row)

    await store.write(add)
    return store


async def report(store: Store, *said: tuple[str, dict[str, Any]]) -> None:
    """Reports of agents of acme, in one transaction."""
    reports = []
    for number, (name, fields) in enumerate(said):
        row = replace(GOOD, vault=name, **fields)
        ids = tuple(f"{name}-{row.state}-{row.at}-{number}-{each}" for each in range(3))
        reports.append(VaultReport(AgentName("acme", name), row, ids, row.at))
    await store.write(lambda tx: record_backups(tx, reports))


async def firing(store: Store) -> list[tuple[str, str]]:
    """Agent and code of each alert of acme that fires."""
    found = await store.read(lambda tx: backups.firing_codes(tx, "acme"))
    return sorted((vault, code) for _, vault, code in found)


async def test_reports_are_read_by_vault(vaults: Store) -> None:
    """Of active agents, in their organization; every value that the link allows is kept."""
    other = replace(GOOD, org="globex", vault="other")
    rows = [replace(GOOD, vault=name) for name in ("a", "b", "gone", "c")]
    await vaults.write(lambda tx: backups.put_records(tx, *rows, other))
    found = await vaults.read(lambda tx: backups.list_organization_reports(tx, "acme"))
    names = {key: sorted(row.vault for row in some) for key, some in found.items()}
    assert names == {"=x": ["a", "b"], "c": ["c"]}
    assert found["c"] == [rows[3]]
    of_b = await vaults.read(lambda tx: backups.get_vault_reports(tx, "acme", [("b", "x")]))
    assert {row.vault for row in of_b["=x"]} == {"a", "b"}
    every = await vaults.read(backups.list_vault_reports)
    assert [(each.org, each.key) for each in every] == [
        ("acme", "=x"), ("acme", "c"), ("globex", "=x"),
    ]  # fmt: skip
    seen = await vaults.read(lambda tx: live_queries.list_agent_summaries(tx, "acme", "", 9))
    counts = {row.vault: len(row.backups) for row in seen}
    assert counts == {"a": 2, "b": 2, "c": 1, "gone": 2}


async def test_many_reports_of_one_batch_are_one_alert(vaults: Store) -> None:
    """Each agent twice: the last counts; the episode is whole when a later batch ends it."""
    failed = {"state": "failed", "period": 86_400}
    await report(vaults, ("a", {}), ("b", failed), ("a", failed), ("c", {}), ("b", failed))
    assert await firing(vaults) == [("a", "backup_failed")]
    later = {"period": 86_400, "newest": 31 * DAY, "at": 31 * DAY}
    await report(vaults, ("b", later))
    assert await firing(vaults) == []
    [row] = await vaults.read(lambda tx: alerts.list_alerts(tx, "acme", limit=9))
    assert (row.code, row.ended_at) == ("backup_failed", 31 * DAY)
    records = await vaults.read(lambda tx: backups.get_records(tx, "acme", ["a", "b", "nobody"]))
    assert {name: each.state for name, each in records.items()} == {"a": "failed", "b": "good"}
