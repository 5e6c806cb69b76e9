"""Vaults with their nodes: what agents say of theirs is stored, and listed by vault."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from actors import World
from control.model.agents import Life
from control.model.backups import judge_backups
from control.model.records import Alert, Severity
from control.model.rotations import RotationDebt, judge_rotations
from control.model.vault_reports import vault_key
from control.model.vaults import Vault, VaultState, group_nodes, join_names
from control.services.alerts import alert_event
from control.services.event_bus import Event
from control.services.organization_batches import run_by_organization
from control.services.presence import PresenceTracker
from control.store import agents, alerts, policies
from control.store.live_queries import AGENTS_PER_QUERY
from control.store.rows import Tx
from control.store.store import Store
from control.store.vault_reports import backups, rotations
from protocols.link.vocabulary import BackupState
from protocols.pki.names import AgentName

JOINED: Final = "vault_joined"


class VaultReport(NamedTuple):
    """An agent says which vault it serves. `alert_id`: of an alert that may follow."""

    name: AgentName
    vault_id: str
    alert_id: str
    now: int


def record_vaults(tx: Tx, said: Sequence[VaultReport]) -> list[Sequence[Event]]:
    """Store the vaults' ids; the events to publish for each report.

    An agent that comes to a vault that another one serves raises an alert: a person knows whether
    it is a new node, and nothing else would show that an agent claims a vault that is not its own.
    """

    def note(tx: Tx, _org: str, places: Sequence[int]) -> list[Sequence[Event]]:
        return [_record_vault(tx, said[place]) for place in places]

    return run_by_organization(tx, [each.name for each in said], note)


def _record_vault(tx: Tx, report: VaultReport) -> Sequence[Event]:
    org, name = report.name
    agent = agents.get_agent(tx, org, name)
    if agent is None or agent.life is not Life.ACTIVE or agent.vault_id == report.vault_id:
        return ()
    others = [node.name for node in agents.list_nodes(tx, org, [report.vault_id])]
    agents.put_vault_id(tx, org, name, report.vault_id)
    if not others:
        return ()
    alert = Alert(
        id=report.alert_id,
        org=org,
        vault=name,
        code=JOINED,
        severity=Severity.WARNING,
        message=f"agent {name} says that it serves the same vault as {join_names(others)}: retire "
        "it if it is no node of that vault",
        at=report.now,
        acknowledged_by="",
        acknowledged_at=0,
        last_at=report.now,
    )
    return tuple(map(alert_event, alerts.fire_alerts(tx, alert)))


class VaultFilter(NamedTuple):
    """Which vaults; None means any."""

    state: VaultState | None = None
    backup: BackupState | None = None
    certified: bool | None = None
    """Whether a fresh restore certificate proves their backups."""
    rotation: RotationDebt | None = None

    def includes(self, vault: Vault) -> bool:
        """Whether the vault is one of them."""
        backup = vault.backup
        certified = backup is not None and backup.is_fresh
        return (
            self.state in (None, vault.state)
            and self.backup in (None, None if backup is None else backup.state)
            and self.certified in (None, certified)
            and self.rotation in (None, None if vault.rotation is None else vault.rotation.state)
        )


ANY_VAULT: Final = VaultFilter()


class Vaults:
    """Queries vaults."""

    def __init__(self, store: Store, presence: PresenceTracker, world: World) -> None:
        self._store = store
        self._presence = presence
        self._world = world

    async def list_vaults(
        self, org: str, wanted: VaultFilter = ANY_VAULT, *, after: str, limit: int
    ) -> list[Vault]:
        """Vaults by name, a page; their nodes without retired ones, as of this moment."""
        now = self._world.now()
        nodes, of_backups, of_rotations = await self._store.read(
            lambda tx: (
                agents.list_nodes(tx, org),
                backups.list_organization_reports(tx, org),
                rotations.list_organization_reports(tx, org),
            )
        )
        vaults = (
            replace(
                vault,
                backup=judge_backups(of_backups.get(key, ()), now),
                rotation=judge_rotations(of_rotations.get(key, ()), now),
            )
            for vault in group_nodes(self._presence.with_current_state(org, node) for node in nodes)
            if vault.name > after
            for key in (vault_key(vault.name, vault.id),)
        )
        found = [vault for vault in vaults if wanted.includes(vault)]
        return await self._store.read(lambda tx: _compare_policies(tx, org, found[:limit]))


def _compare_policies(tx: Tx, org: str, vaults: Sequence[Vault]) -> list[Vault]:
    """The vaults, each with whether its nodes should have different policies."""
    names = [node.name for vault in vaults if len(vault.nodes) > 1 for node in vault.nodes]
    contents = {
        row.vault: row.contents
        for start in range(0, len(names), AGENTS_PER_QUERY)
        for row in policies.get_assignment_states(tx, org, names[start : start + AGENTS_PER_QUERY])
    }
    return [
        replace(vault, policies_differ=any(each != wanted[0] for each in wanted))
        for vault in vaults
        for wanted in ([contents.get(node.name, {}) for node in vault.nodes],)
    ]
