"""The listener's certificate follows time and the authority, without a restart."""

import ssl

from control.gateway.server_certificate import ServerCertificate
from protocols.pki.profile import AGENT_LIFE, SECOND, SERVER_LIFE, SKEW
from tests.unit.control.gateway.wired import Hub


async def test_it_is_renewed_in_time_and_not_before(hub: Hub) -> None:
    """Between half and two thirds of its life; what was shown before is still known."""
    made = ServerCertificate(hub.office, ["control.example"], hub.world)
    first = made.context
    await made.refresh()
    assert made.context is first
    hub.world.advance(0.67 * SERVER_LIFE / SECOND)
    await made.refresh()
    assert made.context is not first
    assert made.leaf_digest(made.context) != made.leaf_digest(first)


async def test_a_clock_that_was_ahead(hub: Hub) -> None:
    """What was made for later is made anew once it is known to be earlier."""
    hub.world.step_wall(86_400)
    made = ServerCertificate(hub.office, ["control.example"], hub.world)
    first = made.context
    hub.world.step_wall(-86_400)
    await made.refresh()
    assert made.context is not first
    second = made.context
    await made.refresh()
    assert made.context is second


async def test_a_rollover_is_followed(hub: Hub) -> None:
    """Its next step makes new contexts, with the new trust, and the issuer issues with it."""
    made = ServerCertificate(hub.office, ["control.example"], hub.world)
    first, directory = made.context, hub.office.directory
    from control.ca.directory import load_root

    old = load_root(directory.path.parent / "root")
    directory.rollover_start(old, directory.path.parent / "next", "next", hub.world.now())
    await made.refresh()
    assert len(made.context.get_ca_certs()) == len(first.get_ca_certs()) + 1
    hub.world.advance((AGENT_LIFE + SKEW) / SECOND + 1)
    before = hub.office.issuer.pin
    directory.rollover_switch(hub.world.now())
    await made.refresh()
    assert hub.office.issuer.pin != before


async def test_who_shows_no_certificate_gets_as_far_as_the_desk(hub: Hub) -> None:
    """And who shows one must show a good one."""
    made = ServerCertificate(hub.office, ["127.0.0.1"], hub.world)
    assert made.context.verify_mode is ssl.CERT_OPTIONAL
