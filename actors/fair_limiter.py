"""A limiter whose slots are shared fairly among callers, and whose queue is bounded.

Callers have a two-part key: a group (such as an organization) and a member of it (such as a
session). A free slot goes to the waiting group that holds the fewest slots, and among equals to
the one that had a slot longest ago; within the group to a member by the same rule; within the
member to the request that came first. So the time that one caller waits does not depend on how
much another one asks for.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import trio

from actors.errors import LimiterFull


class Share(NamedTuple):
    """What one key may have: slots at the same time, and requests that wait for one."""

    slots: int
    waiting: int


class _Member:
    __slots__ = ("held", "queue")

    def __init__(self) -> None:
        self.held = 0
        self.queue: dict[_Request, None] = {}


class _Group:
    __slots__ = ("bounded", "held", "members", "waiting")

    def __init__(self, *, bounded: bool) -> None:
        self.bounded = bounded
        self.held = 0
        self.waiting = 0
        self.members: dict[str, _Member] = {}


class _Request:
    __slots__ = ("granted", "group", "member", "settled")

    def __init__(self, group: str, member: str) -> None:
        self.group = group
        self.member = member
        self.granted = False
        self.settled = trio.Event()


class FairLimiter:
    """At most `slots` at the same time, shared by round robin; at most `waiting` wait."""

    def __init__(self, slots: int, *, group: Share, member: Share, waiting: int) -> None:
        self._free = slots
        self._group = group
        self._member = member
        self._most = waiting
        self._groups: dict[str, _Group] = {}  # the one that had a slot last is at the end
        self.waiting = 0
        """Requests of bounded groups that wait."""
        self.refused = 0
        """Requests that were turned away because too many waited."""

    @property
    def groups(self) -> frozenset[str]:
        """Those that hold a slot or wait for one."""
        return frozenset(self._groups)

    @asynccontextmanager
    async def slot(
        self, group: str, member: str = "", *, bounded: bool = True
    ) -> AsyncIterator[None]:
        """Hold one slot. A cancelled wait leaves the queue.

        Raises `LimiterFull` when too many wait already, unless the group is not `bounded`: for
        callers whose number has a bound elsewhere.
        """
        request = _Request(group, member)
        await self._acquire(request, bounded=bounded)
        try:
            yield
        finally:
            self._release(request)

    async def _acquire(self, request: _Request, *, bounded: bool) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        group = self._groups.setdefault(request.group, _Group(bounded=bounded))
        member = group.members.setdefault(request.member, _Member())
        if self._free and self._may(group, member):
            self._grant(request)
            return
        if bounded:
            self._need_room(request, group, member)
        member.queue[request] = None
        group.waiting += 1
        self.waiting += group.bounded
        try:
            await request.settled.wait()
        except BaseException:
            if request.granted:
                self._release(request)
            else:
                self._withdraw(request)
            raise
        if not request.granted:
            raise LimiterFull("too many requests wait", own=False)

    def _may(self, group: _Group, member: _Member) -> bool:
        return group.held < self._group.slots and member.held < self._member.slots

    def _need_room(self, request: _Request, group: _Group, member: _Member) -> None:
        own = group.waiting >= self._group.waiting or len(member.queue) >= self._member.waiting
        if not own and (self.waiting < self._most or self._evict(group)):
            return
        self.refused += 1
        self._tidy(request)
        raise LimiterFull("too many requests wait", own=own)

    def _evict(self, group: _Group) -> bool:
        """Turn away the newest request of the group with the most, unless that is this one."""
        bounded = (each for each in self._groups.values() if each.bounded)
        largest = max(bounded, key=lambda each: each.waiting)
        if largest.waiting <= group.waiting + 1:
            return False
        fullest = max(largest.members.values(), key=lambda each: len(each.queue))
        newest = next(reversed(fullest.queue))
        self._withdraw(newest)
        self.refused += 1
        newest.settled.set()
        return True

    def _withdraw(self, request: _Request) -> None:
        group = self._groups.get(request.group)
        member = None if group is None else group.members.get(request.member)
        if group is None or member is None or request not in member.queue:
            return
        del member.queue[request]
        group.waiting -= 1
        self.waiting -= group.bounded
        self._tidy(request)

    def _grant(self, request: _Request) -> None:
        self._hold(request, 1)
        request.granted = True

    def _release(self, request: _Request) -> None:
        self._hold(request, -1)
        self._tidy(request)
        while self._free and (following := self._next()) is not None:
            group = self._groups[following.group]
            del group.members[following.member].queue[following]
            group.waiting -= 1
            self.waiting -= group.bounded
            self._grant(following)
            following.settled.set()

    def _hold(self, request: _Request, slots: int) -> None:
        """Count a slot; its group and member are the last ones in turn from now on."""
        group = self._groups[request.group] = self._groups.pop(request.group)
        member = group.members[request.member] = group.members.pop(request.member)
        group.held += slots
        member.held += slots
        self._free -= slots

    def _next(self) -> _Request | None:
        """Whose turn it is. `min` takes the first of equals: the one served longest ago."""
        ready = [
            (group.held, member.held, member)
            for group in self._groups.values()
            if group.waiting and group.held < self._group.slots
            for member in group.members.values()
            if member.queue and member.held < self._member.slots
        ]
        if not ready:
            return None
        return next(iter(min(ready, key=lambda each: each[:2])[2].queue))

    def _tidy(self, request: _Request) -> None:
        """Forget a key of which nobody has or wants a slot."""
        group = self._groups.get(request.group)
        if group is None:
            return
        member = group.members.get(request.member)
        if member is not None and not (member.held or member.queue):
            del group.members[request.member]
        if not group.members:
            del self._groups[request.group]
