"""What ends with a session, or with the authority of its account.

Who waits for a session's end is told at once by this process. What another process ended is found
by asking the store (`Sessions.wait_ended`).
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import trio

from control.store.rows import Tx

PublishChanges: TypeAlias = Callable[[], None]
WithdrawAuthority: TypeAlias = Callable[[Tx, str], PublishChanges]
"""Of an account, `organization/name`: see `control.services.delegated_authority`."""


class SessionEnds:
    """Waiting parties by the credential's id."""

    def __init__(self, withdraw: WithdrawAuthority) -> None:
        """`withdraw`: stops what acts by authority that an account has lost."""
        self._withdraw = withdraw
        self._waiting: dict[str, set[trio.Event]] = {}

    def withdraw_authority(self, tx: Tx, home: str, name: str) -> PublishChanges:
        """Stop what the account may not do any more, after it was changed in this transaction.

        Returns what is to be called once that is durable.
        """
        return self._withdraw(tx, f"{home}/{name}")

    def publish_ended(self, tokens: Iterable[str]) -> None:
        """These have ended; only after that is durable."""
        for token in tokens:
            for event in self._waiting.get(token, ()):
                event.set()

    @contextmanager
    def subscribe(self, token: str) -> Iterator[trio.Event]:
        """An event that is set when this one ends, for the length of the block."""
        event = trio.Event()
        waiting = self._waiting.setdefault(token, set())
        waiting.add(event)
        try:
            yield event
        finally:
            waiting.discard(event)
            if not waiting:
                self._waiting.pop(token, None)
