"""Whether who shows an older certificate has the agent's link key, too: all that it may say here.

Our nonce is made after it was found to be outdated, and the proof is signed for that nonce: it is
nothing that was signed before and held back on its way.
"""

import trio

from actors import World
from protocols.link.ends import End, Moment
from protocols.link.events import Opened
from protocols.link.limits import HELLO_SECONDS
from protocols.link.pipe import Pipe
from protocols.link.session import Session


async def is_link_key_proven(pipe: Pipe, end: End, world: World) -> bool:
    """Whether the peer opens a session in time. Nothing that it says beyond that is taken.

    Raises `RemoteFaultError` for what is no proof, `PipeError` when it is gone.
    """
    session = Session.control(end, _now(world))
    with trio.move_on_after(HELLO_SECONDS):
        while True:
            frame = await pipe.receive()
            events = session.receive(frame, _now(world))
            if any(isinstance(event, Opened) for event in events):
                return True
            for answer in session.frames(_now(world)):
                await pipe.send(answer)
    return False


def _now(world: World) -> Moment:
    return Moment(world.monotonic(), world.wall() // 10**6)
