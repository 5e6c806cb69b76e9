"""Words that a command takes are those that its server takes."""

from typing import Any, get_args, get_type_hints

import pytest

from control.api.agents import NewCommand
from control.api.usage import Which
from control.model.agents import Life
from control.model.people import Role
from control.model.records import AlertState, Severity
from ui.cli import fleet_agent, fleet_alert, fleet_channel, fleet_usage, fleet_user, policy
from ui.cli import secret as secrets
from vault.edge.native.secrets import ListQuery
from vault.model.operation import Capability


def words(alias: Any) -> set[str]:
    """Those of a Literal, or of one in an Annotated; without the empty one."""
    found = get_args(alias)
    return words(found[0]) if get_args(found[0]) else set(found) - {""}


@pytest.mark.parametrize(
    ("here", "there"),
    [
        (policy.Capability, set(Capability)),
        (secrets.Status, words(get_type_hints(ListQuery)["status"])),
        (fleet_agent.Life, set(Life)),
        (fleet_agent.Word, words(get_type_hints(NewCommand)["command"])),
        (fleet_alert.State, {*AlertState, "open", "all"}),
        (fleet_channel.Severity, set(Severity)),
        (fleet_user.Role, set(Role)),
    ],
)
def test_the_words_are_the_servers(here: Any, there: set[str]) -> None:
    """Neither more nor fewer."""
    assert words(here) == {str(word) for word in there}


def test_secrets_that_need_attention() -> None:
    """Each list of the control plane."""
    which = get_type_hints(fleet_usage.list_secrets, include_extras=True)["which"]
    assert words(which) == {str(word) for word in Which}
