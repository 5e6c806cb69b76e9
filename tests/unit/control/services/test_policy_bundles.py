"""Bundles that an agent takes: signed, chained, always above what it has."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from actors.testing import FakeWorld
from control.core import Core
from control.model.policies import Assignment, PolicyVersion
from control.services.policies import RENEWAL_INTERVAL, BundleReport
from control.services.policy_bundles import BundleTerms, assign_bundles
from control.store import policies
from control.store.rows import Tx
from protocols.instant import SECOND
from protocols.link.bundle import AcceptedVersion, PolicyKey, open_bundle

KEY = PolicyKey(Ed25519PrivateKey.generate())
TERMS = BundleTerms(KEY, 10**18)


async def given(core: Core, world: FakeWorld, version: int) -> Assignment:
    """The bundle after `v1` should have this version of `p`."""

    def change(tx: Tx) -> list[Assignment]:
        if policies.get_version(tx, "acme", "p", version) is None:
            row = PolicyVersion("acme", "p", version, {"name": "p"}, "", "ann", 1)
            policies.add_version(tx, row)
        return assign_bundles(tx, TERMS, "acme", {"v1": {"p": version}}, now=world.now())[0]

    [made] = await core.store.write(change)
    return made


def taken(row: Assignment, stored: AcceptedVersion, world: FakeWorld) -> AcceptedVersion:
    """What the agent has after it took the bundle."""
    accepted = open_bundle(
        row.bundle, [KEY.public], org="acme", vault="v1", stored=stored,
        now_ms=world.now() // 10**6,
    )  # fmt: skip
    return AcceptedVersion(accepted.bundle.version, accepted.hash)


async def test_an_agent_takes_one_after_the_other(core: Core, world: FakeWorld) -> None:
    """Each follows the one before; one that was missed does not matter."""
    stored = taken(await given(core, world, 1), AcceptedVersion(), world)
    stored = taken(await given(core, world, 2), stored, world)
    await given(core, world, 3)
    stored = taken(await given(core, world, 4), stored, world)
    assert stored.version == 4


async def test_the_same_contents_are_no_new_bundle(core: Core, world: FakeWorld) -> None:
    """Nothing is signed or sent twice."""
    await given(core, world, 1)
    again = await core.store.write(
        lambda tx: assign_bundles(tx, TERMS, "acme", {"v1": {"p": 1}}, now=world.now())
    )
    assert again == ([], [])


async def test_a_database_from_a_backup_catches_up(core: Core, world: FakeWorld) -> None:
    """The agent is ahead and says so: it gets, and takes, a bundle above its own."""
    first = await given(core, world, 1)
    ahead = AcceptedVersion(7, b"h" * 32)
    core.policies.policies._terms = TERMS
    world.advance(RENEWAL_INTERVAL / SECOND)
    renewed = await core.store.write(
        lambda tx: core.policies.policies.record_report(
            tx, "acme", "v1", BundleReport(7, applied=True, reason="", now=world.now())
        )
    )
    assert renewed is not None
    assert renewed.contents == first.contents
    renewed = await core.policies.policies.get_assignment("acme", "v1")
    assert renewed is not None
    assert taken(renewed, ahead, world).version > 7


async def test_an_old_report_changes_only_what_is_applied(core: Core, world: FakeWorld) -> None:
    """A late word about an old bundle does not pass for the new one's."""
    await given(core, world, 1)
    second = await given(core, world, 2)
    row = await core.store.write(
        lambda tx: core.policies.policies.record_report(
            tx, "acme", "v1", BundleReport(1, applied=True, reason="", now=world.now())
        )
    )
    assert row is not None
    assert (row.version, row.outcome, row.applied) == (2, second.outcome, 1)
    assert row == await core.policies.policies.get_assignment_state("acme", "v1")
