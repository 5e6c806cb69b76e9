"""Every bound of the link, in one place. Both sides keep them; docs/spec/link.md states them."""

from typing import Final

KIB: Final = 1024

FIRST_VERSION: Final = 1
"""The oldest version of the link: greetings are in it, so that they are read by whoever comes."""
VERSIONS: Final = (1, 3, 4, 5, 6, 7, 8, 9)
"""What is spoken. A peer of version 8 or before takes greetings that name eight at most, so 2 is
left out: whoever speaks no later one speaks 1, too."""
MAX_VERSIONS: Final = 16
"""That a greeting may name."""
"""All that this code speaks; `Hello` offers them, and the highest that both know is spoken."""
SUBPROTOCOL: Final = "freehold-link-v1"
PATH: Final = "/link/v1"

MAX_FRAME: Final = 256 * KIB
"""Bytes of a frame: the signature and the envelope."""
MAX_BUNDLE: Final = 192 * KIB
"""Bytes of a policy bundle without its signature: with its envelope it fits into a frame."""
MAX_VERSION_STEP: Final = 1_000_000
"""Versions that a bundle may be above the stored one: one every 32 s for a year. Without a bound
one bundle could take a version above which there is none."""
MAX_FIRST_VERSION: Final = 2**53
"""Of a bundle that an agent takes while it has none: its control plane may be far ahead of it."""
MAX_RULES: Final = 500
"""Policy documents of a bundle."""
MAX_CONDITIONS: Final = 16
"""Codes of a `conditions`."""
MAX_INT: Final = 2**63 - 1
"""Numbers are 0 to this: what a BIGINT of every database holds."""

WINDOW: Final = 64
"""Durable frames that may be on their way without an acknowledgement, in each direction."""
WINDOW_BYTES: Final = 1024 * KIB
"""And their bytes; a single frame may always be under way."""
MAX_QUEUED: Final = 256
"""Frames that a session holds for its writer; a live writer never comes near it."""

PING_SECONDS: Final = 10.0
CONTROL_PING_SECONDS: Final = 12.0
"""The control plane's own: an agent's ping comes before, so that on a quiet link one side asks."""
PINGS_A_MINUTE: Final = 180
"""And as many at once. The shortest `DEAD_SECONDS` that either end can be set to, 1 s, has 150."""
DEAD_SECONDS: Final = 30.0
"""A peer that was not heard for this long is gone, whatever TCP believes."""
HELLO_SECONDS: Final = 10.0
"""From the connection to the peer's first frame of the session."""
DRAIN_SECONDS: Final = 5.0
"""From our `Bye` to the end, for what is under way to be acknowledged."""
CLOCK_SKEW_MS: Final = 300_000
"""A frame's time may differ from ours by this much: sanity, not the protection from replay."""

CONNECT_SECONDS: Final = 10.0
"""For TCP, TLS and the websocket's handshake together, at either end."""
WRITE_SECONDS: Final = 20.0
"""For one frame; a reader that needs longer is cut, before it counts as dead."""
CLOSE_SECONDS: Final = 2.0
"""For the websocket's closing handshake; then the socket is closed."""
MAX_UNREAD: Final = 4 * MAX_FRAME
"""Bytes on the wire from one frame taken to the next: what an endless series of fragments or of
websocket pings may cost. Three frames can lie in buffers."""
MAX_CONNECTIONS: Final = 20_000
"""Of a server; twice the fleet that one is measured with."""
FIRST_BYTE_SECONDS: Final = 3.0
"""From the connection to its first byte, which takes a round trip, or two when a packet is lost."""
HANDSHAKE_SECONDS: Final = 5.0
"""Of a place among `MAX_HANDSHAKES`: some four round trips, one of them with a lost packet."""
MAX_HANDSHAKES: Final = 512
"""TLS and websocket handshakes at a time; others wait, which spreads a stampede. As many as two
processors do within a second: all of them end in time."""
MAX_HANDSHAKES_PER_CLIENT: Final = 64
"""Of one client: a fleet behind one address comes in at the pace that it was measured with, and
eight clients that stall are needed to keep out a ninth."""
MAX_SILENT_PER_CLIENT: Final = 128
"""Connections of one client that have not said anything yet; then the oldest goes."""
MAX_REQUESTS: Final = 64
"""Requests for certificates that are answered at a time; others wait."""
MAX_NODES: Final = 64
"""Actors in a `Glimpse`; an agent has some ten."""
MAX_OBSERVED: Final = 120
"""Seconds of one `Observe`; whoever goes on looking asks again."""
MAX_EXPIRING: Final = 1_000
"""Secrets that an agent keeps in mind as expiring soon; the soonest are told first."""
MAX_NAMED: Final = 160
"""Secrets that one `Usage` names: with the identities some 15 KiB."""
MAX_IDENTITIES: Final = 64
"""Identities that one `Usage` names."""
MAX_REPLAY_CHANGES: Final = 64
"""Changes that one `ReplayResult` names: 6 KiB at most."""
MAX_ROTATION_NOTICES: Final = 32
"""Notices of one `Rotations`: with their channels some 8 KiB."""
MAX_NOTIFY_CHANNELS: Final = 8
"""Channels of one rotation policy."""
