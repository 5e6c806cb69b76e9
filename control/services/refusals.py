"""Who was not let in, on the trail, at a pace: strangers write there, and must not fill the disk.

A client (an IPv6 /64 is one) leaves ten records at once and ten more an hour, all together 120 an
hour. What is beyond is only counted, and how many those were is on the platform's trail once an
hour. It limits records and nobody's way in. At 500 bytes a record that is 1.5 MB a day at most.

Whether there is a record follows from the client alone, never from what it named: an account that
exists must not take another time to refuse than one that does not.
"""

from collections import Counter
from typing import Final

from actors import World
from control.errors import AuthenticationError, AuthorizationError, ConflictError, ControlError
from control.model.operation import Operation, Origin
from control.model.people import Caller, Role
from control.notify.token_bucket import TokenBucket
from control.services.audit_log import AuditLog
from protocols.client_network import client_network

EACH_PER_HOUR: Final = 10
ALL_PER_HOUR: Final = 120
MAX_CLIENTS: Final = 1_024
"""That are told apart; the one that came first is forgotten first."""
SUMMARY_INTERVAL: Final = 3600.0  # seconds
OTHERS: Final = "others"
MAX_CALLERS: Final = 16_384
"""Callers' operations that are told apart."""


class RefusalLog:
    """Of one process and one door. `name`: the operation under which the rest is told."""

    def __init__(self, audit_log: AuditLog, world: World, operation: str) -> None:
        self._audit_log = audit_log
        self._name = operation
        self._world = world
        self._each: dict[str, TokenBucket] = {}
        self._all = TokenBucket(world.monotonic())
        self._suppressed: Counter[str] = Counter()

    def should_record(self, error: ControlError, source: str) -> bool:
        """Whether this refusal gets a record of its own; else it is counted, if it is one at all.

        What is malformed, or not to be had now, refuses nobody.
        """
        if not isinstance(error, AuthenticationError | AuthorizationError | ConflictError):
            return False
        return self.try_reserve(source)

    def try_reserve(self, source: str) -> bool:
        """Whether one more of this client gets a record, whatever it is; else it is counted."""
        client, now = client_network(source), self._world.monotonic()
        each = self._each.setdefault(client, TokenBucket(now))
        if len(self._each) > MAX_CLIENTS:
            del self._each[next(iter(self._each))]
        if each.try_take(EACH_PER_HOUR, now) and self._all.try_take(ALL_PER_HOUR, now):
            return True
        self._suppressed[client if len(self._suppressed) < MAX_CLIENTS else OTHERS] += 1
        return False

    async def record_refusal(self, op: Operation, error: ControlError) -> None:
        """Put it on the trail of `op.org`, or of the platform where no organization is known."""
        await self._audit_log.record(op, None, "outcome", "denied", error.code)

    async def record_suppressed(self) -> None:
        """Put on the trail how many were only counted, if any. Raises `UnavailableError`."""
        beyond, self._suppressed = self._suppressed, Counter()
        if not beyond:
            return
        [(most, count)] = beyond.most_common(1)
        op = Operation(
            name=self._name,
            request_id=self._world.new_id(),
            credential=None,
            origin=Origin(ip=most),
            detail={"count": beyond.total(), "clients": len(beyond), "most": count},
        )
        try:
            await self._audit_log.record(op, None, "outcome", "denied", "too_many_refusals")
        except ControlError:
            self._suppressed.update(beyond)
            raise


class CallerRefusalLog:
    """Refusals of callers who are signed in: recorded at a pace, the rest counted.

    Each operation of each caller has a pace of its own, so none hides another. What a caller was
    allowed to change is always on record one by one. Of one process.
    """

    def __init__(self, audit_log: AuditLog, world: World) -> None:
        self._audit_log = audit_log
        self._world = world
        self._each: dict[tuple[str, str, str], TokenBucket] = {}
        self._suppressed: dict[tuple[str, str, str], tuple[Caller, int]] = {}

    def try_reserve(self, op: Operation, caller: Caller) -> bool:
        """Whether one more gets a record on the trail of `op.org`; else it is counted."""
        now, key = self._world.monotonic(), (op.org, op.name, caller.actor)
        each = self._each.setdefault(key, TokenBucket(now))
        if len(self._each) > MAX_CALLERS:
            del self._each[next(iter(self._each))]
        if each.try_take(EACH_PER_HOUR, now):
            return True
        if key not in self._suppressed and len(self._suppressed) >= MAX_CALLERS:
            key, caller = ("", op.name, OTHERS), Caller("", OTHERS, Role.VIEWER, "")
        _, count = self._suppressed.get(key, (caller, 0))
        self._suppressed[key] = caller, count + 1
        return False

    async def record_suppressed(self) -> None:
        """Put on each trail how many were only counted, if any. Raises `UnavailableError`."""
        for key in list(self._suppressed):  # more may come while one is told
            caller, count = self._suppressed.pop(key)
            op = Operation(
                name=key[1],
                request_id=self._world.new_id(),
                credential=None,
                origin=Origin(),
                org=key[0],
                detail={"count": count},
            )
            try:
                await self._audit_log.record(op, caller, "outcome", "denied", "too_many_refusals")
            except ControlError:
                _, more = self._suppressed.get(key, (caller, 0))
                self._suppressed[key] = caller, count + more
                raise
