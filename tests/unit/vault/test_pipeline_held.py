"""Tests of the pipeline: what decides on a request is as it is stored."""

import pytest
import trio

from tests.unit.vault.test_pipeline import Parts, handler, op
from vault.errors import UnavailableError, VaultError


class Snapshot:
    """Something that decides and may be behind; writes into the diary when it is read anew."""

    def __init__(self, parts: Parts, error: VaultError | None = None) -> None:
        self.is_stale, self._parts, self._error = True, parts, error

    async def refresh(self) -> None:
        """Read, or fail."""
        await trio.lowlevel.checkpoint()
        self._parts.diary.append("refresh")
        if self._error is not None:
            raise self._error
        self.is_stale = False


async def test_what_decides_follows_what_is_stored() -> None:
    """What is behind is read before the decision, once; what is not costs nothing."""
    parts = Parts()
    pipeline = parts.pipeline(op=handler(parts), held=[Snapshot(parts)])
    await pipeline.run(op())
    await pipeline.run(op())
    assert parts.diary[:4] == ["authenticate s.text", "limit u1", "refresh", "decide read"]
    assert parts.diary.count("refresh") == 1


async def test_nothing_is_decided_on_what_is_behind() -> None:
    """While it cannot be read, requests are refused, and that is on record."""
    parts = Parts()
    held = [Snapshot(parts, UnavailableError("store_unavailable", "gone"))]
    with pytest.raises(UnavailableError, match="store_unavailable"):
        await parts.pipeline(op=handler(parts), held=held).run(op())
    assert parts.diary[2:] == ["refresh", "outcome failed"]


async def test_what_only_takes_away_is_decided_all_the_same() -> None:
    """Sealing by what was in force: a database that is gone must not keep a vault open."""
    parts = Parts()
    held = [Snapshot(parts, UnavailableError("store_unavailable", "gone"))]
    assert await parts.pipeline(op=handler(parts, closes=True), held=held).run(op()) == "done"
    assert parts.diary[2:] == ["refresh", "decide read", "handle", "outcome ok"]
