import pytest
from msgspec.structs import replace

from control.ca.issuer import IssuingState, no_observer, verify_request
from control.ca.store import AgentState
from control.errors import ConflictError, UnavailableError, ValidationError
from protocols.pki.certificates import to_der
from protocols.pki.pin import pin_of
from protocols.pki.profile import DAY
from protocols.pki.requests import create_csr
from tests.unit.control.ca.harness import NAME, PKI, Asking, Ca
from tests.unit.protocols.pki.samples import make_pki


async def test_a_grant_shows_the_authority_that_signed_it() -> None:
    """Also after another took over; one that is gone is told."""
    ca, asking = Ca(), Asking()
    request = asking.enrol(await ca.token())
    grant = await ca.enrolment.enrol_agent(request)
    assert grant.chain[1] == to_der(PKI.authority.certificate)
    assert grant.roots == PKI.trust.to_der()
    new = make_pki("next")
    ca.issuer.issuing_state = IssuingState(new.authority, new.trust, (PKI.authority.certificate,))
    assert (await ca.enrolment.enrol_agent(request)).chain == grant.chain
    assert ca.issuer.pin == pin_of(new.root.certificate)
    ca.issuer.issuing_state = IssuingState(new.authority, new.trust)
    with pytest.raises(ConflictError, match="no longer in use"):
        await ca.enrolment.enrol_agent(request)


async def test_an_expired_authority_is_our_fault_not_the_askers() -> None:
    """503, and nothing is recorded."""
    ca = Ca()
    ca.world.advance(366 * DAY / 1e9)
    token = await ca.token()
    with pytest.raises(UnavailableError):
        await ca.enrolment.enrol_agent(Asking().enrol(token))
    assert await ca.ledger.transact(lambda tx: tx.agent(NAME)) is None


async def test_an_end_revokes_all() -> None:
    """Certificates of both generations, in the step itself."""
    ca = Ca()
    asking = await ca.enrolled()
    await ca.renewal.renew(asking.shown(), asking.fresh())
    agent, now = await ca.agent(), ca.world.now()
    await ca.ledger.transact(
        lambda tx: ca.issuer.deactivate(tx, agent, AgentState.LOCKED, "x", now)
    )
    assert len(await ca.revoked()) == 2
    assert await ca.agent() == replace(agent, state=AgentState.LOCKED, reason="x")
    assert await ca.ledger.transact(lambda tx: no_observer(tx, agent)) is None


def test_who_asks_is_a_proven_key() -> None:
    """A bad request is the asker's fault."""
    asking = Asking()
    assert len(verify_request(create_csr(asking.key)).hash) == 32
    with pytest.raises(ValidationError):
        verify_request(b"")
