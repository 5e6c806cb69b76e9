"""Audit records of refused requests, at a bounded rate: anonymous clients must not fill the disk.

A client (an IPv6 /64 is one) gets ten records at once and ten more an hour, all together 120 an
hour. The rest is counted, and the count is recorded in the platform's audit log once an hour. Only
records are limited, not requests. At 500 bytes a record that is 1.5 MB a day at most.

Whether there is a record depends on the client alone, not on the account that it named: a refusal
must not take another time for an account that exists.
"""

from collections import Counter
from typing import Final

from actors import World
from control.errors import AuthenticationError, AuthorizationError, ConflictError, ControlError
from control.model.operation import Operation, Origin
from control.model.people import Caller, Role
from control.services.audit_log import AuditLog
from control.services.hourly_limits import hourly_bucket
from protocols.client_network import client_network
from protocols.token_bucket import TokenBucket

EACH_PER_HOUR: Final = 10
ALL_PER_HOUR: Final = 120
MAX_CLIENTS: Final = 1_024
"""That are told apart; the one that came first is forgotten first."""
SUMMARY_INTERVAL: Final = 3600.0  # seconds
OTHERS: Final = "others"
MAX_CALLERS: Final = 16_384
"""Callers' operations that are told apart."""


class RefusalLog:
    """The limiter for one operation of one process. `operation`: the name of the count's record."""

    def __init__(self, audit_log: AuditLog, world: World, operation: str) -> None:
        self._audit_log = audit_log
        self._name = operation
        self._world = world
        self._each: dict[str, TokenBucket] = {}
        self._all = hourly_bucket(ALL_PER_HOUR, world.monotonic())
        self._suppressed: Counter[str] = Counter()

    def should_record(self, error: ControlError, source: str) -> bool:
        """Whether this refusal gets a record of its own; else it is counted.

        Errors of malformed or untimely requests are no refusals, and are not counted.
        """
        if not isinstance(error, AuthenticationError | AuthorizationError | ConflictError):
            return False
        return self.try_reserve(source)

    def try_reserve(self, source: str) -> bool:
        """Whether one more refusal of this client gets a record; else it is counted."""
        client, now = client_network(source), self._world.monotonic()
        each = self._each.setdefault(client, hourly_bucket(EACH_PER_HOUR, now))
        if len(self._each) > MAX_CLIENTS:
            del self._each[next(iter(self._each))]
        if each.try_consume(now) and self._all.try_consume(now):
            return True
        self._suppressed[client if len(self._suppressed) < MAX_CLIENTS else OTHERS] += 1
        return False

    async def record_refusal(self, op: Operation, error: ControlError) -> None:
        """Record it in the audit log of `op.org`, or of the platform where that is unknown."""
        await self._audit_log.record(op, None, "outcome", "denied", error.code)

    async def record_suppressed(self) -> None:
        """Record how many refusals were only counted, if any. Raises `UnavailableError`."""
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
    """Refusals of signed-in callers: recorded at a bounded rate, the rest counted.

    Each operation of each caller has a rate of its own, so that none hides another. Changes that
    were allowed are always recorded one by one. Of one process.
    """

    def __init__(self, audit_log: AuditLog, world: World) -> None:
        self._audit_log = audit_log
        self._world = world
        self._each: dict[tuple[str, str, str], TokenBucket] = {}
        self._suppressed: dict[tuple[str, str, str], tuple[Caller, int]] = {}

    def try_reserve(self, op: Operation, caller: Caller) -> bool:
        """Whether one more gets a record in the audit log of `op.org`; else it is counted."""
        now, key = self._world.monotonic(), (op.org, op.name, caller.actor)
        each = self._each.setdefault(key, hourly_bucket(EACH_PER_HOUR, now))
        if len(self._each) > MAX_CALLERS:
            del self._each[next(iter(self._each))]
        if each.try_consume(now):
            return True
        if key not in self._suppressed and len(self._suppressed) >= MAX_CALLERS:
            key, caller = ("", op.name, OTHERS), Caller("", OTHERS, Role.VIEWER, "")
        _, count = self._suppressed.get(key, (caller, 0))
        self._suppressed[key] = caller, count + 1
        return False

    async def record_suppressed(self) -> None:
        """Record in each audit log how many were only counted. Raises `UnavailableError`."""
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


class AnonymousRefusalLog:
    """Refusals of anonymous requests to the API. Of one process.

    Each operation has a rate of its own: a flood of one hides no wrong passwords. About a dozen
    operations are public, and a cookie without its session key has one rate for all, so that the
    audit log grows by 20 MB a day at most.
    """

    def __init__(self, audit_log: AuditLog, world: World) -> None:
        self._audit_log = audit_log
        self._world = world
        self._logs: dict[str, RefusalLog] = {}

    def try_reserve(self, operation: str, source: str) -> bool:
        """Whether one more refusal of this client gets a record; else it is counted.

        `operation`: a declared one, never the client's text.
        """
        if operation not in self._logs:
            self._logs[operation] = RefusalLog(self._audit_log, self._world, operation)
        return self._logs[operation].try_reserve(source)

    async def record_suppressed(self) -> None:
        """Record how many were only counted, if any. Raises `UnavailableError`."""
        for each in list(self._logs.values()):  # one may come while another is told
            await each.record_suppressed()
