"""An agent's sync side: the product's own uplink, on real files, for a vault that is a double."""

import random
import ssl
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import trio

from protocols.link.errors import TransportError
from protocols.link.signing import LinkKey
from protocols.link.transport import LinkTransport
from protocols.link.vocabulary import AlertCode, Severity
from protocols.pki.chain import verify_control_plane
from protocols.pki.errors import ChainError
from tests.simulation.certificates import chain_in, shaken
from tests.simulation.control_half import ControlHalf
from tests.simulation.failing import Weak
from tests.simulation.keys import QuickKey
from tests.simulation.machine import SimWorld
from tests.simulation.network import Network
from tests.simulation.vault_double import Estate, VaultDouble
from vault.control_link.client import LinkClient
from vault.control_link.database import open_link_database
from vault.control_link.dependencies import LinkConfig, LinkDependencies
from vault.control_link.egress_ledger import EgressLedger
from vault.control_link.enrol_client import EnrolError, Enroller, EnrolTarget, refusal_error
from vault.control_link.identity import AgentCredential, IdentityStore
from vault.errors import UnavailableError

OUTBOX_BYTES: Final = 6 * 1024
"""Small, so that minutes offline have to let metrics go and merge evidence."""
LEDGER_BYTES: Final = 64 * 1024
"""Small, so that the ledger's files follow one another every hour or so."""
_NO_REFUSAL: Final = 500
"""From this status on it may have been done, or not: the operator tries the same token again."""
_CODES: Final = (AlertCode.LOCKOUT, AlertCode.DISK_LOW, AlertCode.ROTATION_FAILED)


class AgentHalf:
    """One agent over all its lives."""

    def __init__(
        self,
        weak: Weak,
        kept: Estate,
        network: Network,
        control: ControlHalf,
        chance: random.Random,
        *,
        quick: bool,
    ) -> None:
        """`control`: where it enrols; with `quick` its frames have a stand-in for signatures."""
        self._weak = weak
        self._kept = kept
        self._network = network
        self._control = control
        self._chance = chance
        self._quick = quick
        self._door = EnrolTarget(endpoint="https://control.example", pin=control.pin)
        self.identity = IdentityStore(kept.folder / "identity")
        self.uplink: LinkClient | None = None
        """Of the present life."""

    async def run(self, world: SimWorld) -> None:
        """One life."""
        self._weak.serving = False
        vault = VaultDouble(world, self._kept)
        ledger = EgressLedger(
            self._kept.folder / "egress.log", world, file_bytes=LEDGER_BYTES, files=3
        )
        try:
            async with open_link_database(self._kept.folder / "uplink.db", world) as database:
                await ledger.open()
                enroller = Enroller(self.identity, ledger, world, partial(self._post, world))
                while not world.stopping.is_set():
                    await self._enrol(world, enroller)
                    parts = LinkDependencies(
                        database=database,
                        egress=ledger,
                        dial=partial(self._dial, world),
                        enroller=enroller,
                        load=self._load,
                        host=vault,
                        world=world,
                    )
                    config = LinkConfig(
                        outbox_bytes=OUTBOX_BYTES, enrol_target=self._door, label=self._kept.name
                    )
                    await self._live(world, vault, LinkClient(parts, config))
        finally:
            self.uplink = None
            await ledger.close()

    async def _live(self, world: SimWorld, vault: VaultDouble, uplink: LinkClient) -> None:
        """Until it is asked to stop, or its operator has a token for it."""
        self.uplink = uplink
        self._network.begins(self._kept.name)
        async with trio.open_nursery() as nursery:
            await nursery.start(uplink.run)
            nursery.start_soon(self._work, world, vault, uplink)
            self._weak.serving = True
            async with trio.open_nursery() as waits:
                for event in (world.stopping, self._kept.called):
                    waits.start_soon(_end_at, event, waits.cancel_scope)
            self._weak.serving = False
            await uplink.shut_down()
            nursery.cancel_scope.cancel()

    async def _enrol(self, world: SimWorld, enroller: Enroller) -> None:
        """As `freehold agent enrol`, by an operator who tries until he is refused."""
        self._kept.called = trio.Event()
        while self._kept.token and not world.stopping.is_set():
            try:
                await enroller.enrol(self._door, self._kept.token)
            except EnrolError as error:
                if not error.status or error.status >= _NO_REFUSAL:
                    await world.sleep(5)
                    continue
            except UnavailableError:  # a disk that refuses
                await world.sleep(5)
                continue
            except ChainError:  # a clock that is wrong, ours or the one that granted
                self._kept.unusable = world.is_right()
                await world.sleep(5)
                continue
            self._kept.token, self._kept.unusable = "", False

    async def _work(self, world: SimWorld, vault: VaultDouble, uplink: LinkClient) -> None:
        """The vault serves: its log grows, and now and then there is something to tell."""
        while True:
            await world.sleep(self._chance.expovariate(1 / 20))
            await vault.record(self._chance.choice((1, 3, 20)))
            if self._chance.random() < 0.2:
                for _ in range(self._chance.choice((1, 1, 2, 30))):
                    uplink.raise_alert(self._chance.choice(_CODES), Severity.WARNING)

    def _load(self) -> AgentCredential | None:
        held = self.identity.load_credential()
        if held is None or not self._quick:
            return held
        return replace(held, signer=cast("LinkKey", QuickKey(held.signer.public)))

    async def _dial(
        self, world: SimWorld, _: trio.Nursery, credential: AgentCredential
    ) -> LinkTransport:
        shown = chain_in(credential.identity.chain)

        def handshake() -> tuple[bytes, bytes]:
            seen = self._control.shows(shown)
            shaken(partial(verify_control_plane, seen, credential.trust, world.wall()))
            return shown[0], seen[0]

        return await self._network.connect(credential.name.vault, handshake)

    async def _post(
        self, world: SimWorld, context: ssl.SSLContext, _endpoint: str, path: str, body: bytes
    ) -> bytes:
        """See `vault.control_link.enrol_client.HttpPost`."""
        shown = chain_in(self.identity.folder / "agent.crt") if path.endswith("/renew") else []
        checking: Any = context

        def handshake() -> None:
            seen = self._control.shows(shown)
            shaken(partial(checking.check, seen))
            shaken(partial(verify_control_plane, seen, self._control.trust, world.wall()))

        work = partial(self._control.answer, shown, path, body, self._kept.name)
        try:
            status, answer = await self._network.ask(self._kept.name, path, handshake, work)
        except TransportError as error:
            raise EnrolError(str(error)) from error
        if status not in {200, 202}:
            raise refusal_error(status, answer)
        return answer


async def _end_at(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


def folder_of(root: Path, name: str) -> Path:
    """Where an agent keeps what survives."""
    folder = root / name
    folder.mkdir()
    return folder
