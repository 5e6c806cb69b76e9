"""The oracle of the real halves: what each agent has written, and what the control plane did."""

from collections import Counter
from dataclasses import dataclass, field

from protocols.link import messages as m
from protocols.link.messages import Message
from tests.simulation.observing import decoded
from tests.simulation.oracle import broken


@dataclass
class Told:
    """One agent's messages, in one stream of its outbox."""

    written: dict[int, list[Message]] = field(default_factory=dict)
    """Id → every form that it had: evidence that waits may be merged into it."""
    gone: set[int] = field(default_factory=set)
    waiting: set[int] = field(default_factory=set)
    """In its outbox."""
    last: int = 0
    cursor: int = 0
    """A cursor that moved, whose message's effect is the next thing to be seen."""
    raised: Counter[str] = field(default_factory=Counter)
    alerted: Counter[str] = field(default_factory=Counter)
    results: Counter[bytes] = field(default_factory=Counter)
    done: Counter[bytes] = field(default_factory=Counter)
    down: dict[bytes, int] = field(default_factory=dict)
    """The control plane's streams → how far the agent has applied them."""
    stream: bytes = b""


class Delivery:
    """An `Observer` that raises `BrokenError`."""

    def __init__(self, agents: list[str]) -> None:
        self.told = {agent: Told() for agent in agents}

    def at_agent(self, agent: str, what: str, id_: int, name: str, data: bytes) -> None:
        """See `Observer`."""
        told = self.told[agent]
        match what:
            case "put":
                self._put(agent, told, id_, decoded(name, data))
            case "changed":
                told.written[id_].append(decoded(name, data))
            case "gone":
                told.gone.add(id_)
                told.waiting.discard(id_)
                message = decoded(name, data)
                if isinstance(message, m.CommandResult) and id_ > told.last:
                    broken("lost", f"{agent}: {id_}, a command's result, was let go")
            case "acknowledged" if id_ > max(told.last, told.cursor):
                broken("durable", f"{agent}: {id_} acknowledged, {told.last} durable")
            case "again":
                broken("once", f"{agent}: command {id_} is run again")
            case "cursor":
                before = told.down.get(data, 0)
                if id_ < before:
                    broken("cursor", f"{agent}: from {before} back to {id_}")
                if id_ == before:
                    broken("once", f"{agent}: {id_} has an effect behind {before}")
                told.down[data], told.stream = id_, data

    def at_control(self, agent: str, what: str, id_: int, name: str, data: bytes) -> None:
        """See `Observer`."""
        told = self.told[agent]
        match what:
            case "cursor":
                self._moved(agent, told)
                if id_ <= told.last:
                    broken("once", f"{agent}: {id_} has an effect behind {told.last}")
                told.cursor = id_
            case "effect":
                self._effect(agent, told, decoded(name, data))
            case "acknowledged" if id_ > told.down.get(told.stream, 0):
                broken("durable", f"{agent}: {id_} acknowledged, not applied")

    def arrived(self, agent: str) -> None:
        """Nothing waits: every alert has counted, and every command has its one result."""
        told = self.told[agent]
        self._moved(agent, told)
        if told.alerted != told.raised:
            broken("counted", f"{agent}: raised {told.raised}, arrived {told.alerted}")
        if told.results != told.done:
            broken("arrived", f"{agent}: results that did not arrive")

    def _put(self, agent: str, told: Told, id_: int, message: Message) -> None:
        if id_ in told.written:
            broken("ids", f"{agent}: id {id_} was given twice")
        told.written[id_] = [message]
        told.waiting.add(id_)
        if isinstance(message, m.Alert):
            told.raised[_topic(message)] += message.count
        elif isinstance(message, m.CommandResult):
            told.results[message.command_id] += 1
            if told.results[message.command_id] > 1:
                broken("once", f"{agent}: a command has two results")

    def _moved(self, agent: str, told: Told) -> None:
        """A cursor that moved without an effect: it went over what never comes."""
        if not told.cursor:
            return
        lost = set(range(told.last + 1, told.cursor + 1)) - told.gone
        if lost:
            broken("lost", f"{agent}: {sorted(lost)} were skipped but never let go")
        told.last, told.cursor = told.cursor, 0

    def _effect(self, agent: str, told: Told, message: Message) -> None:
        id_, told.cursor = told.cursor, 0
        if id_ != told.last + 1:
            broken("order", f"{agent}: {id_} follows {told.last}")
        if message not in told.written.get(id_, []):
            broken("true", f"{agent}: {id_} is not what was written")
        told.last = id_
        if isinstance(message, m.Alert):
            told.alerted[_topic(message)] += message.count
            if told.alerted[_topic(message)] > told.raised[_topic(message)]:
                broken("counted", f"{agent}: more alerts arrived than were raised ({id_})")
        elif isinstance(message, m.CommandResult):
            told.done[message.command_id] += 1


def _topic(alert: m.Alert) -> str:
    return f"{alert.code} {alert.severity}"
