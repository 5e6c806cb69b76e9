"""A log that others write, too: none of an earlier run is there, and none holds up the others."""

from pathlib import Path

import pytest
import trio

from actors.testing import FakeWorld
from tests.unit.vault.audit.ends import Ends
from vault.audit.broker import open_audit
from vault.audit.shared_log import WATCH_INTERVAL
from vault.audit.shared_tail import SharedTail
from vault.audit.sinks.file import FileSink
from vault.audit.testing import LOG_ID, make_event, make_keys
from vault.audit.writer import AuditConfig
from vault.errors import UnavailableError

KEYS = make_keys()


async def test_an_earlier_run_that_has_not_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of its processes could write what we do not know of: the log is not opened."""
    monkeypatch.setattr("vault.audit.shared_log.EXCLUSIVE_TIMEOUT", 0.05)
    log = tmp_path / "audit.log"
    ends = Ends(log)
    sink = FileSink(log, reserve_bytes=0)
    async with open_audit(AuditConfig(), KEYS, LOG_ID, [sink], FakeWorld()) as owner:
        await owner.record(make_event(0))
    lingering = ends.view()
    lingering.announce()
    with pytest.raises(UnavailableError, match="an earlier run has not ended"):
        async with open_audit(AuditConfig(), KEYS, LOG_ID, [sink], FakeWorld()):
            pass
    lingering.close()
    for _ in range(2):  # and what an opening itself holds is given up with it
        async with open_audit(AuditConfig(), KEYS, LOG_ID, [sink], FakeWorld(), tail=ends.view()):
            pass


async def test_who_keeps_the_turn_is_ended(tmp_path: Path) -> None:
    """After two looks at one and the same turn, and not for turns that follow each other."""
    log, world = tmp_path / "audit.log", FakeWorld()
    ends, evicted = Ends(log), []
    end = SharedTail(ends.memory, ends.layout.head_file, evict=evicted.append)
    sink = FileSink(log, reserve_bytes=0)
    async with open_audit(AuditConfig(), KEYS, LOG_ID, [sink], world, tail=end):
        other = ends.view()
        for _ in range(3):
            other.acquire()
            other.release()
            other.acquire()
            world.advance(WATCH_INTERVAL)
            await trio.testing.wait_all_tasks_blocked()
            other.release()
        assert evicted == []
        other.acquire()
        pid, _ = other.holder
        for _ in range(2):
            world.advance(WATCH_INTERVAL)
            await trio.testing.wait_all_tasks_blocked()
        assert evicted == [pid]
        other.close()
