from typing import cast

import pytest

from control.ca.revocation import StolenCertificateLock, verify_presented
from control.ca.store import AgentState, CaTransaction
from control.errors import AuthorizationError, ConflictError
from control.model.records import Severity
from protocols.pki.chain import VerifiedAgent as Peer
from protocols.pki.names import AgentName
from tests.support.memory_ca_store import MemoryCaTransaction
from tests.unit.control.ca.harness import NAME, Asking, Ca
from tests.unit.protocols.pki.samples import NOW, make_agent, make_pki


async def test_a_newer_certificate_that_was_seen_ends_the_older() -> None:
    """Until then either may come, for an answer may have been lost.

    Its handshake alone locks nobody, however late it comes: it may have been held back.
    """
    ca = Ca()
    asking = await ca.enrolled()
    old = asking.shown()
    new = asking.took(await ca.renewal.renew(old, asking.fresh()), ca)
    before, after = await ca.revocation.admit_peer(old), await ca.revocation.admit_peer(new)
    assert (before.agent.confirmed, before.outdated) == (1, False)
    assert (after.agent.confirmed, after.outdated) == (2, False)
    for _ in range(2):
        assert (await ca.revocation.admit_peer(old)).outdated
    assert not (await ca.revocation.admit_peer(new)).outdated
    assert (await ca.agent()).state is AgentState.ACTIVE
    with pytest.raises(AuthorizationError) as told:
        await ca.revocation.lock_stolen(old)
    assert told.value.code == "agent_locked"
    assert [(e.name, e.state) for e in ca.ended] == [(NAME, AgentState.LOCKED)]
    for admitted in (new, old):
        with pytest.raises(AuthorizationError):
            await ca.revocation.admit_peer(admitted)


async def test_nobody_is_convicted_by_the_certificate_that_he_has() -> None:
    """Refused he is all the same: whoever asks for this has found it outdated."""
    ca = Ca()
    asking = await ca.enrolled()
    with pytest.raises(AuthorizationError) as told:
        await ca.revocation.lock_stolen(asking.shown())
    assert told.value.code == "certificate_refused"
    assert (await ca.agent()).state is AgentState.ACTIVE
    assert not ca.ended


async def test_a_certificate_that_was_never_recorded_is_refused() -> None:
    """Whoever stole the intermediate's key has not the ledger."""
    ca = Ca()
    await ca.enrolled()
    from protocols.pki.chain import read_agent

    peer = read_agent(make_agent(make_pki("ca")).ders[0])
    with pytest.raises(AuthorizationError):
        await ca.revocation.admit_peer(peer)


async def test_a_recorded_serial_with_another_key_or_name_is_refused() -> None:
    """All of it must be as recorded; and valid at this moment."""
    ca = Ca()
    peer = (await ca.enrolled()).shown()
    for wrong in (
        Peer(AgentName.from_slugs("acme", "dev"), peer.leaf),
        Peer(NAME, peer.leaf._replace(key=bytes(32))),
        Peer(NAME, peer.leaf._replace(serial="0" * 40)),
    ):
        with pytest.raises(AuthorizationError):
            await ca.revocation.admit_peer(wrong)
    ca.world.advance(86_401)
    with pytest.raises(AuthorizationError, match="expired"):
        await ca.revocation.admit_peer(peer)


@pytest.mark.parametrize("state", [AgentState.LOCKED, AgentState.RETIRED])
async def test_a_person_ends_an_agent(state: AgentState) -> None:
    """From the commit on its certificates are revoked, and it is not admitted."""
    ca = Ca()
    peer = (await ca.enrolled()).shown()
    await ca.revocation.admit_peer(peer)
    await ca.end_agent(state, "lost")
    assert await ca.revoked() == {peer.leaf.serial}
    with pytest.raises(AuthorizationError):
        await ca.revocation.admit_peer(peer)


async def test_a_theft_and_its_alert_are_one_step() -> None:
    """Stored together: where the step fails neither is, and nothing between them can be lost."""
    ca = Ca()
    asking = await ca.enrolled()
    agent = await ca.agent()

    def failing(tx: CaTransaction) -> None:
        ca.revocation.lock_in_transaction(tx, agent, ca.world.wall())
        raise ConflictError("broken", "no")

    with pytest.raises(ConflictError, match="broken"):
        await ca.ledger.transact(failing)
    assert (await ca.agent()).state is AgentState.ACTIVE
    old = asking.shown()
    await ca.revocation.admit_peer(asking.took(await ca.renewal.renew(old, asking.fresh()), ca))
    with pytest.raises(AuthorizationError):
        await ca.revocation.lock_stolen(old)
    alerts = await ca.ledger.transact(lambda tx: cast("MemoryCaTransaction", tx).alerts)
    assert [(a.org, a.vault, a.code, a.severity) for a in alerts] == [
        (*NAME, "agent_locked", Severity.CRITICAL)
    ]
    assert [ended.alert for ended in ca.ended] == [alerts[0].id]


async def test_what_a_step_found() -> None:
    """A lock is raised after its commit; anything else passes."""
    ca = Ca()
    asking: Asking = await ca.enrolled()
    agent = await ca.agent()
    assert ca.revocation.raise_if_locked(5) == 5
    with pytest.raises(AuthorizationError):
        ca.revocation.raise_if_locked(StolenCertificateLock(agent, "alert"))
    assert [ended.alert for ended in ca.ended] == ["alert"]
    found, issued = await ca.ledger.transact(lambda tx: verify_presented(tx, asking.shown(), NOW))
    assert (found, issued.generation) == (agent, 1)
