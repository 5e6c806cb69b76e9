"""Tests of the agent itself as a thing that operations act on."""

from tests.unit.vault.handlers.conftest import House
from vault.model.operation import Capability
from vault.model.payloads import ReadSecret, Versions


async def test_seal_asks_for_it_and_returns(house: House) -> None:
    """Sealing happens when the operations in flight, this one among them, are done.

    Nothing new comes in from then on, and only then it is stored that it was ordered.
    """
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
    assert (state["term"], state["encryptions"]) == (2, 1)


async def test_rewrap(house: House) -> None:
    """Every value's key moves to the active KEK, its ciphertext stays; done twice moves nothing."""
    for name in ("a", "b"):
        await house.write(f"s/{name}", name.encode().join((b'"', b'"')))
    await house.write("s/c")
    await house.do("secret.destroy", "s/c", Versions())
    head = await house.head("s/a")
    assert head is not None
    before = await house.version(head.id, 1)
    await house.do("sys.rotate", "sys/rotate")
    assert await house.do("sys.rewrap", "sys/rewrap") == 2
    after = await house.version(head.id, 1)
    assert before is not None
    assert after is not None
    assert (after.kek_generation, after.box) == (2, before.box)
    assert after.wrapped_dek != before.wrapped_dek
    assert (await house.do("secret.read", "s/a", ReadSecret())).value == b'"a"'
    assert await house.do("sys.rewrap", "sys/rewrap") == 0


async def test_rewrap_of_more_than_a_transaction_holds(house: House) -> None:
    """Some at a time, and none is forgotten."""
    await house.mount("s/", max_versions=500)
    for _ in range(450):
        await house.write("s/a", b"1")
    await house.do("sys.rotate", "sys/rotate")
    assert await house.do("sys.rewrap", "sys/rewrap") == 450


async def test_cache(house: House) -> None:
    """How it is set and how it does; nothing of what is in it."""
    state = await house.do("sys.cache", "sys/cache")
    assert set(state) == {
        "policy", "ttl", "max_bytes", "bytes", "entries", "hits", "misses", "evictions", "hit_rate"
    }  # fmt: skip
    assert (state["policy"], state["max_bytes"]) == ("lru", 64 * 2**20)


async def test_actors(house: House) -> None:
    """The tree as it is."""
    assert (await house.do("sys.tree", "sys/tree")).name == "agent"


async def test_the_table(house: House) -> None:
    """What ends or changes the vault's keys takes sudo."""
    for name in ("seal", "rotate", "rewrap"):
        handler = house.handlers[f"sys.{name}"]
        assert handler.capability is Capability.SUDO
        assert handler.mutates
    for name in ("key_status", "tree", "cache"):
        assert house.handlers[f"sys.{name}"].capability is Capability.READ
