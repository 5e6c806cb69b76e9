"""A control plane whose clock is far behind issues nothing, and locks nobody for it."""

import pytest

from control.ca.clock_guard import ClockGuard
from control.ca.store import AgentState
from control.errors import UnavailableError
from protocols.pki.names import AgentName
from tests.unit.control.ca.harness import NAME, Ca
from tests.unit.protocols.pki.samples import NOW

OTHER = AgentName.from_slugs("acme", "dev")
DAY = 86_400
NANO = 1_000_000_000


async def behind(ca: Ca) -> None:
    """A return that is asked for is refused, and the agent stays what it was."""
    with pytest.raises(UnavailableError) as told:
        await ca.enrolled(AgentName.from_slugs("acme", "new"))
    assert (told.value.code, told.value.details["org"]) == ("clock_behind", "acme")
    assert (await ca.agent()).state is AgentState.ACTIVE


async def test_who_returns_to_a_clock_that_is_behind_is_not_taken_for_a_thief() -> None:
    """It is refused, asks again with a new key, and has its certificate when the clock is right."""
    ca = Ca()
    asking = await ca.enrolled()
    ca.world.advance(5 * DAY)
    await ca.enrolled(OTHER)  # what the control plane has seen
    boot = Ca(ca.ledger, begin=NOW + 2 * DAY * NANO)
    own = asking.held
    for _ in range(2):  # the second one made the agent a thief of its own certificate
        asking.held = own
        with pytest.raises(UnavailableError) as told:
            await boot.renewal.rejoin(asking.rejoin())
        assert told.value.code == "clock_behind"
    await behind(boot)
    assert (await boot.agent()).generation == 1
    boot.world.advance(3 * DAY)
    asking.held = own
    assert (await boot.renewal.rejoin(asking.rejoin())).generation == 2
    assert (await boot.agent(NAME)).state is AgentState.ACTIVE


async def test_a_clock_that_is_behind_with_nothing_newer_locks_nobody() -> None:
    """The trail and the ledger hold nothing newer than the last certificate: no check sees it.

    What is issued is over on arrival, and the agent asks again with the certificate that it has;
    by this clock that is not over, so it is refused, until the clock is right.
    """
    ca = Ca()
    asking = await ca.enrolled()
    own = asking.held
    boot = Ca(ca.ledger, begin=NOW + 600 * NANO)  # it is a month later
    lost = await boot.renewal.rejoin(asking.rejoin())
    assert lost.generation == 2
    for _ in range(2):
        asking.held = own
        with pytest.raises(UnavailableError) as told:
            await boot.renewal.rejoin(asking.rejoin())
        assert (told.value.code, told.value.details["org"]) == ("clock_behind", "acme")
    assert ((await boot.agent()).state, boot.ended) == (AgentState.ACTIVE, [])
    boot.world.advance(30 * DAY)
    asking.held = own
    assert (await boot.renewal.rejoin(asking.rejoin())).generation == 3
    assert (await boot.agent()).state is AgentState.ACTIVE


async def test_a_start_before_the_last_record_issues_nothing() -> None:
    """Also where no certificate is as new as that; an hour is not worth a refusal."""
    ca = Ca(floor=NOW + 3600 * NANO)
    await ca.enrolled()
    ca.issuer.clock_guard = ClockGuard(ca.world, ca.world.now() + 3601 * NANO)
    await behind(ca)
    ca.world.advance(2)
    await ca.enrolled(OTHER)


async def test_whoever_knows_better_can_say_so() -> None:
    """A clock that was years ahead for a moment must not shut the fleet out for years."""
    ca = Ca()
    ca.issuer.clock_guard = ClockGuard(ca.world, NOW + 3650 * DAY * NANO, enabled=False)
    await ca.enrolled()
