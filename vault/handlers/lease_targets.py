"""Calls to the servers of leased users, in threads, so that one that hangs holds up no other."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
import trio

from actors.world import World
from protocols import json_text
from vault.errors import ValidationError
from vault.handlers.secrets import is_live
from vault.handlers.stores import LeaseStore
from vault.model.records import DynamicLeaseRow
from vault.rotation.leased_user import LeasedUserKind, LeasedUsers
from vault.rotation.rotator import RotationError, TargetAccess, Value

PER_CONNECTION: Final = 4
"""Threads of one connection that create or renew, and as many that drop. One that hangs keeps its
thread until its time is over."""
MAX_THREADS: Final = 256
"""Threads of all connections that create or renew, and as many that drop."""
MAX_WAITING: Final = 64  # calls that wait for such a thread; the next one fails at once
CALL_SECONDS: Final = 10.0  # of one call, and of the wait for a thread before it
_TAG_DIGITS: Final = 7  # of base 32

T = TypeVar("T")


def vault_prefix(vault: bytes) -> str:
    """What the names of all leased users of a vault begin with, from a digest of its identity.

    Other vaults may use the same server: 35 bits tell their users from ours.
    """
    return f"fh{base64.b32encode(vault).decode().lower()[:_TAG_DIGITS]}_"


@dataclass(frozen=True)
class LeaseTargets:
    """The servers, by connection. Every method raises `RotationError` for what fails there."""

    store: LeaseStore
    kinds: Mapping[str, LeasedUserKind[Any]]
    prefix: str
    world: World
    _limiters: dict[tuple[str, bool], trio.CapacityLimiter] = field(default_factory=dict)

    def kind(self, name: str) -> LeasedUserKind[Any]:
        """The kind of this name. Raises `ValidationError` (`kind_unknown`)."""
        try:
            return self.kinds[name]
        except KeyError:
            raise ValidationError(
                "kind_unknown", f"there are the kinds {', '.join(sorted(self.kinds))}", field="kind"
            ) from None

    async def create(self, row: DynamicLeaseRow, secret: str, call: Callable[..., T]) -> T:
        """A call that creates or renews the user of a lease."""
        return await self.run(row.connection, secret, partial(call, self._users(row)))

    async def drop(self, row: DynamicLeaseRow, secret: str, seconds: float) -> None:
        """Drop the user of a lease."""
        users = self._users(row)
        await self.run(
            row.connection,
            secret,
            lambda access: users.drop_user(access, row.username),
            seconds=seconds,
            drops=True,
        )

    def _users(self, row: DynamicLeaseRow) -> LeasedUsers:
        kind = self.kind(row.kind)
        return kind.make(kind.parse(row.config))

    async def run(
        self,
        connection: str,
        secret: str,
        call: Callable[[TargetAccess], T],
        *,
        seconds: float = CALL_SECONDS,
        value: Value | None = None,
        drops: bool = False,
    ) -> T:
        """A call at a connection's server, with its `secret`, or with a `value` in its place.

        Nobody waits for it behind a cancellation. Waiting for a thread and the call itself are
        bounded, by `CALL_SECONDS` and `seconds`.
        """
        given = await self.read(secret) if value is None else value
        access = TargetAccess(given, seconds)
        limiter = self._limiters.setdefault(
            (connection, drops), trio.CapacityLimiter(PER_CONNECTION)
        )
        if limiter.statistics().tasks_waiting >= MAX_WAITING:
            raise RotationError("target_busy", "too many calls wait for this server: try again")
        if limiter.available_tokens and self._busy(drops) >= MAX_THREADS:
            raise RotationError("target_busy", "too many servers are waited for: try again")
        with trio.move_on_after(CALL_SECONDS + seconds):
            return await self.world.run_sync(
                partial(_call, call, access), limiter=limiter, abandon_on_cancel=True
            )
        raise RotationError("target_busy", "the server does not answer in time: try again")

    def _busy(self, drops: bool) -> int:
        """How many threads are at work, those included that nobody waits for any more."""
        return sum(
            int(limiter.borrowed_tokens)
            for (_, is_dropping), limiter in self._limiters.items()
            if is_dropping == drops
        )

    async def read(self, path: str) -> Value:
        """The fields of a connection secret that are text."""
        secret = await self.store.get_secret(path)
        version = (
            None
            if secret is None
            else await self.store.get_version(secret.id, secret.current_version)
        )
        if version is None or not is_live(version, self.world.now()):
            raise RotationError(
                "connection_missing", f"the secret {path} that it connects with has no value"
            )
        return text_fields(self.store.open_value(version))


def _call(call: Callable[[TargetAccess], T], access: TargetAccess) -> T:
    try:
        return call(access)
    except RotationError:
        raise
    except Exception as error:  # noqa: BLE001  # its text may hold a value
        raise RotationError(
            "target_failed", f"the call to the server has failed with {type(error).__name__}"
        ) from None


def text_fields(value: bytes) -> Value:
    """The fields of a value that are text; of one that is no object: none."""
    try:
        fields = json_text.decode(value, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}
    return {name: text for name, text in fields.items() if isinstance(text, str)}
