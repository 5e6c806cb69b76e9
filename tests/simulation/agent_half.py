"""An agent's sync side: the product's own uplink, on real files, for a vault that is a double."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

import trio

from protocols.link.pipe import Pipe
from protocols.link.signing import LinkKey
from protocols.link.vocabulary import AlertCode, Severity
from protocols.pki.contexts import Identity
from protocols.pki.names import AgentName
from protocols.pki.trust import Trust
from tests.simulation.control_half import FOREVER, certificate_of
from tests.simulation.machine import SimWorld
from tests.simulation.network import Network
from tests.simulation.vault_double import ORG, Estate, VaultDouble
from vault.uplink.database import opened
from vault.uplink.identity import Credential, Enrolment
from vault.uplink.ledger import EgressLedger
from vault.uplink.uplink import Parts, Uplink, UplinkConfig

OUTBOX_BYTES: Final = 6 * 1024
"""Small, so that minutes offline have to let metrics go and merge evidence."""
_CODES: Final = (AlertCode.LOCKOUT, AlertCode.DISK_LOW, AlertCode.ROTATION_FAILED)


class AgentHalf:
    """One agent over all its lives."""

    def __init__(
        self, kept: Estate, network: Network, signer: Any, control: bytes, chance: random.Random
    ) -> None:
        """`control`: the public link key of its control plane."""
        self._kept = kept
        self._network = network
        self._chance = chance
        enrolment = Enrolment(
            endpoint="https://control.example",
            org=ORG,
            vault=kept.name,
            generation=1,
            link_key=control,
            policy_key=kept.policy_key,
        )
        self._credential = Credential(
            enrolment=enrolment,
            name=AgentName(ORG, kept.name),
            leaf=certificate_of(kept.name),
            serial="",
            begins=0,
            expires=FOREVER,
            signer=cast("LinkKey", signer),
            trust=cast("Trust", None),
            identity=cast("Identity", None),
        )
        self.uplink: Uplink | None = None
        """Of the present life."""

    async def run(self, world: SimWorld) -> None:
        """One life."""
        vault = VaultDouble(world, self._kept)
        ledger = EgressLedger(self._kept.folder / "egress.log", world)
        try:
            async with opened(self._kept.folder / "uplink.db", world) as database:
                await ledger.open()
                parts = Parts(
                    database=database,
                    egress=ledger,
                    dial=self._dial,
                    enroller=_Nobody(),
                    load=lambda: replace(self._credential),
                    host=vault,
                    world=world,
                )
                await self._live(
                    world, vault, Uplink(parts, UplinkConfig(outbox_bytes=OUTBOX_BYTES))
                )
        finally:
            self.uplink = None
            await ledger.close()

    async def _live(self, world: SimWorld, vault: VaultDouble, uplink: Uplink) -> None:
        self.uplink = uplink
        async with trio.open_nursery() as nursery:
            await nursery.start(uplink.run)
            nursery.start_soon(self._work, world, vault, uplink)
            await world.stopping.wait()
            await uplink.leave()
            nursery.cancel_scope.cancel()

    async def _work(self, world: SimWorld, vault: VaultDouble, uplink: Uplink) -> None:
        """The vault serves: its log grows, and now and then there is something to tell."""
        while True:
            await world.sleep(self._chance.expovariate(1 / 20))
            await vault.record(self._chance.choice((1, 3, 20)))
            if self._chance.random() < 0.2:
                for _ in range(self._chance.choice((1, 1, 2, 30))):
                    uplink.raise_alert(self._chance.choice(_CODES), Severity.WARNING)

    async def _dial(self, _: trio.Nursery, credential: Credential) -> Pipe:
        return await self._network.connect(credential.name.vault)


class _Nobody:
    """Nobody has to be asked for certificates here."""

    async def join(self, door: object, *, org: str = "", label: str = "") -> None:
        """Not in question: the agent is enrolled."""
        raise NotImplementedError

    async def renew(self, held: Credential) -> None:
        """Granted: the same once more, which makes the agent come back with it."""


def folder_of(root: Path, name: str) -> Path:
    """Where an agent keeps what survives."""
    folder = root / name
    folder.mkdir()
    return folder
