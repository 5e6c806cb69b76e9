"""Whether who shows an older certificate has the agent's link key, too: all that it may say here.

Our nonce is made after it was found to be outdated, and the proof is signed for that nonce: it is
nothing that was signed before and held back on its way.
"""

import trio

from actors import World
from protocols.link.limits import HELLO_SECONDS
from protocols.link.session import LinkSession
from protocols.link.session_config import ClockReading, SessionConfig
from protocols.link.session_events import SessionOpened
from protocols.link.transport import LinkTransport


async def is_link_key_proven(pipe: LinkTransport, end: SessionConfig, world: World) -> bool:
    """Whether the peer opens a session in time. Nothing that it says beyond that is taken.

    Raises `RemoteFaultError` for what is no proof, `TransportError` when it is gone.
    """
    session = LinkSession.control(end, _now(world))
    with trio.move_on_after(HELLO_SECONDS):
        while True:
            frame = await pipe.receive()
            events = session.receive_frame(frame, _now(world))
            if any(isinstance(event, SessionOpened) for event in events):
                return True
            for answer in session.take_frames(_now(world)):
                await pipe.send(answer)
    return False


def _now(world: World) -> ClockReading:
    return ClockReading(world.monotonic(), world.wall() // 10**6)
