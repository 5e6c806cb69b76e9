import pytest
import trio

from control.ca.enrolment import agent_name, check_binding, check_name_free, is_certificate_valid
from control.ca.revocation import REPLACED
from control.ca.store import AgentState
from control.errors import (
    AuthenticationError,
    AuthorizationError,
    ConflictError,
    ControlError,
    NotFoundError,
    ValidationError,
)
from protocols.pki.names import AgentName
from protocols.pki.pin import pin_of
from tests.support.memory_ca_store import MemoryCaStore
from tests.unit.control.ca.harness import NAME, PKI, Asking, Ca


async def test_a_token_lets_in_whom_it_names() -> None:
    """Once; the token carries the pin, is not kept, and is not shown by its repr."""
    ca, asking = Ca(), Asking()
    made = await ca.enrolment.create_token(*NAME, "alice")
    assert made.pin == pin_of(PKI.root.certificate)
    assert made.text.startswith("fhe_")
    assert made.text not in repr(made)
    grant = await ca.enrolment.enrol_agent(asking.enrol(made.text))
    assert (grant.org, grant.vault, grant.generation) == (*NAME, 1)
    assert asking.took(grant, ca).name == NAME
    assert (await ca.agent()).state is AgentState.ACTIVE
    assert [agent.name for agent in ca.followed] == [NAME]


async def test_a_hundred_at_once_and_one_gets_in() -> None:
    """The token is burnt in the transaction that records the certificate."""
    ca = Ca()
    token = await ca.token()
    outcomes: list[str] = []

    async def enrol() -> None:
        try:
            await ca.enrolment.enrol_agent(Asking().enrol(token))
            outcomes.append("in")
        except AuthenticationError as error:
            outcomes.append(error.code)

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(enrol)
    assert sorted(outcomes) == ["in"] + ["token_refused"] * 99


async def test_a_retry_with_the_same_key_is_the_same_answer() -> None:
    """Also after the token's time, for the answer may have been lost; another link key is not."""
    ca, asking = Ca(), Asking()
    request = asking.enrol(await ca.token())
    first = await ca.enrolment.enrol_agent(request)
    ca.world.advance(601)
    assert await ca.enrolment.enrol_agent(request) == first
    other = Asking()
    other.key = asking.key
    with pytest.raises(AuthenticationError):
        await ca.enrolment.enrol_agent(other.enrol(request.token))
    await ca.end_agent(AgentState.LOCKED, "gone")
    with pytest.raises(AuthenticationError):
        await ca.enrolment.enrol_agent(request)


async def test_a_token_lasts_600_seconds() -> None:
    """To the second; an unknown one, an expired and a withdrawn one are told alike."""
    ca = Ca()
    early, late = await ca.token(), await ca.token()
    ca.world.advance(599)
    await ca.enrolment.enrol_agent(Asking().enrol(early))
    ca.world.advance(1)
    codes = set()
    for token in (late, "fhe_" + "0" * 43, "", "\ud800"):
        with pytest.raises(AuthenticationError) as told:
            await ca.enrolment.enrol_agent(Asking().enrol(token))
        codes.add(str(told.value))
    assert len(codes) == 1


async def test_a_name_is_taken_over_only_when_a_person_said_so() -> None:
    """Then the certificates before are revoked, and a locked agent counts again.

    Whoever was connected by one of them is told of as ended, once; nobody is where there was none.
    """
    ca = Ca()
    before = await ca.enrolled()
    with pytest.raises(ConflictError, match="exists"):
        await ca.token()
    assert ca.ended == []
    token, anew = await ca.token(replace_agent=True), Asking()
    grant = await ca.enrolment.enrol_agent(anew.enrol(token))
    assert grant.generation == 2
    assert [(ended.name, ended.state) for ended in ca.ended] == [(NAME, REPLACED)]
    assert await ca.enrolment.enrol_agent(anew.enrol(token)) == grant
    assert len(ca.ended) == 1
    assert await ca.revoked() == {before.shown().leaf.serial}
    with pytest.raises(AuthorizationError, match="not valid any more"):
        await ca.revocation.admit_peer(before.shown())
    await ca.end_agent(AgentState.RETIRED, "done")
    with pytest.raises(ConflictError, match="retired"):
        await ca.token(replace_agent=True)


async def test_nobody_is_let_in_nowhere() -> None:
    """A slip in an organization's name makes no token."""
    ca = Ca(MemoryCaStore({"acme"}))
    with pytest.raises(NotFoundError, match="organization"):
        await ca.token(name=AgentName.from_slugs("amce", "prod"))
    assert await ca.enrolment.list_tokens("amce") == []
    await ca.token()


async def test_a_key_is_certified_once() -> None:
    """A second token does not help: one key, one certificate, one name."""
    ca = Ca()
    asking = await ca.enrolled()
    token = await ca.token(replace_agent=True)
    with pytest.raises(ConflictError, match="new key"):
        await ca.enrolment.enrol_agent(asking.enrol(token))
    await ca.enrolment.enrol_agent(Asking().enrol(token))  # the token was not burnt by that


async def test_a_faulty_request_burns_nothing() -> None:
    """Neither a bad csr nor a proof of another link key."""
    ca, asking = Ca(), Asking()
    token = await ca.token()
    good, other = asking.enrol(token), Asking().enrol(token)
    for change in ({"csr": b"x"}, {"proof": other.proof}, {"link_key": other.link_key}):
        fields = {name: getattr(good, name) for name in good.__struct_fields__} | change
        with pytest.raises(ValidationError):
            await ca.enrolment.enrol_agent(type(good)(**fields))
    await ca.enrolment.enrol_agent(good)


async def test_tokens_are_listed_withdrawn_and_tidied() -> None:
    """Within their organization."""
    ca = Ca()
    made = await ca.enrolment.create_token(*NAME, "alice")
    assert await ca.enrolment.list_tokens("acme") == [made.record]
    assert await ca.enrolment.list_tokens("other") == []
    with pytest.raises(NotFoundError):
        await ca.enrolment.withdraw_token("other", made.record.id)
    await ca.enrolment.withdraw_token("acme", made.record.id)
    with pytest.raises(AuthenticationError):
        await ca.enrolment.enrol_agent(Asking().enrol(made.text))
    await ca.token()
    assert await ca.enrolment.delete_expired(ca.world.now() + 601 * 10**9) == 1


async def test_the_rules_that_other_ways_in_share() -> None:
    """Names, places, proofs, and what counts."""
    ca = Ca()
    asking = await ca.enrolled()
    agent = await ca.agent()
    issued = await ca.ledger.transact(lambda tx: tx.certificate(asking.shown().leaf.serial))
    assert issued is not None
    assert is_certificate_valid(agent, issued, issued.not_after)
    assert not is_certificate_valid(agent, issued, issued.not_after + 1)
    check_name_free(None, replace_agent=False)
    for wrong in (
        lambda: agent_name("ACME", "prod"),
        lambda: check_name_free(agent, replace_agent=False),
        lambda: check_binding(bytes(32), b"", bytes(64)),
    ):
        with pytest.raises(ControlError):
            wrong()


async def test_a_token_of_a_clock_that_was_ahead_lets_nobody_in() -> None:
    """Once it is right; an agent that was certified meanwhile does not keep others out."""
    ca = Ca()
    ca.world.step_wall(400 * 86_400)
    token = await ca.token()
    ca.world.step_wall(-400 * 86_400)
    with pytest.raises(AuthenticationError):
        await ca.enrolment.enrol_agent(Asking().enrol(token))
    await ca.enrolment.enrol_agent(Asking().enrol(await ca.token()))
