"""Streams end with the credential that opened them."""

import pytest
import trio

from vault.authn import stream_registry as module
from vault.authn.stream_registry import StreamRegistry


async def test_revocation_cuts(autojump_clock: trio.abc.Clock) -> None:
    """The streams of a revoked credential end, those of others go on."""
    sessions, ended = StreamRegistry(), []

    async def stream(credential: str, seconds: float) -> None:
        with sessions.open_stream(credential) as scope:
            await trio.sleep(seconds)
        ended.append((credential, scope.cancelled_caught, trio.current_time() - start))

    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        for credential in ("a", "a", "b"):
            nursery.start_soon(stream, credential, 10)
        await trio.sleep(1)
        assert len(sessions) == 3
        sessions.cancel_streams(["a", "unknown"])
    assert ended == [("a", True, 1), ("a", True, 1), ("b", False, 10)]
    assert len(sessions) == 0


async def test_revoked_before_it_registered() -> None:
    """A stream that registers after the revocation it raced with is cut at once."""
    sessions = StreamRegistry()
    sessions.cancel_streams(["a"])
    with trio.fail_after(30), sessions.open_stream("a") as scope:
        await trio.sleep_forever()
    assert scope.cancelled_caught
    assert len(sessions) == 0


async def test_errors_pass() -> None:
    """What a stream raises goes to its caller, and it is no longer registered."""
    sessions = StreamRegistry()
    with pytest.raises(KeyError), sessions.open_stream("a"):
        raise KeyError
    assert len(sessions) == 0


async def test_outer_cancellation_passes() -> None:
    """A cancellation that is not the revocation's is not swallowed."""
    sessions = StreamRegistry()
    with trio.CancelScope() as outer:
        outer.cancel()
        with sessions.open_stream("a") as scope:
            await trio.sleep_forever()
    assert outer.cancelled_caught
    assert not scope.cancelled_caught


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the latest revocations are remembered; a repeated one counts as late."""
    monkeypatch.setattr(module, "MAX_REMEMBERED", 3)
    sessions = StreamRegistry()
    sessions.cancel_streams("abca")
    sessions.cancel_streams("d")
    assert list(sessions._revoked) == ["c", "a", "d"]
