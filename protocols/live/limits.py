"""Every bound of the live feed that does not depend on what it shows."""

from typing import Final

from msgspec import Struct

KIB: Final = 1024

SNAPSHOT_ROWS: Final = 500
"""Rows of a snapshot's message: about 100 KiB, so that others get their turn in between."""
MERGE_SECONDS: Final = 0.05
"""Changes of this long become one message."""
HEARTBEAT_SECONDS: Final = 5.0
"""A browser that is told nothing for so long gets a heartbeat: after three times that in silence
its page takes the server for gone."""
MAX_REQUEST: Final = 4 * KIB
"""Bytes of a message from a browser."""
MAX_ID: Final = 2**31 - 1


class LiveLimits(Struct, frozen=True):
    """What one browser may cost."""

    watches: int = 16
    queued: int = 512
    """Messages that wait for it; beyond, it gets snapshots in their place."""
    queued_bytes: int = 1024 * KIB
    """And their characters: all are shared with the other browsers, but for their heads."""
    burst: int = 32
    """Requests at once."""
    rate: float = 4.0
    """Requests a second, in the long run."""
