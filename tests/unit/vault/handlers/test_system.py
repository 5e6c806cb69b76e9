"""Tests of the agent itself as a thing that operations act on."""

import pytest

from tests.unit.vault.handlers.conftest import House
from vault.errors import ConflictError
from vault.handlers import rewrap
from vault.model.operation import Capability
from vault.model.payloads import ReadSecret, RewrapDataKeys, SecretVersions
from vault.model.results import RewrapStep


async def test_seal_asks_for_it_and_returns(house: House) -> None:
    """Sealing happens when the operations in flight, this one among them, are done.

    Nothing new comes in from then on (`Handler.before_intent`), and only then it is stored that it
    was ordered.
    """
    request_seal = house.handlers["sys.seal"].before_intent
    assert request_seal is not None
    request_seal()
    assert await house.do("sys.seal", "sys/seal") is None
    assert house.sealings == ["sealed", "ordered"]


async def test_rotate(house: House) -> None:
    """New versions are sealed with the new generation; the old ones stay readable."""
    await house.write("s/a", b"1")
    assert await house.do("sys.rotate", "sys/rotate") == 2
    written = await house.write("s/a", b"2")
    assert written.version.kek_generation == 2
    assert (await house.do("secret.read", "s/a", ReadSecret(version=1))).value == b"1"
    state = await house.do("sys.key_status", "sys/key-status")
    assert (state.keyring.generation, state.keyring.uses) == (2, 1)


async def one_pass(house: House) -> list[RewrapStep]:
    """Steps until all are looked at."""
    steps: list[RewrapStep] = []
    while not steps or not steps[-1].complete:
        steps.append(await house.do("sys.rewrap", "sys/rewrap"))
    return steps


async def test_rewrap(house: House) -> None:
    """Every value's key moves to the active KEK, its ciphertext stays; done twice moves nothing."""
    for name in ("a", "b"):
        await house.write(f"s/{name}", name.encode().join((b'"', b'"')))
    await house.write("s/c")
    await house.do("secret.destroy", "s/c", SecretVersions())
    head = await house.head("s/a")
    assert head is not None
    before = await house.version(head.id, 1)
    await house.do("sys.rotate", "sys/rotate")
    step = await house.do("sys.rewrap", "sys/rewrap")
    assert (step.moved, step.looked_at, step.complete) == (2, 3, True)
    after = await house.version(head.id, 1)
    assert before is not None
    assert after is not None
    assert (after.kek_generation, after.box) == (2, before.box)
    assert after.wrapped_dek != before.wrapped_dek
    assert (await house.do("secret.read", "s/a", ReadSecret())).value == b'"a"'
    for payload in (RewrapDataKeys(), RewrapDataKeys(again=True)):
        step = await house.do("sys.rewrap", "sys/rewrap", payload)
        assert (step.moved, step.complete) == (0, True)


async def test_rewrap_of_more_than_a_step_looks_at(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some at a time and step by step, and none is forgotten."""
    monkeypatch.setattr(rewrap, "MAX_SCANNED", 200)
    await house.mount("s/", max_versions=500)
    for _ in range(450):
        await house.write("s/a", b"1")
    await house.do("sys.rotate", "sys/rotate")
    steps = await one_pass(house)
    assert len(steps) > 1
    assert sum(step.moved for step in steps) == 450
    assert (await house.do("sys.key_status", "sys/key-status")).rewrapped


async def test_a_rotation_begins_another_pass(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the last one had left over; what is written meanwhile is under the newest key."""
    monkeypatch.setattr(rewrap, "MAX_SCANNED", rewrap.BATCH_VERSIONS)
    await house.mount("s/", max_versions=500)
    for _ in range(100):
        await house.write("s/a", b"1")
    await house.do("sys.rotate", "sys/rotate")
    assert (await house.do("sys.rewrap", "sys/rewrap")).moved == rewrap.BATCH_VERSIONS
    await house.do("sys.rotate", "sys/rotate")
    await house.write("s/a", b"1")
    steps = await one_pass(house)
    assert steps[-1].looked_at == 101
    assert sum(step.moved for step in steps) == 100


async def test_older_keys_are_dropped_once_nothing_is_under_them(house: House) -> None:
    """A whole pass has to have looked; what it has moved is read on."""
    await house.write("s/a", b"1")
    await house.do("sys.rotate", "sys/rotate")
    with pytest.raises(ConflictError, match="rewrap_incomplete"):
        await house.do("sys.retire_keys", "sys/retire-keys")
    await house.do("sys.rewrap", "sys/rewrap")
    await house.do("sys.rotate", "sys/rotate")
    with pytest.raises(ConflictError, match="rewrap_incomplete"):
        await house.do("sys.retire_keys", "sys/retire-keys")
    await house.do("sys.rewrap", "sys/rewrap")
    assert await house.do("sys.retire_keys", "sys/retire-keys") == [1, 2]
    assert await house.do("sys.retire_keys", "sys/retire-keys") == []
    state = await house.do("sys.key_status", "sys/key-status")
    assert (state.keyring.generation, state.keyring.oldest_generation, state.rewrapped) == (
        3,
        3,
        True,
    )
    assert (await house.do("secret.read", "s/a", ReadSecret())).value == b"1"


async def test_cache(house: House) -> None:
    """How it is set and how it does; nothing of what is in it."""
    state = await house.do("sys.cache", "sys/cache")
    assert (state.eviction_policy, state.max_bytes) == ("lru", 64 * 2**20)


async def test_actors(house: House) -> None:
    """The tree as it is."""
    assert (await house.do("sys.tree", "sys/tree")).name == "agent"


async def test_the_table(house: House) -> None:
    """What ends or changes the vault's keys takes sudo."""
    for name in ("seal", "rotate", "rewrap", "retire_keys"):
        handler = house.handlers[f"sys.{name}"]
        assert handler.capability is Capability.SUDO
        assert handler.mutates
    for name in ("key_status", "tree", "cache"):
        assert house.handlers[f"sys.{name}"].capability is Capability.READ
