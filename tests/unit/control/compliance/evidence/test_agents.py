"""What can be shown about agents."""

from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from actors.testing import FakeWorld
from control.api.plane import Plane
from control.ca.ledger import Issued
from control.model.agents import Life, Presence, newcomer
from control.model.compliance import Evidence, Result
from control.store import agents
from control.store.ledger import SqlLedgerTx
from control.store.rows import Tx
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
    plane: Plane, world: FakeWorld, shown: Shown
) -> None:
    """Silent, without a certificate, with the key in a file, of another release."""
    now = world.now()

    def change(tx: Tx) -> None:
        for vault, presence, holder, release in (
            ("one", Presence.ONLINE, "pkcs11", "1.0"), ("two", Presence.OFFLINE, "file", "1.1"),
        ):  # fmt: skip
            facts = {"key_holder": holder, "release": release}
            row = newcomer("acme", vault, Life.ACTIVE, now=now)
            agents.add_agent(tx, replace(row, presence=presence, facts=facts, last_seen=now))
        agents.add_agent(tx, newcomer("acme", "away", Life.RETIRED, now=now))
        for number, (vault, revoked) in enumerate((("one", None), ("two", now - 1))):
            issued = Issued(
                serial=f"{number:040x}", key=bytes([number]) * 32, generation=1, der=b"d",
                name=AgentName("acme", vault), issuer="i", not_before=now - HOUR,
                not_after=now + HOUR, revoked_at=revoked,
            )  # fmt: skip
            SqlLedgerTx(tx).put_certificate(issued)

    await plane.store.write(change)
    found = await shown()
    for name in ("presence", "certificates", "keys"):
        item = found[f"agents.{name}"]
        assert (item.result, item.exceptions) == (Result.PARTLY, ("two",)), name
        assert item.proofs[0].vault == "two"  # type: ignore[union-attr]
    assert found["agents.releases"].figures["releases"] == 2
    assert found["agents.revocations"].figures["revoked"] == 1
