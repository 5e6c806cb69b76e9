"""Tests of the pipeline: what decides on a request is as it is stored."""

import pytest
import trio

from tests.unit.vault.test_pipeline import Parts, handler, op
from vault.authz.rate_limits import TokenBuckets
from vault.authz.record_limits import RecordLimits
from vault.errors import UnavailableError, VaultError
from vault.model.identity import Identity
from vault.model.operation import Origin


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
    """What is behind is read before it is asked who it is, once; what is not costs nothing."""
    parts = Parts()
    pipeline = parts.pipeline(op=handler(parts), held=[Snapshot(parts)])
    await pipeline.run_operation(op())
    await pipeline.run_operation(op())
    assert parts.diary[:4] == ["refresh", "authenticate s.text", "limit u1", "decide read"]
    assert parts.diary.count("refresh") == 1


async def test_it_is_looked_for_anew_once_a_transaction_has_ended() -> None:
    """A look at one number is all a request costs; what ended since is followed before it."""
    parts = Parts()
    snapshot = Snapshot(parts)
    pipeline = parts.pipeline(op=handler(parts), held=[snapshot])
    await pipeline.run_operation(op())
    snapshot.is_stale = True  # only what ends makes it so
    parts.ended += 1
    await pipeline.run_operation(op())
    assert parts.diary.count("refresh") == 2


async def test_what_ends_during_a_look_is_looked_for_again() -> None:
    """The number counts that was there before the look, not the one after it."""
    parts = Parts()

    class Overtaken(Snapshot):
        async def refresh(self) -> None:
            await super().refresh()
            if not parts.ended:
                parts.ended, self.is_stale = 1, True

    await parts.pipeline(op=handler(parts), held=[Overtaken(parts)]).run_operation(op())
    assert parts.diary.count("refresh") == 2


async def test_nothing_is_decided_on_what_is_behind() -> None:
    """While it cannot be read, requests are refused, and that is on record."""
    parts = Parts()
    held = [Snapshot(parts, UnavailableError("store_unavailable", "gone"))]
    pipeline = parts.pipeline(op=handler(parts), held=held)
    for _ in range(2):
        with pytest.raises(UnavailableError, match="store_unavailable"):
            await pipeline.run_operation(op())
    assert parts.diary == ["refresh", "outcome failed"] * 2


@pytest.mark.parametrize("is_behind", [True, False], ids=["behind", "away"])
async def test_what_fails_before_it_is_asked_who_it_is_has_a_pace(*, is_behind: bool) -> None:
    """By address: else whoever has no credential could fill the disk with records of an outage."""
    parts, away = Parts(), UnavailableError("store_unavailable", "gone")
    parts.refusals = RecordLimits(TokenBuckets(1, 2), TokenBuckets(10, 20), lambda: 0)
    parts.away = None if is_behind else away
    pipeline = parts.pipeline(op=handler(parts), held=[Snapshot(parts, away)])
    for _ in range(5):
        with pytest.raises(UnavailableError):
            await pipeline.run_operation(op())
    assert [event.code for event in parts.events] == ["store_unavailable"] * 2
    refused = parts.refusals.drain()
    assert refused is not None
    assert (refused.count, refused.most) == (3, "10.0.0.1")


async def test_what_only_takes_away_is_decided_all_the_same() -> None:
    """Sealing by what was in force: a database that is gone must not keep a vault open."""
    parts = Parts()
    held = [Snapshot(parts, UnavailableError("store_unavailable", "gone"))]
    assert (
        await parts.pipeline(op=handler(parts, only_restricts=True), held=held).run_operation(op())
        == "done"
    )
    assert parts.diary == [
        "refresh", "authenticate s.text", "limit u1", "decide read", "handle", "outcome ok"
    ]  # fmt: skip


async def test_what_a_login_commits_is_followed_before_it_is_decided() -> None:
    """Who it is may have been written by the login itself."""
    parts = Parts()
    snapshot = Snapshot(parts)

    class LoggingIn(Parts):
        """Whose authentication is a login."""

        async def authenticate(self, credential: str | None, origin: Origin) -> Identity:
            """It commits."""
            found = await super().authenticate(credential, origin)
            self.ended, snapshot.is_stale = self.ended + 1, True
            return found

    parts = LoggingIn(diary=parts.diary)
    await parts.pipeline(op=handler(parts), held=[snapshot]).run_operation(op())
    assert parts.diary[:5] == [
        "refresh", "authenticate s.text", "limit u1", "refresh", "decide read"
    ]  # fmt: skip
