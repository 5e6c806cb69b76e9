"""What control.services.vaults promises."""

from msgspec.structs import replace

from actors.testing import FakeWorld
from control.core import Core
from control.model.agents import Life, Presence, new_agent
from control.model.policies import PolicyVersion
from control.model.records import Alert, Severity
from control.model.vaults import Vault, VaultState
from control.services.event_bus import Topic
from control.services.policy_bundles import BundleTerms, assign_bundles
from control.services.vaults import VaultFilter, VaultReport, record_vaults
from control.store import agents, people, policies
from control.store.rows import Tx
from protocols.link.bundle import PolicyKey
from protocols.pki.names import AgentName
from tests.unit.control.fleet import enrolled
from tests.unit.control.services.test_witness import KEY

ID = "6f1c0f5e-3b1e-4a55-9f0e-0c8f4f1b2a3d"
OTHER_ID = "00000000-3b1e-4a55-9f0e-0c8f4f1b2a3d"


async def say(core: Core, world: FakeWorld, vault: str, vault_id: str, org: str = "acme") -> int:
    """The agent says its vault; how many alerts follow."""
    report = VaultReport(AgentName(org, vault), vault_id, world.new_id(), world.now())
    [events] = await core.store.write(lambda tx: record_vaults(tx, [report]))
    assert {event.topic for event in events} <= {Topic.ALERT}
    return len(events)


async def alerts(core: Core, org: str = "acme") -> list[Alert]:
    """All of the organization."""
    return await core.agents.alerts.list_alerts(org, vault="", before=0, limit=50)


async def listed(core: Core, state: VaultState | None = None, after: str = "") -> list[Vault]:
    """The vaults of acme."""
    wanted = VaultFilter(state=state)
    return await core.agents.vaults.list_vaults("acme", wanted, after=after, limit=10)


async def test_a_second_agent_of_a_vault_is_told_to_people(core: Core, world: FakeWorld) -> None:
    """Once, by name: the claim proves nothing. The first of a vault is no news."""
    await enrolled(core, world, "web-1", "web-2")
    assert await say(core, world, "web-1", ID) == 0
    assert await say(core, world, "web-2", ID) == 1
    assert await say(core, world, "web-2", ID) == 0
    [alert] = await alerts(core)
    assert (alert.vault, alert.code, alert.severity) == ("web-2", "vault_joined", Severity.WARNING)
    assert "same vault as web-1:" in alert.message
    [vault] = await listed(core)
    assert (vault.name, vault.id, [node.name for node in vault.nodes]) == (
        "web-1", ID, ["web-1", "web-2"],
    )  # fmt: skip


async def test_two_at_once_are_one_alert(core: Core, world: FakeWorld) -> None:
    """Applied together: the second sees the first."""
    await enrolled(core, world, "a", "b")
    said = [VaultReport(AgentName("acme", v), ID, world.new_id(), 1) for v in ("a", "b")]
    first, second = await core.store.write(lambda tx: record_vaults(tx, said))
    assert (len(first), len(second)) == (0, 1)


async def test_agents_of_another_organization_are_no_nodes(core: Core, world: FakeWorld) -> None:
    """Whatever id they say: neither an alert nor a row of it."""
    await enrolled(core, world, "web-1")

    def add(tx: Tx) -> None:
        found = people.get_organization(tx, "acme")
        assert found is not None
        people.add_organization(tx, replace(found, id="other"))
        agents.add_agent(tx, new_agent("other", "spy", Life.ACTIVE, now=1))

    await core.store.write(add)
    await say(core, world, "web-1", ID)
    assert await say(core, world, "spy", ID, org="other") == 0
    assert await alerts(core, "other") == await alerts(core) == []
    [vault] = await listed(core)
    assert [node.name for node in vault.nodes] == ["web-1"]


async def test_an_agent_that_is_locked_joins_nothing(core: Core, world: FakeWorld) -> None:
    """What it said late is dropped; a retired one is in no list."""
    await enrolled(core, world, "a", "b", "c")
    await say(core, world, "a", ID)
    await say(core, world, "c", ID)
    await core.agents.registry.change_life("acme", "b", Life.LOCKED, "lost")
    await core.agents.registry.change_life("acme", "c", Life.RETIRED, "old")
    assert await say(core, world, "b", ID) == 0
    assert [[node.name for node in vault.nodes] for vault in await listed(core)] == [["a"], ["b"]]


async def test_vaults_are_listed_as_of_this_moment(core: Core, world: FakeWorld) -> None:
    """By state, page by page: what was heard and is not stored yet counts."""
    await enrolled(core, world, "a", "b", "c")
    await say(core, world, "a", ID)
    await say(core, world, "b", ID)
    core.presence.record_message("acme", "a")
    core.presence.record_message("acme", "c")
    assert [vault.state for vault in await listed(core)] == ["partial", "online"]
    assert [vault.name for vault in await listed(core, VaultState.PARTIAL)] == ["a"]
    assert [vault.name for vault in await listed(core, after="a")] == ["c"]
    assert (await listed(core))[0].nodes[0].presence is Presence.ONLINE


async def test_nodes_with_different_policies_are_marked(core: Core, world: FakeWorld) -> None:
    """They share one bundle: what came last is in force."""
    await enrolled(core, world, "a", "b")
    await say(core, world, "a", ID)
    await say(core, world, "b", ID)

    async def assign(wanted: dict[str, dict[str, int]]) -> bool:
        def change(tx: Tx) -> None:
            assign_bundles(tx, BundleTerms(PolicyKey(KEY), 10**18), "acme", wanted, now=world.now())

        await core.store.write(change)
        [vault] = await listed(core)
        return vault.policies_differ

    def add(tx: Tx) -> None:
        policies.add_version(tx, PolicyVersion("acme", "none", 1, {"name": "none"}, "", "x", 1))

    await core.store.write(add)
    assert await assign({"a": {"none": 1}})
    assert not await assign({"b": {"none": 1}})
    await say(core, world, "b", OTHER_ID)
    assert [vault.policies_differ for vault in await listed(core)] == [False, False]
