"""Asking the control plane for certificates, over the CA's own services."""

import ssl
import stat
import time
from pathlib import Path

import pytest
import trio

from control.ca.issuer import verify_request
from control.ca.renewal import MIN_RENEWAL_INTERVAL
from control.ca.store import AgentState
from protocols.link_transport.tls_contexts import pinned_context
from protocols.pki.errors import PinError
from protocols.pki.messages import MAX_RESPONSE, Pending
from tests.unit.control.ca.harness import NAME
from tests.unit.protocols.pki.samples import make_pki
from tests.unit.vault.control_link.https import PKI, serving
from tests.unit.vault.control_link.office import DOOR, Office
from vault.control_link import enrol_client
from vault.control_link.enrol_client import EnrolError, Enroller, EnrolTarget, post_request
from vault.errors import UnavailableError

DAY = 86_400


@pytest.fixture
def office(tmp_path: Path) -> Office:
    """A desk and an agent without a name."""
    return Office(tmp_path)


async def test_a_token_lets_in_once_and_a_lost_answer_costs_nothing(office: Office) -> None:
    """Asked again with the same key and token: the same certificate."""
    token = await office.ca.token()
    with office.loses_the_answer():
        await office.enroller.enrol(DOOR, token)
    assert office.store.load_credential() is None
    await office.enroller.enrol(DOOR, token)
    held = office.held
    assert held.name == NAME
    with pytest.raises(EnrolError) as told:
        await Office(office.folder / "thief").enroller.enrol(DOOR, token)
    assert told.value.status in {401, 409}


async def test_a_key_whose_certificate_never_came_does_not_keep_the_agent_out(
    office: Office,
) -> None:
    """It renews, the answer is lost, it is locked: the token of a person lets it in at once."""
    await office.enrolled()
    held = office.held
    with office.loses_the_answer():
        await office.enroller.renew(held)
    await office.ca.end_agent(AgentState.LOCKED, "stolen")
    await office.enroller.enrol(DOOR, await office.ca.token(replace_agent=True))
    after = office.held
    assert after.enrolment.generation == 3
    assert (await office.ca.agent()).state is AgentState.ACTIVE


async def test_a_token_that_is_refused_leaves_the_key_of_a_lost_answer(office: Office) -> None:
    """The renewal goes on with it: another key would have the agent locked as stolen."""
    early = await office.ca.token()
    await office.enrolled()
    held = office.held
    with office.loses_the_answer():
        await office.enroller.renew(held)
    with pytest.raises(EnrolError) as told:
        await office.enroller.enrol(DOOR, early)
    assert told.value.code == "agent_exists"
    await office.enroller.renew(held)
    assert (await office.ca.agent()).state is AgentState.ACTIVE


async def test_every_body_is_on_the_ledger_before_it_is_sent(office: Office) -> None:
    """And if it cannot be, nothing is sent."""
    office.egress.fail = UnavailableError("egress_unavailable", "full")
    with pytest.raises(UnavailableError):
        await office.enroller.enrol(DOOR, await office.ca.token())
    office.egress.fail = None
    await office.enrolled()
    assert len(office.egress.entries) == 1
    assert b'"csr"' in office.egress.entries[0]


async def approved(office: Office, pending: Pending) -> None:
    """A person lets it in, in place of the one that was."""
    await office.ca.joining.approve_request(
        pending.id, pending.fingerprint, org=NAME.org, vault=NAME.vault, by="alice",
        replace_agent=True,
    )  # fmt: skip


async def test_a_person_lets_in(office: Office) -> None:
    """Pending with a fingerprint until it is approved."""
    pending = await office.enroller.join(DOOR, org="acme", label="host")
    assert isinstance(pending, Pending)
    assert (await office.enroller.join(DOOR, org="acme", label="host")) == pending
    await office.ca.joining.approve_request(
        pending.id, pending.fingerprint, org=NAME.org, vault=NAME.vault, by="alice"
    )
    assert await office.enroller.join(DOOR, org="acme", label="host") is None
    assert office.store.load_credential() is not None


async def test_a_left_over_key_does_not_keep_out_who_asks_a_person(office: Office) -> None:
    """It renews, the answer is lost, it is locked: asking to join takes no file deleted by hand.

    Nor does the answer to a join that was lost before the lock.
    """
    await office.enrolled()
    for _ in range(2):
        held = office.held
        with office.loses_the_answer():
            await office.enroller.renew(held)
        await office.ca.end_agent(AgentState.LOCKED, "stolen")
        pending = await office.enroller.join(DOOR, org="acme", label="host")
        assert isinstance(pending, Pending)
        await approved(office, pending)
        with office.loses_the_answer():
            await office.enroller.join(DOOR)
        await office.ca.end_agent(AgentState.LOCKED, "again")
        pending = await office.enroller.join(DOOR, org="acme", label="host")
        assert isinstance(pending, Pending)
        await approved(office, pending)
        assert await office.enroller.join(DOOR) is None
        assert (await office.ca.agent()).state is AgentState.ACTIVE


async def test_a_renewal_under_way_keeps_its_key(office: Office) -> None:
    """Who asks to join meanwhile does not make the agent look like a thief of its own."""
    await office.enrolled()
    held = office.held
    with office.loses_the_answer():
        await office.enroller.renew(held)
    assert isinstance(await office.enroller.join(DOOR, org="acme", label="host"), Pending)
    await office.enroller.renew(held)
    assert (await office.ca.agent()).state is AgentState.ACTIVE


