"""Alerts in every store: narrowed, and page by page."""

from typing import Any

from msgspec.structs import replace

from control.model.records import Alert, Severity
from control.store import records
from control.store.store import Store


async def test_alerts_are_narrowed_and_none_is_skipped(store: Store) -> None:
    """By severity, state and any text as it is; page by page, also where many are of one moment."""
    rows = [
        Alert(f"a{n}", "acme", "v", "offline", Severity.INFO, f"message {n}", 5, "", 0)
        for n in range(5)
    ]
    rows[1] = replace(rows[1], severity=Severity.CRITICAL, message="100%_Sure", note="Über")
    rows[2] = replace(rows[2], acknowledged_at=7, vault="west")
    rows[4] = replace(rows[4], at=4)
    await store.write(lambda tx: records.add_alerts(tx, *rows))
    common: Any = {"vault": "", "unacknowledged": False, "before": 0}

    async def ids(limit: int = 9, **narrow: Any) -> list[str]:
        narrowed = records.Narrow(**narrow)
        found = await store.read(
            lambda tx: records.alerts_of(tx, "acme", **common, limit=limit, narrow=narrowed)
        )
        return [alert.id for alert in found]

    assert await ids(severity="critical") == ["a1"]
    assert await ids(acknowledged=True) == ["a2"]
    for text, found in (("%_s", ["a1"]), ("WEST", ["a2"]), ("ber", ["a1"]), ("e_", [])):
        assert await ids(text=text) == found
    assert await ids(2) == ["a0", "a1"]
    assert await ids(2, behind=rows[1]) == ["a2", "a3"]
    assert await ids(2, behind=rows[3]) == ["a4"]
