"""What control.model.vaults promises."""

import pytest

from control.model.agents import Health, Life, Presence, State
from control.model.vaults import VaultNode, VaultState, group_nodes, join_names, vault_state


def node(name: str, vault_id: str = "", presence: Presence = Presence.ONLINE) -> VaultNode:
    """An active agent that serves."""
    return VaultNode(name, vault_id, Life.ACTIVE, presence, Health.SERVING, 1)


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([State.ONLINE], "online"),
        ([State.ONLINE, State.DEGRADED], "degraded"),
        ([State.ONLINE, State.OFFLINE], "partial"),
        ([State.DEGRADED, State.SEALED, State.OFFLINE], "partial"),
        ([State.ONLINE, State.LATE], "partial"),
        ([State.OFFLINE, State.OFFLINE], "offline"),
        ([State.OFFLINE, State.UNKNOWN], "offline"),
        ([State.OFFLINE, State.SEALED], "sealed"),
        ([State.ONLINE, State.LOCKED], "online"),
        ([State.OFFLINE, State.LOCKED], "offline"),
        ([State.LOCKED, State.LOCKED], "locked"),
    ],
)
def test_a_vault_is_offline_only_if_all_nodes_are(states: list[State], expected: str) -> None:
    """Some that serve are `partial`; if none does, the vault is as its best node."""
    assert vault_state(states) == expected
    assert vault_state(states[::-1]) == expected


@pytest.mark.parametrize("state", [state for state in State if state is not State.RETIRED])
def test_a_single_node_is_its_vault(state: State) -> None:
    """In each state that an agent can have."""
    assert vault_state([state]) == VaultState(state)


def test_agents_of_one_id_are_one_vault() -> None:
    """By name; those that say none are vaults of their own, also beside one of that name."""
    offline = Presence.OFFLINE
    found = group_nodes([node("c", "x"), node("b"), node("x"), node("a", "x", offline), node("d")])
    assert [(vault.name, vault.id, [n.name for n in vault.nodes]) for vault in found] == [
        ("a", "x", ["a", "c"]),
        ("b", "", ["b"]),
        ("d", "", ["d"]),
        ("x", "", ["x"]),
    ]
    assert [vault.state for vault in found] == ["partial", "online", "online", "online"]


def test_many_names_are_some_and_a_number() -> None:
    """An alert stays short."""
    assert join_names(["a", "b"]) == "a, b"
    assert join_names(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
