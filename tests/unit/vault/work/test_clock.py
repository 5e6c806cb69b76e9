"""vault.work.clock: time that is ahead of the machine's clock is told once."""

from actors.testing import FakeWorld
from vault.audit.record import MAX_TEXT, AuditEvent
from vault.work.clock import ClockAhead

HOUR = 3_600


async def test_time_that_is_ahead_is_told_once_each_time() -> None:
    """After the clock jumped and was put right; not while the two agree, or nearly."""
    world, told = FakeWorld(), list[AuditEvent]()

    async def record(event: AuditEvent) -> None:
        told.append(event)

    look = ClockAhead(record, world)
    world.now()
    for seconds, count in ((HOUR, 0), (-HOUR, 0), (40 * HOUR, 0), (-40 * HOUR, 1), (0, 1)):
        world.step_wall(seconds)
        world.now()
        await look()
        assert len(told) == count
    assert told[0].alert
    assert "144000 seconds ahead" in told[0].rule
    assert "confirm-clock" in told[0].rule
    assert len(told[0].rule) <= MAX_TEXT
    world.step_wall(41 * HOUR)
    world.now()
    await look()
    world.step_wall(-41 * HOUR)
    await look()
    assert len(told) == 2
