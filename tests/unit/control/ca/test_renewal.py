import pytest

from control.ca.ledger import AgentState
from control.errors import AuthenticationError, AuthorizationError, ConflictError, ValidationError
from protocols.pki.messages import RenewRequest
from protocols.pki.names import AgentName
from tests.unit.control.ca.harness import NAME, Asking, Ca

OTHER = AgentName.of("acme", "dev")
DAY = 86_400


async def test_each_renewal_is_one_generation_more() -> None:
    """With a new key each time."""
    ca = Ca()
    asking = await ca.enrolled()
    for generation in (2, 3, 4):
        ca.world.advance(DAY // 2)
        grant = await ca.renewal.renew(asking.shown(), asking.fresh())
        assert grant.generation == generation
        asking.took(grant, ca)
    assert (await ca.agent()).generation == 4


async def test_a_lost_answer_is_asked_for_again() -> None:
    """With the same key: the same certificate, and nobody is locked."""
    ca = Ca()
    asking = await ca.enrolled()
    request = asking.fresh()
    first = await ca.renewal.renew(asking.shown(), request)
    assert await ca.renewal.renew(asking.shown(), request) == first
    assert (await ca.agent()).state is AgentState.ACTIVE


async def test_two_who_renew_one_certificate_are_a_theft() -> None:
    """Whoever comes second: the agent is locked, all its certificates end, a person is needed."""
    ca = Ca()
    asking = await ca.enrolled()
    stolen = asking.shown()
    thief = Asking()
    thief.took(await ca.renewal.renew(stolen, thief.fresh()), ca)
    with pytest.raises(AuthorizationError) as told:
        await ca.renewal.renew(stolen, asking.fresh())
    assert told.value.code == "agent_locked"
    assert (await ca.agent()).state is AgentState.LOCKED
    assert [ended.name for ended in ca.ended] == [NAME]
    assert len(await ca.revocation.revoked()) == 2
    with pytest.raises(AuthorizationError):
        await ca.renewal.renew(thief.shown(), thief.fresh())
    with pytest.raises(AuthenticationError):
        await ca.renewal.rejoin(asking.rejoin())


async def test_a_certificate_renews_its_own_agent_only() -> None:
    """Another agent's certificate with the name of this one is not recorded as such."""
    ca = Ca()
    _, other = await ca.enrolled(), await ca.enrolled(OTHER)
    forged = other.shown()._replace(name=NAME)
    with pytest.raises(AuthorizationError):
        await ca.renewal.renew(forged, other.fresh())
    grant = await ca.renewal.renew(other.shown(), other.fresh())
    assert (grant.org, grant.vault) == OTHER
    assert (await ca.agent()).generation == 1


async def test_a_key_that_was_certified_is_refused() -> None:
    """One's own old one, and another agent's."""
    ca = Ca()
    asking, other = await ca.enrolled(), await ca.enrolled(OTHER)
    old = RenewRequest(csr=asking.enrol("").csr)
    asking.took(await ca.renewal.renew(asking.shown(), asking.fresh()), ca)
    for request in (old, RenewRequest(csr=other.enrol("").csr)):
        with pytest.raises(ConflictError):
            await ca.renewal.renew(asking.shown(), request)
    with pytest.raises(ValidationError):
        await ca.renewal.renew(asking.shown(), RenewRequest(csr=b"garbage"))
    assert (await ca.agent()).state is AgentState.ACTIVE


async def test_an_agent_comes_back_after_a_month_by_its_link_key() -> None:
    """Its certificate has expired: renewing is over, coming back is not."""
    ca = Ca()
    asking = await ca.enrolled()
    ca.world.advance(30 * DAY)
    with pytest.raises(AuthorizationError):
        await ca.renewal.renew(asking.shown(), asking.fresh())
    request = asking.rejoin()
    grant = await ca.renewal.rejoin(request)
    assert grant.generation == 2
    assert await ca.renewal.rejoin(request) == grant
    asking.took(grant, ca)


async def test_a_replayed_return_locks_nobody() -> None:
    """It names a key that had its certificate."""
    ca = Ca()
    asking = await ca.enrolled()
    first = asking.rejoin()
    asking.took(await ca.renewal.rejoin(first), ca)
    asking.took(await ca.renewal.renew(asking.shown(), asking.fresh()), ca)
    with pytest.raises(ConflictError):
        await ca.renewal.rejoin(first)
    assert (await ca.agent()).state is AgentState.ACTIVE


async def test_nobody_comes_back_without_the_link_key() -> None:
    """Wrong key, unknown agent, another's name: told alike."""
    ca = Ca()
    asking = await ca.enrolled()
    stranger = Asking()
    stranger.peer = asking.peer
    told = set()
    for request in (stranger.rejoin(), asking.rejoin(name=OTHER)):
        with pytest.raises(AuthenticationError) as error:
            await ca.renewal.rejoin(request)
        told.add(str(error.value))
    assert len(told) == 1
