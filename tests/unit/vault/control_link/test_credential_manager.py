"""Being let in, renewed in time, brought back."""

import pytest
import trio

from protocols.link import messages as m
from protocols.link.vocabulary import AlertCode
from protocols.pki.messages import MAX_RETRY_SECONDS
from tests.unit.vault.control_link.plane import Plane
from tests.unit.vault.control_link.samples import TrioWorld, credential
from tests.unit.vault.control_link.scene import FakeEnroller, staged
from vault.control_link.credential_manager import RETRY_CAP
from vault.control_link.dependencies import LinkConfig
from vault.control_link.enrol_client import EnrolError, EnrolTarget
from vault.control_link.identity import AgentCredential

DOOR = EnrolTarget(endpoint="https://control.test", pin="sha256:x")
CALM = LinkConfig(enrol_target=DOOR, heartbeat=3600.0, metrics=3600.0, checkpoints=3600.0)


@pytest.fixture
def plane() -> Plane:
    """An honest one."""
    return Plane(TrioWorld())


async def test_without_an_address_it_waits_for_a_person(
    plane: Plane, autojump_clock: object
) -> None:
    """Nothing is asked of anybody."""
    enroller = FakeEnroller(plane.world, None)
    async with staged(plane, enroller=enroller) as stage:
        await trio.sleep(600)
        assert (enroller.joins, stage.uplink.status().standing) == (0, "unenrolled")


async def test_it_asks_to_join_until_somebody_answers(plane: Plane, autojump_clock: object) -> None:
    """Pending with the fingerprint to compare, at the pace that it is told; then linked."""
    enroller = FakeEnroller(plane.world, None, waits=5)
    async with staged(plane, enroller=enroller, config=CALM) as stage:
        await trio.sleep(20)
        status = stage.uplink.status()
        assert (status.standing, status.fingerprint) == ("pending", "aaaa-bbbb")
        assert status.endpoint == DOOR.endpoint
        await plane.until(lambda: stage.uplink.status().connected)
        assert enroller.joins == 6
        assert stage.uplink.status().standing == "enrolled"


@pytest.mark.parametrize("said", [10**18, -(10**18)])
async def test_no_answer_silences_it(plane: Plane, autojump_clock: object, said: int) -> None:
    """However long it is told to wait it asks again within the hour and a bit; and no faster."""
    enroller = FakeEnroller(plane.world, None, waits=2)
    enroller.retry_after = said
    async with staged(plane, enroller=enroller, config=CALM) as stage:
        await trio.sleep(0.5)
        assert enroller.joins == 1
        await trio.sleep(2 * 1.25 * MAX_RETRY_SECONDS)
        assert enroller.joins == 3
        assert stage.uplink.status().standing == "enrolled"


async def test_an_absent_control_plane_is_asked_again(plane: Plane, autojump_clock: object) -> None:
    """Joining goes on; why it does not succeed is shown."""
    enroller = FakeEnroller(plane.world, None)
    enroller.fail = EnrolError("cannot reach it")
    async with staged(plane, enroller=enroller, config=CALM) as stage:
        await trio.sleep(300)
        assert stage.uplink.status().trouble == "cannot reach it"
        enroller.fail = None
        await plane.until(lambda: stage.uplink.status().connected)


async def test_an_expired_agent_goes_on_and_comes_back(
    plane: Plane, autojump_clock: object
) -> None:
    """Warned of in time, expired, renewed as soon as the control plane is there again."""
    enroller = FakeEnroller(plane.world, credential(plane.world, life=3600))
    enroller.fail = EnrolError("away")
    async with staged(plane, enroller=enroller, config=CALM) as stage:
        await trio.sleep(2 * 3600)
        assert stage.uplink.status().standing == "expired"
        codes = [a.code for a in plane.applied if isinstance(a, m.Alert)]
        assert codes == [AlertCode.CERTIFICATE_EXPIRING]
        enroller.fail = None
        await plane.until(lambda: stage.uplink.status().generation == 2)
        await plane.until(lambda: stage.uplink.status().connected)
        assert stage.uplink.status().certificate_expires > plane.world.now()


class ShortLived(FakeEnroller):
    """Its certificates are nearly over when they come, as by a clock that is ahead."""

    async def renew(self, held: AgentCredential) -> None:
        """See `Enroller`."""
        await super().renew(held)
        self.held = credential(self.world, 1, held.enrolment.generation + 1)


async def test_a_clock_that_is_ahead_renews_no_faster(plane: Plane, autojump_clock: object) -> None:
    """Each new certificate is overdue by it; the control plane is asked every few minutes."""
    enroller = ShortLived(plane.world, credential(plane.world, life=60))
    async with staged(plane, enroller=enroller, config=CALM) as stage:
        await plane.until(lambda: stage.uplink.status().generation == 2)
        began = trio.current_time()
        await plane.until(lambda: stage.uplink.status().generation == 4)
        assert trio.current_time() - began >= 2 * RETRY_CAP
