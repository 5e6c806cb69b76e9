"""What asks for proof again, and what a program may; docs/reference/api.md has all of it."""

import pytest

from control.api.endpoint import EndpointGroup
from control.api.rest_app import RESOURCES

PEOPLES = {
    "sessions", "second-factors", "oidc", "invitations", "organizations", "members", "users",
    "tokens",
}  # fmt: skip


READABLE = {
    "sessions.current", "sessions.logout", "sessions.whoami", "second-factors.standing", "oidc.get",
    "invitations.list", "organizations.list", "organizations.get", "members.guests",
    "users.list_users", "users.get_user", "tokens.list_tokens",
}  # fmt: skip
"""What an API token may ask of people's matters."""


def test_what_a_program_may_of_peoples_matters_is_a_list() -> None:
    """Whatever is added there is refused to an API token until somebody puts it on the list."""
    peoples = [resource for resource in RESOURCES if resource.tag in PEOPLES]
    assert {resource.tag for resource in peoples} == PEOPLES
    assert not any(resource.allows_api_tokens for resource in peoples)
    open_to_programs = {
        e.name for resource in peoples for e in resource.all if e.allows_api_tokens and not e.public
    }
    assert open_to_programs == READABLE


def test_of_the_fleet_a_program_may_everything() -> None:
    """Its owner showed who it is when the token was made."""
    for resource in RESOURCES:
        if resource.tag not in PEOPLES:
            assert resource.allows_api_tokens, resource.tag
            assert all(endpoint.allows_api_tokens for endpoint in resource.all), resource.tag


def test_what_takes_away_or_stops_is_quick() -> None:
    """In an emergency nobody is asked for a code first."""
    stopping = {
        "sessions.end", "sessions.logout", "tokens.revoke", "invitations.revoke", "joins.refuse",
        "rollouts.halt", "enrolment.withdraw", "holds.place",
    }  # fmt: skip
    fresh = {
        endpoint.name
        for resource in RESOURCES
        for endpoint in resource.all
        if endpoint.requires_recent_auth
    }
    assert not stopping & fresh
    assert {"agents.lock", "rollouts.start", "users.create_user", "tokens.create_token"} <= fresh


def test_what_a_program_may_changes_nobody() -> None:
    """Of people's matters it reads, and ends itself."""
    changes = {
        endpoint.name
        for resource in RESOURCES
        for endpoint in resource.all
        if resource.tag in PEOPLES and endpoint.allows_api_tokens and endpoint.mutates
    }
    public = {e.name for r in RESOURCES for e in r.all if e.public}
    assert changes - public == {"sessions.logout"}


def test_a_change_cannot_be_added_without_saying_so() -> None:
    """The program does not start with one that leaves it to a default."""
    with pytest.raises(TypeError, match="set `requires_recent_auth`"):
        EndpointGroup("things", "Things.").route("POST", "things", "Make one")
