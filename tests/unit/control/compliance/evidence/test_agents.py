"""What can be shown about agents."""

from collections.abc import Awaitable, Callable

import msgspec
from msgspec.structs import replace

from actors.testing import FakeWorld
from control.ca.store import IssuedCertificate
from control.core import Core
from control.model.agents import Health, Life, Presence, new_agent
from control.model.compliance import Evidence, Result, StateProof
from control.services.presence import PresenceUpdate, store_presence
from control.store import agents
from control.store.ca_store import SqlCaTransaction
from control.store.rows import Tx
from control.store.tables import history
from protocols.instant import SECOND
from protocols.pki.names import AgentName

Shown = Callable[[], Awaitable[dict[str, Evidence]]]
HOUR = 3600 * SECOND


async def test_nothing_is_known_without_agents(shown: Shown) -> None:
    """It is neither met nor a gap."""
    found = await shown()
    for name in ("presence", "certificates", "keys", "releases", "revocations"):
        assert found[f"agents.{name}"].result is Result.NOT_EVIDENCED, name


async def test_agents_that_are_not_as_they_should_be_are_named(
    core: Core, world: FakeWorld, shown: Shown
) -> None:
    """Silent, without a certificate, with the key in a file, of another release."""
    now = world.now()

    def change(tx: Tx) -> None:
        for vault, presence, holder, release in (
            ("one", Presence.ONLINE, "pkcs11", "1.0"), ("two", Presence.OFFLINE, "file", "1.1"),
        ):  # fmt: skip
            facts = {"key_holder": holder, "release": release}
            row = new_agent("acme", vault, Life.ACTIVE, now=now)
            agents.add_agent(tx, replace(row, presence=presence, facts=facts, last_seen=now))
        agents.add_agent(tx, new_agent("acme", "away", Life.RETIRED, now=now))
        for number, (vault, revoked) in enumerate((("one", None), ("two", now - 1))):
            issued = IssuedCertificate(
                serial=f"{number:040x}", key=bytes([number]) * 32, generation=1, der=b"d",
                name=AgentName("acme", vault), issuer="i", not_before=now - HOUR,
                not_after=now + HOUR, revoked_at=revoked,
            )  # fmt: skip
            SqlCaTransaction(tx).put_certificate(issued)

    await core.store.write(change)
    found = await shown()
    for name in ("presence", "certificates", "keys"):
        item = found[f"agents.{name}"]
        assert (item.result, item.exceptions) == (Result.PARTLY, ("two",)), name
        assert "two" in msgspec.json.encode(item.proofs[0]).decode(), name
    assert found["agents.releases"].figures["releases"] == 2
    assert found["agents.revocations"].figures["revoked"] == 1


async def test_a_sealed_agent_is_heard_and_counts_as_silent(
    core: Core, world: FakeWorld, shown: Shown
) -> None:
    """It is named with what it is."""
    for vault, health in (("one", Health.SERVING), ("shut", Health.SEALED)):
        row = new_agent("acme", vault, Life.ACTIVE, now=world.now())
        row = replace(row, presence=Presence.ONLINE, last_seen=world.now(), health=health)
        await core.store.write(lambda tx, row=row: agents.add_agent(tx, row))
    found = (await shown())["agents.presence"]
    assert (found.result, found.exceptions) == (Result.PARTLY, ("shut: sealed",))
    assert found.figures["shut"] == 1


def word(vault: str, presence: Presence, heard: int, at: int) -> PresenceUpdate:
    """As the watch has it stored."""
    return PresenceUpdate("acme", vault, presence, heard, heard, f"{vault}{at}", at)


async def test_a_silence_within_the_period_counts_though_it_is_over(
    core: Core, world: FakeWorld, shown: Shown
) -> None:
    """Two days of silence a week ago: named, with its time. Half a day is none."""
    began = world.now()
    for vault in ("long", "short"):
        row = replace(new_agent("acme", vault, Life.ACTIVE, now=began), presence=Presence.ONLINE)
        await core.store.write(lambda tx, row=row: agents.add_agent(tx, row))
    for vault, hours in (("long", 48), ("short", 12)):
        last = world.now()
        silent = [word(vault, Presence.OFFLINE, 0, last + 1)]
        await core.store.write(lambda tx, silent=silent: store_presence(silent, tx))
        world.advance(hours * 3600)
        back = [word(vault, Presence.ONLINE, world.now(), world.now())]
        await core.store.write(lambda tx, back=back: store_presence(back, tx))
    world.advance(7 * 86_400)
    item = (await shown())["agents.presence"]
    assert (item.result, item.exceptions) == (Result.PARTLY, ("long",))
    assert item.figures == {
        "active": 2, "silent": 1, "hours_silent": 59, "unknown": 0, "shut": 0,
    }  # fmt: skip
    [worst] = [p for p in item.proofs if isinstance(p, StateProof) and p.value == "silent"]
    assert (worst.subject, worst.until - worst.since) == ("long", 48 * HOUR - 1)


async def test_certificates_are_those_of_the_period(
    core: Core, world: FakeWorld, shown: Shown
) -> None:
    """One without a certificate for six hours while it was heard is named, valid again or not.

    What was revoked and tidied away since is told all the same.
    """
    began = world.now()

    def issue(vault: str, generation: int, begins: int, ends: int, revoked: int = 0) -> None:
        serial = f"{vault}{generation}".encode().hex().rjust(40, "0")
        issued.append(
            IssuedCertificate(
                serial=serial, key=serial.encode(), generation=generation, der=b"d",
                name=AgentName("acme", vault), issuer="i", not_before=began + begins * HOUR,
                not_after=began + ends * HOUR,
                revoked_at=began + revoked * HOUR if revoked else None,
            )
        )  # fmt: skip

    issued: list[IssuedCertificate] = []
    issue("good", 1, 0, 24)
    issue("good", 1, 0, 24, revoked=16)
    issue("good", 2, 16, 40)
    issue("bare", 1, 0, 10)
    issue("bare", 2, 16, 40)

    def change(tx: Tx) -> None:
        for vault in ("good", "bare"):
            row = new_agent("acme", vault, Life.ACTIVE, now=began)
            agents.add_agent(tx, replace(row, presence=Presence.ONLINE))
        for one in issued:
            SqlCaTransaction(tx).put_certificate(one)

    await core.store.write(change)
    world.advance(30 * 3600)
    assert await core.store.write(lambda tx: SqlCaTransaction(tx).delete_expired(world.now())) > 0
    found = await shown()
    item = found["agents.certificates"]
    assert (item.result, item.exceptions) == (Result.PARTLY, ("bare",))
    assert found["agents.revocations"].figures["revoked"] == 1


async def test_what_began_before_anybody_wrote_it_down_is_said(
    core: Core, world: FakeWorld, shown: Shown
) -> None:
    """By name and from when on it is known: not met, however well it looks since."""
    began = world.now()
    row = new_agent("acme", "old", Life.ACTIVE, now=began)
    row = replace(row, presence=Presence.ONLINE, changed_at=began + 1)

    def change(tx: Tx) -> None:
        agents.add_agent(tx, row)
        tx.execute(history.delete().where(history.c.subject == "old"))

    await core.store.write(change)
    world.advance(86_400)
    await core.state_history.record_missing()
    world.advance(86_400)
    item = (await shown())["agents.presence"]
    assert (item.result, item.figures["unknown"]) == (Result.PARTLY, 1)
    assert "old: known from" in item.lacking
