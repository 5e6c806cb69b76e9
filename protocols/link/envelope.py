"""The envelope: who says what to whom, in which session, as the how-manyth frame.

A frame on the wire is `signature (64) ‖ envelope`, the envelope canonical msgpack
(`protocols.link.codec`). Two numbers count: `seq` counts the frames of a session and direction,
so nothing can be replayed, dropped or moved; `id` counts the durable messages of an outbox over
all sessions, so nothing is lost or applied twice.
"""

from typing import Annotated, Final

from msgspec import Meta, Raw, Struct

from protocols.link.fields import Id, LinkVersion, Millis, Number, Slug
from protocols.link.messages import MessageType

NO_SESSION: Final = bytes(16)
"""The session of a `Hello`: there is none yet."""
EPHEMERAL: Final = 0
"""The id of a message that is not durable."""


class Envelope(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything of a frame but its signature; all fields always present."""

    version: LinkVersion
    timestamp: Millis
    vault_id: Slug
    """The agent's vault, in both directions; the TLS certificate decides, this only confirms."""
    session: Id
    seq: Number
    ack: Number
    """The sender has applied every durable id of the receiver's outbox up to this one."""
    id: Number
    """Of this durable message; 0 if it is ephemeral."""
    message_type: MessageType
    payload: Annotated[Raw, Meta(description="The message, whose fields have kinds themselves.")]
