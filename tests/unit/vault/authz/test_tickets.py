"""Denial tickets: the question that was refused, whole, and nothing for its holder."""

import pytest

from vault.authz.access import AccessRequest
from vault.authz.tickets import MAX_TICKET, DenialTickets
from vault.errors import ValidationError
from vault.model.acl.access import AclCapability, ApiAccess
from vault.model.identity import Identity, Method, Permission
from vault.model.operation import NO_FACTS, Capability, Origin, SecretFacts
from vault.model.path import ResourcePath


def _reverse(content: bytes) -> bytes:
    """A seal that its test can see through."""
    return content[::-1]


TICKETS = DenialTickets(_reverse, _reverse)


@pytest.mark.parametrize("path", ["app/prod/db", "app/prod/"])
def test_the_whole_question_comes_back(path: str) -> None:
    """Whatever holds the caller down is asked about again, the ceiling included."""
    parse = ResourcePath.parse_folder if path.endswith("/") else ResourcePath.parse
    access = AccessRequest(
        capability=Capability.READ,
        path=parse(path),
        identity=Identity(
            id="t-1",
            name="deploy",
            method=Method.TOKEN,
            policies=("app",),
            permissions=(Permission(("read",), ("app/**",)),),
            denied_by=("parent",),
            ceiling=("login",),
            credential="accessor-1",
            mfa_at=7,
            entity=(("identity.groups.names.ops.id", "g-1"), ("identity.entity.name", "ann")),
            mount="m-1",
            line="ann",
        ),
        origin=Origin(ip="192.0.2.7"),
        now=5,
    )
    denied = TICKETS.read(TICKETS.issue(access, "r-1"))
    assert (denied.request_id, denied.at) == ("r-1", 5)
    assert denied.as_access(5) == access


@pytest.mark.parametrize("ticket", ["", "fdt_", "fdt_AAAA", "fdt_é", "fdt_" + "A" * 9_000])
def test_what_is_no_ticket_is_refused(ticket: str) -> None:
    """With one code, whatever is wrong with it."""
    with pytest.raises(ValidationError) as refused:
        TICKETS.read(ticket)
    assert refused.value.code == "ticket_invalid"


def _access(facts: SecretFacts = NO_FACTS, **more: object) -> AccessRequest:
    identity = Identity(id="t", name="t", method=Method.TOKEN, **more)  # type: ignore[arg-type]
    return AccessRequest(
        capability=Capability.READ,
        path=ResourcePath.parse("app/db"),
        identity=identity,
        origin=Origin(ip="192.0.2.7"),
        facts=facts,
        now=5,
        api=ApiAccess(path="app/data/db", operation=AclCapability.READ, needs_sudo=True),
    )


def test_what_the_secret_was_is_kept() -> None:
    """Tags and metadata, where they could decide; and the request of the other dialect."""
    facts = SecretFacts(exists=True, tags=frozenset({"b", "a"}), metadata={"team": "blue"})
    kept = TICKETS.read(TICKETS.issue(_access(facts), "r", with_facts=True))
    assert kept.secret_facts == facts
    asked = kept.as_access(9)
    assert (asked.facts, asked.now) == (facts, 9)
    assert asked.api is not None
    assert (asked.api.path, asked.api.needs_sudo) == ("app/data/db", True)
    assert TICKETS.read(TICKETS.issue(_access(facts), "r")).secret_facts is None


def test_a_ticket_does_not_tell_by_its_length_what_is_there() -> None:
    """Neither whether there is a secret, nor how much is said of it."""
    large = SecretFacts(exists=True, metadata={f"k{n}": "v" * 500 for n in range(64)})
    some = SecretFacts(exists=True, tags=frozenset({"x"}), metadata={"k": "v"})
    tickets = [
        TICKETS.issue(_access(facts), "r", with_facts=True) for facts in (NO_FACTS, some, large)
    ]
    assert len({len(ticket) for ticket in tickets}) == 1
    assert TICKETS.read(tickets[-1]).secret_facts is None


def test_a_ticket_stays_short_enough_for_a_header() -> None:
    """Of an entity with a lot of metadata, that it had more is all that is kept."""
    entity = tuple((f"identity.entity.metadata.{n}", "v" * 500) for n in range(64))
    ticket = TICKETS.issue(_access(entity=entity), "r", with_facts=True)
    assert len(ticket) < MAX_TICKET
    assert TICKETS.read(ticket).entity is None
