"""Denial tickets: the question that was refused, whole, and nothing for its holder."""

import pytest

from vault.authz.access import AccessRequest
from vault.authz.tickets import DenialTickets
from vault.errors import ValidationError
from vault.model.identity import Identity, Method, Permission
from vault.model.operation import Capability, Origin
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
