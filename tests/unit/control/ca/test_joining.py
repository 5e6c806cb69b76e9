import pytest

from control.ca.joining import MAX_FROM_SOURCE, MAX_PER_MINUTE, fingerprint
from control.ca.ledger import JoinState
from control.errors import (
    AuthorizationError,
    ConflictError,
    NotFoundError,
    RateLimitError,
    ValidationError,
)
from protocols.pki.messages import Grant, Pending
from tests.unit.control.ca.harness import NAME, Asking, Ca


async def _asked(ca: Ca, asking: Asking) -> Pending:
    answer = await ca.joining.ask(asking.join(), "192.0.2.1")
    assert isinstance(answer, Pending)
    return answer


async def test_a_person_lets_in_the_keys_that_asked() -> None:
    """Pending until then, however often it asks; afterwards the same certificate each time."""
    ca, asking = Ca(), Asking()
    pending = await _asked(ca, asking)
    assert await _asked(ca, asking) == pending
    (join,) = await ca.joining.pending("acme", 10)
    assert fingerprint(join) == pending.fingerprint
    await ca.joining.approve(pending.id, pending.fingerprint, org="acme", vault="prod", by="alice")
    grant = await ca.joining.ask(asking.join(), "192.0.2.1")
    assert isinstance(grant, Grant)
    assert asking.took(grant, ca).name == NAME
    assert await ca.joining.ask(asking.join(), "192.0.2.1") == grant
    assert await ca.joining.pending(None, 10) == []


async def test_the_approval_is_for_no_other_key() -> None:
    """Neither another pair, nor the same request key with another link key."""
    ca, asking, other = Ca(), Asking(), Asking()
    pending = await _asked(ca, asking)
    mine = await _asked(ca, other)
    assert mine.fingerprint != pending.fingerprint
    with pytest.raises(ConflictError, match="fingerprint"):
        await ca.joining.approve(pending.id, mine.fingerprint, org="acme", vault="prod", by="alice")
    await ca.joining.approve(pending.id, pending.fingerprint, org="acme", vault="prod", by="alice")
    other.key = asking.key
    with pytest.raises(AuthorizationError):
        await ca.joining.ask(other.join(), "192.0.2.1")


async def test_a_refusal_is_told_and_decided_once() -> None:
    """And nobody is let in by a second opinion."""
    ca, asking = Ca(), Asking()
    pending = await _asked(ca, asking)
    await ca.joining.refuse(pending.id, "alice")
    assert (await ca.joining.find(pending.id)).state is JoinState.REFUSED
    with pytest.raises(AuthorizationError):
        await _asked(ca, asking)
    with pytest.raises(ConflictError):
        await ca.joining.approve(pending.id, pending.fingerprint, org="a", vault="b", by="bob")
    for unknown in (ca.joining.find("x"), ca.joining.refuse("x", "alice")):
        with pytest.raises(NotFoundError):
            await unknown


async def test_a_request_lasts_a_day() -> None:
    """Then it may be made again, under its id."""
    ca, asking = Ca(), Asking()
    pending = await _asked(ca, asking)
    ca.world.advance(86_400)
    with pytest.raises(NotFoundError):
        await ca.joining.refuse(pending.id, "alice")
    assert (await _asked(ca, asking)).id == pending.id


async def test_one_address_cannot_fill_the_list() -> None:
    """Nor many together, faster than a person could look."""
    ca = Ca()
    for _ in range(MAX_FROM_SOURCE):
        await _asked(ca, Asking())
    with pytest.raises(RateLimitError):
        await _asked(ca, Asking())
    for i in range(MAX_PER_MINUTE - MAX_FROM_SOURCE):
        await ca.joining.ask(Asking().join(), f"198.51.100.{i}")
    with pytest.raises(RateLimitError):
        await ca.joining.ask(Asking().join(), "203.0.113.1")
    ca.world.advance(61)
    await ca.joining.ask(Asking().join(), "203.0.113.1")


async def test_a_name_that_is_taken_is_not_given_twice() -> None:
    """Unless it is to be replaced."""
    ca = Ca()
    await ca.enrolled()
    pending = await _asked(ca, Asking())
    args = {"org": "acme", "vault": "prod", "by": "alice"}
    with pytest.raises(ConflictError):
        await ca.joining.approve(pending.id, pending.fingerprint, **args)
    with pytest.raises(ValidationError):
        await ca.joining.approve(pending.id, pending.fingerprint, **(args | {"org": "A"}))
    await ca.joining.approve(pending.id, pending.fingerprint, **args, replace_agent=True)
