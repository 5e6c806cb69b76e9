"""The example in the docstring of `protocols.link.session` runs as it is written."""

import inspect
import textwrap
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from protocols.link import session as documented
from protocols.link.delivery import NO_CURSOR
from protocols.link.messages import Message, Observe
from protocols.link.session import LinkSession
from protocols.link.vocabulary import ByeReason
from protocols.link_transport.memory import MemoryInbox, MemoryOutbox
from tests.unit.protocols.link.duet import (
    DOWN,
    UP,
    agent_end,
    alert,
    at,
    command,
    control_end,
    heartbeat,
)

Step = Callable[..., Awaitable[Any]]
ELLIPSES = "channel=…, signer=…, verifier=…, nonce=…,"
GIVEN = "channel=end.channel, signer=end.signer, verifier=end.verifier, nonce=end.nonce,"
OBSERVE = Observe(seconds=1)
"""What the control plane sends first: the example sends a registration."""


def example() -> dict[str, Step]:
    """The three parts of the example as functions: begin, take a frame, write what is due."""
    text = inspect.cleandoc(documented.__doc__ or "")
    code = "\n".join(line for line in text.splitlines() if line.startswith("    ") or not line)
    assert ELLIPSES in code
    begin, rest = code.replace(ELLIPSES, GIVEN).split("    for event in", 1)
    take, write = rest.split("    session.tick(", 1)
    source = "".join(
        f"async def {name}({parameters}, outbox, inbox, now):\n{body}\n"
        for name, parameters, body in (
            ("begin", "end", f"{_indented(begin)}\n    return session"),
            ("take", "session, frame, handle, registration", _indented("    for event in" + take)),
            ("write", "session, pipe", _indented("    session.tick(" + write)),
        )
    )
    steps: dict[str, Any] = dict(vars(documented))
    exec(source, steps)  # noqa: S102  # the text of our own docstring
    return steps


def _indented(code: str) -> str:
    return textwrap.indent(textwrap.dedent(code), "    ")


@dataclass
class Pipe:
    """Frames that were written; the other end's `take` reads them."""

    frames: list[bytes] = field(default_factory=list)
    is_closed: bool = False

    async def send(self, frame: bytes) -> None:
        """Keep it."""
        self.frames.append(frame)

    async def aclose(self) -> None:
        """Note it."""
        self.is_closed = True


@dataclass
class End:
    """One end, run by the example alone."""

    session: LinkSession
    outbox: MemoryOutbox
    inbox: MemoryInbox
    pipe: Pipe = field(default_factory=Pipe)
    handled: list[Message] = field(default_factory=list)


async def test_the_example_carries_messages_both_ways() -> None:
    """All that either end has written arrives once, in order; then both close."""
    steps = example()
    up, down = MemoryOutbox(UP), MemoryOutbox(DOWN)
    for number in (1, 2, 3):
        await up.append(alert(number))
    await down.append(command())
    begun, inbox = agent_end(), MemoryInbox()
    session = await steps["begin"](begun, up, inbox, lambda: at(0))
    control = LinkSession.control(control_end(await down.state(), NO_CURSOR), at(0))
    ends = [End(session, up, inbox), End(control, down, MemoryInbox())]
    for turn in range(12):
        for end, other in (ends, reversed(ends)):
            read, end.pipe.frames = end.pipe.frames, []
            for frame in read:
                first = heartbeat() if other is ends[0] else OBSERVE
                await steps["take"](
                    other.session, frame, other.handled.append, first, other.outbox, other.inbox,
                    lambda: at(0),
                )  # fmt: skip
        for end in ends:
            if not end.pipe.is_closed:
                await steps["write"](end.session, end.pipe, end.outbox, end.inbox, lambda: at(0))
        if turn == 8:
            ends[0].session.send_bye(ByeReason.SHUTDOWN, at(0))
    agent, plane = ends
    assert plane.inbox.applied == [(n, alert(n)) for n in (1, 2, 3)]
    assert agent.inbox.applied == [(1, command())]
    assert (agent.handled, plane.handled) == ([OBSERVE], [heartbeat()])
    assert agent.outbox.entries == plane.outbox.entries == []
    assert agent.pipe.is_closed
    assert plane.pipe.is_closed