async def test_renewal_before_and_return_after_the_end(office: Office) -> None:
    """By the certificate while it counts, by the link key after weeks; lost answers included."""
    await office.enrolled()
    for seconds, path in ((DAY // 2, "renew"), (30 * DAY, "rejoin")):
        office.ca.world.advance(seconds)
        held = office.held
        with office.loses_the_answer():
            await office.enroller.renew(held)
        await office.enroller.renew(held)
        after = office.held
        assert after.enrolment.generation == held.enrolment.generation + 1, path


async def test_who_is_told_to_wait_asks_again_with_the_same_key(office: Office) -> None:
    """Two renewals in a row: the second is not now, and nothing is given up for that."""
    await office.enrolled()
    for seconds in (1, MIN_RENEWAL_INTERVAL // 10**9):
        office.ca.world.advance(seconds)
        await office.enroller.renew(office.held)
    held = office.held
    with pytest.raises(EnrolError) as told:
        await office.enroller.renew(held)
    assert (told.value.status, told.value.code) == (429, "renewed_just_now")
    asker = verify_request(office.store.create_request())
    office.ca.world.advance(MIN_RENEWAL_INTERVAL // 10**9)
    await office.enroller.renew(held)
    issued = await office.ca.ledger.transact(lambda tx: tx.certificate_of(asker.hash))
    assert issued is not None
    assert issued.serial == office.held.serial


async def test_a_key_that_is_used_up_is_replaced(office: Office) -> None:
    """Its certificate has expired unseen: the refusal makes the next request another key's."""
    await office.enrolled()
    office.ca.world.advance(DAY // 2)
    held = office.held
    with office.loses_the_answer():
        await office.enroller.renew(held)
    office.ca.world.advance(3 * DAY)
    with pytest.raises(EnrolError) as told:
        await office.enroller.renew(held)
    assert told.value.status == 409


@pytest.mark.parametrize("lost", [1, 3])
async def test_a_month_away_after_lost_renewals(office: Office, lost: int) -> None:
    """It renews, the answer is lost, the cable is out for a month: it is back by itself.

    The key whose certificate nobody has is given up at the first refusal; locked it is never.
    """
    await office.enrolled()
    office.ca.world.advance(DAY // 2)
    held = office.held
    for _ in range(lost):
        with office.loses_the_answer():
            await office.enroller.renew(held)
        office.store.discard_next_key()
        office.ca.world.advance(30 * DAY // lost)
    await office.enroller.renew(held)
    after = office.held
    assert after.enrolment.generation == 2 + lost
    agent = await office.ca.agent()
    assert agent.state is AgentState.ACTIVE


async def test_a_grant_under_another_authority_is_not_taken(office: Office) -> None:
    """The pin is held against the grant's roots too."""
    foreign = EnrolTarget(endpoint=DOOR.endpoint, pin=make_pki("foreign").trust.pins[0])
    with pytest.raises(PinError):
        await office.enroller.enrol(foreign, await office.ca.token())
    assert office.store.load_credential() is None


async def test_the_owner_can_have_the_keys_of_what_is_sent(office: Office) -> None:
    """So that a capture of his own can be decrypted and held against the ledger."""
    keylog = office.folder.with_name("keys.log")
    contexts = []

    async def seen(context: ssl.SSLContext, endpoint: str, path: str, body: bytes) -> bytes:
        contexts.append(context.keylog_filename)
        return await office.post(context, endpoint, path, body)

    enroller = Enroller(office.store, office.egress, office.ca.world, seen, keylog)
    await enroller.enrol(DOOR, await office.ca.token())
    assert contexts == [str(keylog)]
    assert stat.S_IMODE(keylog.stat().st_mode) == 0o600


async def test_an_address_where_nobody_is(office: Office) -> None:
    """A typed error that says where."""
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    context = pinned_context(DOOR.pin, office.ca.world.now)
    with pytest.raises(EnrolError, match="cannot reach"):
        await post_request(context, f"https://127.0.0.1:{port}", "/link/v1/enrol", b"{}")


@pytest.mark.parametrize(("ends", "told"), [(True, "is too long"), (False, "took too long")])
async def test_an_answer_without_end_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, ends: bool, told: str
) -> None:
    """Whoever answers in place of the control plane fills no memory, and holds nobody for ever."""
    monkeypatch.setattr(enrol_client, "TOTAL_TIMEOUT", 60.0 if ends else 0.5)
    size = MAX_RESPONSE + 1 if ends else 2 * MAX_RESPONSE

    async def talk(stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n"
        await stream.send_all(head.encode() + b" " * (MAX_RESPONSE + 1))
        await trio.sleep(0 if ends else 60)

    context = pinned_context(PKI.trust.pins[0], time.time_ns)
    async with serving(talk, tmp_path) as port:
        with trio.fail_after(30), pytest.raises(EnrolError, match=told):
            await post_request(context, f"https://127.0.0.1:{port}", "/link/v1/enrol", b"{}")


async def test_no_request_is_made_without_tls() -> None:
    """Not even to this machine: the token is in it, and nobody has looked at the pin."""
    came = trio.Event()

    async def talk(stream: trio.abc.Stream) -> None:
        came.set()
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    context = pinned_context(PKI.trust.pins[0], time.time_ns)
    async with serving(talk) as port:
        with pytest.raises(EnrolError, match=r"is not https://.*: nothing is sent there"):
            await post_request(context, f"http://127.0.0.1:{port}", "/link/v1/enrol", b"{}")
    assert not came.is_set()
