"""Notifications of ended sessions, and the hooks that withdraw an account's authority.

A task that waits for the end of a session is woken at once if this process ended it. What another
process ended is found by reading the store (`Sessions.wait_ended`).
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
    """The tasks that wait, by the id of the credential."""

    def __init__(self, withdraw: WithdrawAuthority, withdraw_pending: WithdrawAuthority) -> None:
        """`withdraw`: stops what acts by authority that an account has lost.

        `withdraw_pending`: withdraws what an account has issued and nobody has used.
        """
        self._withdraw = withdraw
        self._withdraw_pending = withdraw_pending
        self._waiting: dict[str, set[trio.Event]] = {}

    def withdraw_authority(self, tx: Tx, home: str, name: str) -> PublishChanges:
        """Stop what the account may not do any more, after it was changed in this transaction.

        Returns what is to be called once that is durable.
        """
        return self._withdraw(tx, f"{home}/{name}")

    def withdraw_pending(self, tx: Tx, home: str, name: str) -> PublishChanges:
        """Withdraw what the account has issued, after its credentials were reset by somebody else.

        Returns what is to be called once that is durable.
        """
        return self._withdraw_pending(tx, f"{home}/{name}")

    def publish_ended(self, tokens: Iterable[str]) -> None:
        """Wake those that wait for these; only after the end is durable."""
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
