import pytest

from control.ca.renewal import MIN_RENEWAL_INTERVAL
from control.ca.store import AgentState
from control.errors import (
    AuthenticationError,
    AuthorizationError,
    ConflictError,
    RateLimitError,
    ValidationError,
)
from protocols.pki.keys import KeyKind, new_curve_key
from protocols.pki.messages import RenewRequest
from protocols.pki.names import AgentName
from tests.unit.control.ca.harness import NAME, Asking, Ca

OTHER = AgentName.from_slugs("acme", "dev")
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


async def test_a_clock_that_was_ahead_shuts_nobody_out() -> None:
    """Set right again, certificates count and are issued as if it had never been wrong."""
    ca = Ca()
    asking = await ca.enrolled()
    ca.world.step_wall(2 * DAY)
    assert ca.world.now() == ca.world.wall()
    other = await ca.token(name=AgentName.from_slugs("acme", "other"))
    await ca.enrolment.enrol_agent(Asking().enrol(other))
    ca.world.step_wall(-2 * DAY)
    assert (await ca.revocation.admit_peer(asking.shown())).agent.name == NAME
    grant = await ca.renewal.renew(asking.shown(), asking.fresh())
    asking.took(grant, ca)
    assert asking.shown().leaf.not_before < ca.world.wall() == ca.world.now()


async def test_a_lost_answer_is_asked_for_again() -> None:
    """With the same key: the same certificate, and nobody is locked."""
    ca = Ca()
    asking = await ca.enrolled()
    request = asking.fresh()
    first = await ca.renewal.renew(asking.shown(), request)
    assert await ca.renewal.renew(asking.shown(), request) == first
    assert (await ca.agent()).state is AgentState.ACTIVE


async def test_renewals_have_a_pace() -> None:
    """However often an agent asks with new keys, it has one certificate a minute and no more.

    Who is told to wait is told for how long, keeps what he has, and is locked by nobody.
    """
    ca = Ca()
    asking = await ca.enrolled()
    ca.world.advance(1)
    asking.took(await ca.renewal.renew(asking.shown(), asking.fresh()), ca)
    granted = 0
    for _ in range(30):
        ca.world.advance(10)
        request = asking.fresh()
        try:
            last = await ca.renewal.renew(asking.shown(), request)
            asking.took(last, ca)
            granted, again = granted + 1, request
        except RateLimitError as error:
            told = error
    assert granted == 5
    assert (told.code, told.details["retry_after"]) == ("renewed_just_now", 10)
    assert await ca.renewal.renew(asking.shown(), again) == last
    agent = await ca.agent()
    assert (agent.state, agent.generation) == (AgentState.ACTIVE, 7)


async def test_the_pace_asks_nobody_to_wait_for_a_clock_that_was_ahead() -> None:
    """Renewed by a wrong time, which was set right: the next one is a renewal as any other."""
    ca = Ca()
    asking = await ca.enrolled()
    ca.world.step_wall(400)
    asking.took(await ca.renewal.renew(asking.shown(), asking.fresh()), ca)
    ca.world.step_wall(-200)
    grant = await ca.renewal.renew(asking.shown(), asking.fresh())
    assert grant.generation == 3


