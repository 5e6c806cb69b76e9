"""The egress ledger for whoever looks at it while the agent runs."""

from pathlib import Path

import pytest

from tests.unit.vault.control_link.test_egress_ledger import ledger, sending
from vault.control_link.egress_ledger import read_egress_page, verify_egress_ledger
from vault.errors import TamperedError
from vault.model.link import SentPage


async def filled(path: Path) -> None:
    """Twelve entries of eleven bytes, in several files."""
    async with ledger(path, file_bytes=2_000, kept=20) as opened:
        link = sending()
        for number in range(12):
            await opened.record(link, [b"frame %05d" % number])


async def test_pages_lead_from_the_newest_to_the_first(tmp_path: Path) -> None:
    """Each entry once; the last page says that it is."""
    path = tmp_path / "egress.log"
    await filled(path)
    seen, before = [], 0
    while True:
        found = read_egress_page(path, before, 5)
        seen += [entry.entry for entry in found.entries]
        before = found.before
        if not before:
            break
    assert seen == list(range(12, 0, -1))
    assert found.entries[0].says == "not a message of the link"


async def test_a_whole_ledger_is_counted(tmp_path: Path) -> None:
    """Entries, bytes, and from which to which."""
    path = tmp_path / "egress.log"
    await filled(path)
    found = verify_egress_ledger(path)
    assert (found.entries, found.bytes, found.first, found.last, found.fault) == (
        12, 12 * 11, 1, 12, "",
    )  # fmt: skip


async def test_a_changed_line_is_found_and_not_shown(tmp_path: Path) -> None:
    """The fault names file and line; a page with a false entry is refused."""
    path = tmp_path / "egress.log"
    await filled(path)
    path.write_bytes(path.read_bytes().replace(b"control.test", b"evil0000.test"))
    assert "line" in verify_egress_ledger(path).fault
    with pytest.raises(TamperedError, match="egress_tampered"):
        read_egress_page(path, 0, 5)


def test_an_agent_that_never_had_a_control_plane_sent_nothing(tmp_path: Path) -> None:
    """Without a folder, and with an empty one."""
    for path in (tmp_path / "none" / "egress.log", tmp_path / "egress.log"):
        assert read_egress_page(path, 0, 5) == SentPage((), 0)
        assert verify_egress_ledger(path).entries == 0
