"""Vaults and their nodes: agents of one organization that say the same vault's id.

The id is what an agent says of itself and proves nothing (docs/concepts/security.md): it joins rows
for display and makes totals count once. It moves no policy and silences no alert but those about
backups and rotations, which the nodes of a vault have in common.
"""

from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from msgspec import Struct

from control.model.agents import SERVING, Health, Life, Presence, State, status_of
from control.model.backups import VaultBackup
from control.model.rotations import VaultRotations


class VaultState(StrEnum):
    """The one word for a vault. Of a single node it is the node's."""

    PENDING = "pending"
    LOCKED = "locked"
    UNKNOWN = "unknown"
    OFFLINE = "offline"
    SEALED = "sealed"
    REFUSING = "refusing"
    LATE = "late"
    PARTIAL = "partial"
    """Some nodes serve, and some do not."""
    DEGRADED = "degraded"
    ONLINE = "online"


_RANK: Final = {state: rank for rank, state in enumerate(VaultState)}
MOST_NAMED: Final = 3
"""Nodes that a text names."""
_ENDED: Final = frozenset({State.PENDING, State.LOCKED})


class VaultNode(NamedTuple):
    """An agent as a node of its vault. `vault_id` is empty for one that does not say it."""

    name: str
    vault_id: str
    life: Life
    presence: Presence
    health: Health
    last_seen: int

    @property
    def state(self) -> State:
        """The one word for it."""
        return status_of(self.life, self.presence, self.health)


class Vault(Struct, frozen=True):
    """A vault. Its name is that of its first node; `id` is empty where no agent says one."""

    name: str
    id: str
    nodes: tuple[VaultNode, ...]
    policies_differ: bool = False
    """Whether the control plane has different policies for the nodes, which share one bundle."""
    backup: VaultBackup | None = None
    """None while no node has reported any, as is the next."""
    rotation: VaultRotations | None = None

    @property
    def state(self) -> VaultState:
        """The one word for it."""
        return vault_state([node.state for node in self.nodes])


def vault_state(states: Collection[State]) -> VaultState:
    """The state of a vault by its nodes: offline only if all are.

    Nodes that a person keeps away count only where there is no other. If none serves, the vault is
    as its best node.
    """
    counted = [state for state in states if state not in _ENDED] or list(states)
    serving = [state for state in counted if state in SERVING]
    if not serving:
        return max((VaultState(state) for state in counted), key=_RANK.__getitem__)
    if len(serving) < len(counted):
        return VaultState.PARTIAL
    return min((VaultState(state) for state in serving), key=_RANK.__getitem__)


def group_nodes(nodes: Iterable[VaultNode]) -> list[Vault]:
    """The vaults of these nodes, both by name. An agent that says no id is a vault of its own."""
    found: dict[tuple[str, str], list[VaultNode]] = {}
    for node in sorted(nodes):
        key = (node.vault_id, "") if node.vault_id else ("", node.name)
        found.setdefault(key, []).append(node)
    return [Vault(some[0].name, some[0].vault_id, tuple(some)) for some in found.values()]


def join_names(names: Sequence[str]) -> str:
    """`a, b, c and 2 more`."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