async def test_the_pace_hides_no_theft() -> None:
    """Two who renew one certificate within a minute are two all the same."""
    ca = Ca()
    asking = await ca.enrolled()
    ca.world.advance(1)
    asking.took(await ca.renewal.renew(asking.shown(), asking.fresh()), ca)
    ca.world.advance(MIN_RENEWAL_INTERVAL // 10**9)
    thief = Asking()
    await ca.renewal.renew(asking.shown(), thief.fresh())
    with pytest.raises(AuthorizationError) as told:
        await ca.renewal.renew(asking.shown(), asking.fresh())
    assert told.value.code == "agent_locked"


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
    assert len(await ca.revoked()) == 2
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


async def test_nobody_comes_back_without_the_certificates_key() -> None:
    """The link key alone is not enough, nor the key of another of its certificates."""
    ca = Ca()
    asking = await ca.enrolled()
    first, old = asking.shown(), asking.held
    asking.took(await ca.renewal.renew(asking.shown(), asking.fresh()), ca)
    await ca.revocation.admit_peer(asking.shown())
    ca.world.advance(30 * DAY)
    for wrong in (new_curve_key(KeyKind.LEAF), old):
        asking.held = wrong
        with pytest.raises(AuthenticationError):
            await ca.renewal.rejoin(asking.rejoin())
    asking.peer = first
    asking.held = old
    with pytest.raises(AuthorizationError):  # an older one than it was seen with: a copy
        await ca.renewal.rejoin(asking.rejoin())
    assert (await ca.agent()).state is AgentState.LOCKED


async def test_lost_renewals_and_months_away_need_no_person() -> None:
    """What was granted was never used and is over: the earlier certificate brings the agent back.

    As often as answers are lost. Of the certificates that never arrived none counts again.
    """
    ca = Ca()
    asking = await ca.enrolled()
    ca.world.advance(DAY // 2)
    first, own = asking.shown(), asking.held
    await ca.renewal.renew(first, asking.fresh())  # the answer is lost
    for _ in range(3):
        ca.world.advance(20 * DAY)
        asking.held = own
        await ca.renewal.rejoin(asking.rejoin())  # and so are these
        await ca.ledger.transact(lambda tx: tx.delete_expired(ca.world.now()))
    ca.world.advance(20 * DAY)
    asking.held = own
    grant = await ca.renewal.rejoin(asking.rejoin())
    assert grant.generation == 6
    asking.took(grant, ca)
    assert (await ca.revocation.admit_peer(asking.shown())).agent.confirmed == 6
    asking.peer, asking.held = first, own
    with pytest.raises(AuthorizationError):
        await ca.renewal.rejoin(asking.rejoin())


async def test_a_granted_certificate_that_can_still_be_used_is_nobodys_to_pass_over() -> None:
    """Somebody may have it, and be about to use it: two who ask are a theft until it is over."""
    ca = Ca()
    asking = await ca.enrolled()
    own = asking.held
    ca.world.advance(DAY - 3600)
    await ca.renewal.renew(asking.shown(), Asking().fresh())
    ca.world.advance(2 * 3600)
    asking.held = own
    with pytest.raises(AuthorizationError):
        await ca.renewal.rejoin(asking.rejoin())
    assert (await ca.agent()).state is AgentState.LOCKED


async def test_a_thief_who_has_used_what_he_was_granted_is_noticed() -> None:
    """However long the agent was away, and however long his certificates have been over."""
    ca = Ca()
    asking = await ca.enrolled()
    own = asking.held
    thief = Asking()
    thief.took(await ca.renewal.renew(asking.shown(), thief.fresh()), ca)
    await ca.revocation.admit_peer(thief.shown())
    ca.world.advance(30 * DAY)
    asking.held = own
    with pytest.raises(AuthorizationError) as told:
        await ca.renewal.rejoin(asking.rejoin())
    assert told.value.code == "agent_locked"


@pytest.mark.parametrize("state", [AgentState.LOCKED, AgentState.RETIRED])
async def test_who_was_ended_does_not_come_back(state: AgentState) -> None:
    """Also when that was while its certificate had expired already."""
    ca = Ca()
    asking = await ca.enrolled()
    ca.world.advance(2 * DAY)
    await ca.end_agent(state, "lost")
    with pytest.raises(AuthenticationError):
        await ca.renewal.rejoin(asking.rejoin())


async def test_the_grace_ends() -> None:
    """From then on a person must enrol it; the moment before, it comes back."""
    ca = Ca()
    asking, other = await ca.enrolled(), await ca.enrolled(OTHER)
    ca.world.advance(91 * DAY - 1)
    await ca.renewal.rejoin(asking.rejoin())
    ca.world.advance(2)
    with pytest.raises(AuthenticationError):
        await ca.renewal.rejoin(other.rejoin(name=OTHER))
