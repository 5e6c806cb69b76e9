"""What an uplink is made from, and how it is set."""

from collections.abc import Callable

from msgspec import Struct

from actors import World
from protocols.link.vocabulary import CommandName
from vault.uplink.addresses import Addresses
from vault.uplink.connecting import Dial, Patience
from vault.uplink.database import Database
from vault.uplink.enrolling import Door
from vault.uplink.expiring import Expiring
from vault.uplink.host import Host
from vault.uplink.identity import Credential
from vault.uplink.keeping import Enrols
from vault.uplink.ledger import Egress
from vault.uplink.outbox import BOUND
from vault.uplink.replays import Replays
from vault.uplink.usage import Reports


class UplinkConfig(Struct, frozen=True, kw_only=True):
    """Seconds and bytes."""

    heartbeat: float = 60.0
    metrics: float = 60.0
    checkpoints: float = 60.0
    outbox_bytes: int = BOUND
    patience: Patience = Patience()
    allowed: tuple[CommandName, ...] = ()
    door: Door | None = None
    label: str = ""


class Parts(Struct, frozen=True, kw_only=True):
    """What the uplink is made from; a simulation brings others."""

    database: Database
    egress: Egress
    dial: Dial
    enroller: Enrols
    load: Callable[[], Credential | None]
    host: Host
    world: World
    egress_total: Callable[[], int] = int
    usage: Reports | None = None
    """None where nothing of it is told."""
    expiring: Expiring | None = None
    """The same of secrets that expire."""
    replays: Replays | None = None
    """None where they are not answered at all."""
    addresses: Addresses | None = None
    """Those that `dial` goes by, if there are several."""
