"""vault.jobs.clock_ahead: a clock that jumps, and time that is ahead of it, are told once each."""

from actors.testing import FakeWorld
from vault.audit.record import MAX_TEXT, AuditEvent
from vault.jobs.clock_ahead import ClockAheadAlert

HOUR = 3_600


class Told:
    """What is on record."""

    def __init__(self) -> None:
        self.world = FakeWorld()
        self.rules: list[str] = []
        self.look = ClockAheadAlert(self._record, self.world)

    async def _record(self, event: AuditEvent) -> None:
        assert event.alert
        assert len(event.rule) <= MAX_TEXT
        self.rules.append(event.rule)


async def test_a_jump_is_told_though_it_is_over() -> None:
    """Read once between two looks; not when the two agree, or nearly."""
    told = Told()
    for seconds, count in ((HOUR, 0), (40 * HOUR, 1), (400, 1), (50 * HOUR, 2)):
        told.world.step_wall(seconds)
        told.world.now()
        told.world.step_wall(-seconds)
        await told.look()
        assert len(told.rules) == count
    assert "jumped 144000 seconds ahead" in told.rules[0]
    assert "revoke" in told.rules[0]
    await told.look()
    assert len(told.rules) == 2


async def test_a_jump_that_lasts_is_told_once() -> None:
    """And that it is made up is none."""
    told = Told()
    told.world.step_wall(40 * HOUR)
    for _ in range(3):
        await told.look()
        told.world.advance(HOUR)
    assert len(told.rules) == 1


async def test_time_that_is_ahead_is_told_once_each_time() -> None:
    """After the clock was set back by more than an hour."""
    told = Told()
    for seconds, count in ((-HOUR, 0), (-HOUR, 1), (0, 1), (2 * HOUR, 1), (-2 * HOUR, 2)):
        told.world.step_wall(seconds)
        await told.look()
        assert len(told.rules) == count
    assert "7200 seconds ahead" in told.rules[0]
    assert "confirm-clock" in told.rules[0]


async def test_a_record_that_fails_is_tried_again() -> None:
    """A jump is not forgotten for it."""
    told = Told()

    async def fail(_event: AuditEvent) -> None:
        raise OSError

    look = ClockAheadAlert(fail, told.world)
    told.world.step_wall(40 * HOUR)
    try:
        await look()
    except OSError:
        told.world.step_wall(-40 * HOUR)
    look._record = told._record  # type: ignore[method-assign]
    await look()
    assert len(told.rules) == 1
