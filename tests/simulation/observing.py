"""Sees what is durable in both halves' databases, in the very transaction that made it so.

Temporary triggers and tables (which no other connection sees) note what each transaction does; they
are read right after its commit, with no moment in between. So the oracle knows of an effect that
was committed although the process died before it learned of that, and of none that was not.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final, Protocol

from control.services.agent_messages import AgentMessages, BundleStatusReport
from control.store import links
from control.store.writer import StoreWriter
from protocols.link import codec
from protocols.link.messages import Message, MessageType
from vault.control_link.database import LinkDatabase

_AT_AGENT: Final = """
PRAGMA temp_store = MEMORY;
CREATE TEMP TABLE told (n INTEGER PRIMARY KEY, what TEXT, id INTEGER, name TEXT, data BLOB);
CREATE TEMP TRIGGER put_out AFTER INSERT ON main.outbox BEGIN
    INSERT INTO told (what, id, name, data) VALUES ('put', NEW.id, NEW.name, NEW.payload); END;
CREATE TEMP TRIGGER changed_out AFTER UPDATE OF payload ON main.outbox BEGIN
    INSERT INTO told (what, id, name, data) VALUES ('changed', NEW.id, NEW.name, NEW.payload); END;
CREATE TEMP TRIGGER gone_out AFTER DELETE ON main.outbox BEGIN
    INSERT INTO told (what, id, name, data) VALUES ('gone', OLD.id, OLD.name, OLD.payload); END;
CREATE TEMP TRIGGER acknowledged_out AFTER UPDATE OF acknowledged ON main.outbox_state
WHEN NEW.acknowledged > OLD.acknowledged BEGIN
    INSERT INTO told (what, id, name, data) VALUES ('acknowledged', NEW.acknowledged, '', x''); END;
CREATE TEMP TRIGGER moved_in AFTER INSERT ON main.inbox BEGIN
    INSERT INTO told (what, id, name, data) VALUES ('cursor', NEW.applied, '', NEW.stream); END;
CREATE TEMP TRIGGER begun_in AFTER UPDATE OF state ON main.commands
WHEN NEW.state = 'begun' AND OLD.state <> 'new' BEGIN
    INSERT INTO told (what, id, name, data) VALUES ('again', NEW.number, '', NEW.id); END;
"""
_AT_CONTROL: Final = """
PRAGMA temp_store = MEMORY;
CREATE TEMP TABLE IF NOT EXISTS told
    (n INTEGER PRIMARY KEY, what TEXT, vault TEXT, id INTEGER, name TEXT, data BLOB);
"""
_NOTE: Final = "INSERT INTO temp.told (what, vault, id, name, data) VALUES (?, ?, ?, ?, ?)"


class Observer(Protocol):
    """Is told, in order, of what is durable."""

    def at_agent(self, agent: str, what: str, id_: int, name: str, data: bytes) -> None:
        """`put`, `changed`, `gone`: of its outbox; `acknowledged` by us; `cursor` in ours.

        `again`: it runs a command that it had begun already.
        """
        ...

    def at_control(self, agent: str, what: str, id_: int, name: str, data: bytes) -> None:
        """`cursor`: applied of the agent's; `effect`: the message; `acknowledged`: by the agent."""
        ...


@contextmanager
def observed(observer: Observer) -> Iterator[None]:
    """Both halves are observed for the length of the block."""
    with ExitStack() as stack:
        for owner, name, by in (
            (LinkDatabase, "_open", _opening),
            (LinkDatabase, "_transact", _transacting(observer)),
            (StoreWriter, "_connect", _connecting),
            (StoreWriter, "_attempt", _attempting(observer)),
            (links, "move_cursors", _moving),
            (links, "acknowledge_outgoing", _acknowledging),
            (AgentMessages, "effect_of", _effecting),
            (AgentMessages, "apply_statuses", _stating),
        ):
            stack.enter_context(replaced(owner, name, by(vars(owner)[name])))
        yield


@contextmanager
def replaced(owner: Any, name: str, by: Any) -> Iterator[None]:
    """`owner.name` is `by` for the length of the block."""
    before = vars(owner)[name]
    setattr(owner, name, by)
    try:
        yield
    finally:
        setattr(owner, name, before)


def decoded(name: str, data: bytes) -> Message:
    """A message as it lies in an outbox."""
    return codec.decode_payload(MessageType(name), data)


# --- the agent ------------------------------------------------------------------------------------


def _opening(before: Callable[..., None]) -> Callable[..., None]:
    def _open(self: Any) -> None:
        before(self)
        self._connection.executescript(_AT_AGENT)

    return _open


def _transacting(observer: Observer) -> Callable[..., Any]:
    def wrap(before: Callable[..., Any]) -> Callable[..., Any]:
        def _transact(self: Any, change: Any) -> Any:
            result = before(self, change)
            rows = self._connection.execute("SELECT what, id, name, data FROM told").fetchall()
            if rows:
                self._connection.execute("DELETE FROM told")
            for row in rows:
                observer.at_agent(self._path.parent.name, *row)
            return result

        return _transact

    return wrap


# --- the control plane ----------------------------------------------------------------------------


def _connecting(before: Callable[..., None]) -> Callable[..., None]:
    def _connect(self: Any) -> None:
        before(self)
        _driver(self).executescript(_AT_CONTROL)

    return _connect


def _attempting(observer: Observer) -> Callable[..., Any]:
    def wrap(before: Callable[..., Any]) -> Callable[..., Any]:
        def _attempt(self: Any, changes: Sequence[Any]) -> Any:
            results = before(self, changes)
            driver = _driver(self)
            rows = driver.execute("SELECT vault, what, id, name, data FROM told").fetchall()
            if rows:
                driver.execute("DELETE FROM told")
            for row in rows:
                observer.at_control(*row)
            return results

        return _attempt

    return wrap


def _driver(writer: Any) -> Any:
    return writer._connection.connection.driver_connection


def _note(tx: Any, *row: Any) -> None:
    """In the transaction, past SQLAlchemy: taken back with it."""
    tx.connection.driver_connection.execute(_NOTE, row)


def _moving(before: Callable[..., None]) -> Callable[..., None]:
    def move_cursors(tx: Any, *rows: Any) -> None:
        before(tx, *rows)
        for row in rows:
            _note(tx, "cursor", row.vault, row.applied, "", row.peer)

    return move_cursors


def _acknowledging(before: Callable[..., None]) -> Callable[..., None]:
    def acknowledge(tx: Any, received: Sequence[tuple[str, str, int]]) -> None:
        before(tx, received)
        for _, vault, through in received:
            _note(tx, "acknowledged", vault, through, "", b"")

    return acknowledge


def _effecting(before: Callable[..., Any]) -> Callable[..., Any]:
    def effect(self: Any, message: Message) -> Any:
        inner = before(self, message)
        if isinstance(inner, BundleStatusReport):
            return inner
        name, data = codec.message_type_of(message), codec.encode_payload(message)

        def noted(tx: Any, link: Any) -> Any:
            events = inner(tx, link)
            _note(tx, "effect", link.vault, 0, str(name), data)
            return events

        return noted

    return effect


def _stating(before: Callable[..., Any]) -> Callable[..., Any]:
    def statuses(self: Any, tx: Any, org: str, said: Mapping[str, BundleStatusReport]) -> Any:
        events = before(self, tx, org, said)
        for vault, told in said.items():
            name, data = codec.message_type_of(told.status), codec.encode_payload(told.status)
            _note(tx, "effect", vault, 0, str(name), data)
        return events

    return statuses
