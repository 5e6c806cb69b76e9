"""Usage and capacity in a real browser, over counts as agents would have told them."""

import csv
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visiting
from tests.browser.estate import Estate
from tests.browser.visit import NARROW, PATIENCE

DAY = 86_400
SECRET = "0123456789abcdef" * 2
TABLES = ("usage_looks", "usage_counts", "usage_secrets")
CLASSES = json.dumps([0, 0, 0, 4, 0, 0, 0])
NONE = json.dumps([0] * 7)
expect.set_options(timeout=PATIENCE)


@pytest.fixture
def _told(estate: Estate) -> Iterator[None]:
    """Of agent one: twenty days of reads, and a secret that nobody reads."""
    now = estate.plane.want(200, "GET", "organizations/acme/audit?limit=1")[0]["at"]
    path = estate.plane.data / "control.db"
    with closing(sqlite3.connect(path, timeout=30)) as database, database:
        today = database.execute("SELECT unixepoch(?)", (now,)).fetchone()[0] // DAY * DAY
        _tell(database, today)
    yield
    with closing(sqlite3.connect(path, timeout=30)) as database, database:
        for table in TABLES:
            database.execute(f"DELETE FROM {table} WHERE org = 'acme'")  # noqa: S608 - names


def _tell(database: sqlite3.Connection, today: int) -> None:
    look = ("acme", "one", today, 4, 0, 0, NONE, CLASSES, NONE, 1)
    database.execute("INSERT OR REPLACE INTO usage_looks VALUES (?,?,?,?,?,?,?,?,?,?)", look)
    old = ("acme", "one", SECRET, today - 200 * DAY, today - 300 * DAY, 0, today)
    database.execute("INSERT INTO usage_secrets VALUES (?,?,?,?,?,?,?)", old)
    for at in range(today - 20 * DAY, today, DAY):
        row = ("acme", "one", DAY, at, "operation", "secret.read", at, 100, 5)
        database.execute("INSERT INTO usage_counts VALUES (?,?,?,?,?,?,?,?,?)", row)


@pytest.mark.usefixtures("_told")
def test_usage_is_shown_and_taken_away(visit: Visiting, tmp_path: Path) -> None:
    """Added up, by operation, an unused secret as a table to keep, a forecast with its band."""
    with visit(role="viewer", size=NARROW) as window:
        page = window.page
        window.open("/usage")
        expect(page.locator(".figure").filter(has_text=re.compile("^Operations"))).to_contain_text(
            re.compile(r"[2-9](\.\d)?k")  # the estate's own agents tell theirs meanwhile
        )
        window.see("secret.read")
        expect(page.locator(".figure").filter(has_text="System operations")).to_be_visible()
        expect(page.get_by_role("listitem").filter(has_text="less than 1 d")).to_have_count(3)
        assert window.findings() == []
        page.get_by_role("tab", name="Secrets").click()
        expect(page.get_by_role("row").filter(has_text="one")).to_contain_text(SECRET)
        with page.expect_download() as download:
            page.get_by_role("button", name="CSV: unused").click()
        download.value.save_as(tmp_path / "unused.csv")
        rows = list(csv.DictReader((tmp_path / "unused.csv").read_text().splitlines()))
        assert [(row["vault"], row["secret"]) for row in rows] == [("one", SECRET)]
        page.get_by_label("Days").fill("250")
        window.see("None")
        assert window.findings() == []

        window.go("/usage?tab=keys&vault=one")
        expect(page.get_by_role("row").filter(has_text="one")).to_contain_text("or longer")
        window.see("Agents that owe a change of the key-encryption key: 0 of 1.")
        assert window.findings() == []

        window.go("/usage?tab=capacity&vault=one")
        page.get_by_text("90 % band").wait_for()
        expect(page.get_by_role("figure", name="Requests an hour")).to_be_visible()
        with page.expect_download() as download:
            page.get_by_role("button", name="JSON").click()
        download.value.save_as(tmp_path / "capacity.json")
        found = {row["name"]: row for row in json.loads((tmp_path / "capacity.json").read_text())}
        assert found["requests"]["enough"]
        assert not found["secrets"]["enough"]
        assert window.findings() == []
        assert window.overflow <= 0
