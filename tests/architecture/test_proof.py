"""What asks for proof again, and what a program may: as docs/people.md has it, without a gap."""

import re
from pathlib import Path

import pytest

from control.api.endpoint import Endpoint, EndpointGroup
from control.api.rest_app import RESOURCES

PEOPLES = {
    "sessions", "second-factors", "oidc", "invitations", "organizations", "members", "users",
    "tokens",
}  # fmt: skip
EVERYTHING = "everything"


def table(root: Path) -> dict[str, tuple[set[str], set[str], str, set[str]]]:
    """Resource to its three cells, as names, and the last as it is written."""
    text = (root / "docs/people.md").read_text()
    rows = re.findall(r"^\| `([a-z-]+)` \|(.*)\|(.*)\|(.*)\|$", text, re.MULTILINE)
    return {
        tag: (_names(fresh), _names(plain), programs.strip(), _names(programs))
        for tag, fresh, plain, programs in rows
    }


def _names(cell: str) -> set[str]:
    return set(re.findall(r"`([a-z_]+)`", cell))


def _short(endpoints: list[Endpoint]) -> set[str]:
    return {endpoint.name.partition(".")[2] for endpoint in endpoints}


def test_each_change_says_whether_it_asks_for_proof(root: Path) -> None:
    """No change of the API is missing from the table, and none is on the wrong side of it."""
    told = table(root)
    changing = {r.tag for r in RESOURCES if any(e.mutates and not e.public for e in r.all)}
    assert set(told) == changing
    for resource in RESOURCES:
        changes = [e for e in resource.all if e.mutates and not e.public]
        fresh, plain, _, _ = told.get(resource.tag, (set(), set(), "", set()))
        assert fresh == _short([e for e in changes if e.fresh]), resource.tag
        assert plain == _short([e for e in changes if not e.fresh]), resource.tag


def test_what_a_program_may_of_peoples_matters_is_a_list(root: Path) -> None:
    """Whatever is added there is refused to an API token until somebody puts it on the list."""
    told = table(root)
    for resource in RESOURCES:
        if resource.tag in PEOPLES:
            assert not resource.programs, resource.tag
            may = _short([e for e in resource.all if e.programs and not e.public])
            assert told[resource.tag][3] == may, resource.tag
        else:
            assert resource.programs, resource.tag
            assert all(e.programs for e in resource.all)
            assert told.get(resource.tag, (0, 0, EVERYTHING))[2] == EVERYTHING, resource.tag


def test_what_a_program_may_changes_nobody() -> None:
    """Of people's matters it reads, and ends itself."""
    changes = {
        endpoint.name
        for resource in RESOURCES
        for endpoint in resource.all
        if resource.tag in PEOPLES and endpoint.programs and endpoint.mutates
    }
    public = {e.name for r in RESOURCES for e in r.all if e.public}
    assert changes - public == {"sessions.logout"}


def test_a_change_cannot_be_added_without_saying_so() -> None:
    """The program does not start with one that leaves it to a default."""
    with pytest.raises(TypeError, match="say whether `fresh`"):
        EndpointGroup("things", "Things.").route("POST", "things", "Make one")
