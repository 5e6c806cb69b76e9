from collections.abc import Iterable
from contextlib import suppress

import pytest

from control.ca import join_requests
from control.ca.join_requests import (
    MAX_OF_CLIENT,
    MAX_OF_SITE,
    MAX_PER_MINUTE_FOR_ORG,
    join_fingerprint,
)
from control.ca.revocation import REPLACED
from control.ca.store import JoinState
from control.errors import (
    AuthorizationError,
    ConflictError,
    NotFoundError,
    RateLimitError,
    ValidationError,
)
from protocols.pki.messages import Grant, Pending
from tests.support.memory_ca_store import MemoryCaStore
from tests.unit.control.ca.harness import NAME, Asking, Ca


async def _asked(ca: Ca, asking: Asking) -> Pending:
    answer = await ca.joining.submit_request(asking.join(), "192.0.2.1")
    assert isinstance(answer, Pending)
    return answer


async def test_a_person_lets_in_the_keys_that_asked() -> None:
    """Pending until then, however often it asks; afterwards the same certificate each time."""
    ca, asking = Ca(), Asking()
    pending = await _asked(ca, asking)
    assert await _asked(ca, asking) == pending
    (join,) = await ca.joining.list_pending("acme", 10)
    assert join_fingerprint(join) == pending.fingerprint
    await ca.joining.approve_request(
        pending.id, pending.fingerprint, org="acme", vault="prod", by="alice"
    )
    grant = await ca.joining.submit_request(asking.join(), "192.0.2.1")
    assert isinstance(grant, Grant)
    assert asking.took(grant, ca).name == NAME
    assert await ca.joining.submit_request(asking.join(), "192.0.2.1") == grant
    assert await ca.joining.list_pending(None, 10) == []


async def test_the_approval_is_for_no_other_key() -> None:
    """Neither another pair, nor the same request key with another link key."""
    ca, asking, other = Ca(), Asking(), Asking()
    pending = await _asked(ca, asking)
    mine = await _asked(ca, other)
    assert mine.fingerprint != pending.fingerprint
    with pytest.raises(ConflictError, match="fingerprint"):
        await ca.joining.approve_request(
            pending.id, mine.fingerprint, org="acme", vault="prod", by="alice"
        )
    await ca.joining.approve_request(
        pending.id, pending.fingerprint, org="acme", vault="prod", by="alice"
    )
    other.key = asking.key
    with pytest.raises(AuthorizationError):
        await ca.joining.submit_request(other.join(), "192.0.2.1")


async def test_a_refusal_is_told_and_decided_once() -> None:
    """And nobody is let in by a second opinion."""
    ca, asking = Ca(), Asking()
    pending = await _asked(ca, asking)
    await ca.joining.refuse_request(pending.id, "alice")
    assert (await ca.joining.get_request(pending.id)).state is JoinState.REFUSED
    with pytest.raises(AuthorizationError):
        await _asked(ca, asking)
    with pytest.raises(ConflictError):
        await ca.joining.approve_request(
            pending.id, pending.fingerprint, org="a", vault="b", by="bob"
        )
    for unknown in (ca.joining.get_request("x"), ca.joining.refuse_request("x", "alice")):
        with pytest.raises(NotFoundError):
            await unknown


async def test_a_request_lasts_a_day() -> None:
    """Then it may be made again, under its id."""
    ca, asking = Ca(), Asking()
    pending = await _asked(ca, asking)
    ca.world.advance(86_400)
    with pytest.raises(NotFoundError):
        await ca.joining.refuse_request(pending.id, "alice")
    assert (await _asked(ca, asking)).id == pending.id


async def _taken(ca: Ca, sources: Iterable[str], org: str = "acme") -> int:
    """How many of new requests from these addresses are taken; the others are told to wait."""
    taken = 0
    for source in sources:
        with suppress(RateLimitError):
            await ca.joining.submit_request(Asking().join(org), source)
            taken += 1
    return taken


async def test_one_client_cannot_fill_the_list() -> None:
    """By an address, by the addresses of a network, by the networks of a site."""
    ca = Ca()
    assert await _taken(ca, ["192.0.2.1"] * 20) == MAX_OF_CLIENT
    addresses = [f"2001:db8:1:2::{n:x}" for n in range(20)]
    assert await _taken(ca, addresses) == MAX_OF_CLIENT
    networks = [f"2001:db8:2:{n:x}::1" for n in range(MAX_OF_SITE + 4)]
    ca.world.advance(61)
    assert await _taken(ca, networks[:40]) == 40
    ca.world.advance(61)
    assert await _taken(ca, networks[40:]) == MAX_OF_SITE - 40
    assert await _taken(ca, ["2001:db8:3::1"]) == 1


async def test_who_floods_one_organization_is_in_no_others_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Faster than its people could look, or more than they could: others' agents still ask."""
    ca = Ca()
    many = [f"198.51.100.{n}" for n in range(MAX_PER_MINUTE_FOR_ORG + 5)]
    assert await _taken(ca, many) == MAX_PER_MINUTE_FOR_ORG
    assert await _taken(ca, ["203.0.113.1"], "other") == 1
    ca.world.advance(61)
    assert await _taken(ca, ["203.0.113.2"]) == 1
    monkeypatch.setattr(join_requests, "MAX_FOR_ORG", MAX_PER_MINUTE_FOR_ORG + 2)
    assert await _taken(ca, ["203.0.113.3", "203.0.113.4"]) == 1
    assert await _taken(ca, ["203.0.113.5"], "other") == 1
    ca.world.advance(86_400)
    assert await _taken(ca, ["203.0.113.6"]) == 1


async def test_all_together_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever organizations they name."""
    ca = Ca()
    monkeypatch.setattr(join_requests, "MAX_PER_MINUTE", 3)
    monkeypatch.setattr(join_requests, "MAX_PENDING", 5)
    for taken in (3, 2):
        orgs = [await _taken(ca, [f"203.0.113.{n}"], f"org-{n}") for n in range(4 * taken)]
        assert sum(orgs) == taken
        ca.world.advance(61)


async def test_nobody_is_approved_nowhere() -> None:
    """The request waits on, for who places it right. Who asks is not told what there is."""
    ca = Ca(MemoryCaStore({"acme"}))
    pending = await _asked(ca, Asking())
    told = pending.id, pending.fingerprint
    with pytest.raises(NotFoundError, match="organization"):
        await ca.joining.approve_request(*told, org="amce", vault="prod", by="root")
    approved = await ca.joining.approve_request(*told, org="acme", vault="prod", by="root")
    assert approved.name == NAME
    stranger = await ca.joining.submit_request(Asking().join("amce"), "192.0.2.1")
    assert isinstance(stranger, Pending)


async def test_a_name_that_is_taken_is_not_given_twice() -> None:
    """Unless it is to be replaced: then who was connected under it is told of as ended, once."""
    ca, asking = Ca(), Asking()
    await ca.enrolled()
    pending = await _asked(ca, asking)
    args = {"org": "acme", "vault": "prod", "by": "alice"}
    with pytest.raises(ConflictError):
        await ca.joining.approve_request(pending.id, pending.fingerprint, **args)
    with pytest.raises(ValidationError):
        await ca.joining.approve_request(pending.id, pending.fingerprint, **(args | {"org": "A"}))
    await ca.joining.approve_request(pending.id, pending.fingerprint, **args, replace_agent=True)
    assert ca.ended == []
    for _ in range(2):
        assert isinstance(await ca.joining.submit_request(asking.join(), "192.0.2.1"), Grant)
        assert [(ended.name, ended.state) for ended in ca.ended] == [(NAME, REPLACED)]
