"""From notices to the channels that tell them: one step, a function of a transaction.

A notice goes in the transaction that makes its entries, so that a process that dies has done all
of it or nothing, and two that do it at once have done it once.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Final, NamedTuple

from msgspec.structs import replace

from control.model.notices import MAIL, Channel, Entry, Kind, Notice, Told
from control.notify.schedule import due_at, is_known, is_news, is_urgent, wants
from control.store import agents, channels, notices
from control.store.rows import Tx

PIECE: Final = 200  # notices of one transaction
QUEUE: Final = 1000  # entries of one channel
RESERVE: Final = 1000  # of urgent ones beside them


class Fanned(NamedTuple):
    """What was done: notices looked at, entries made; told already; without a place."""

    notices: int
    entries: int
    known: int
    omitted: int


def fan_out(tx: Tx, now: int) -> Fanned:
    """The oldest notices become entries of channels. `now`: Unix nanoseconds."""
    found = notices.oldest(tx, PIECE)
    total = Fanned(len(found), 0, 0, 0)
    for org, group in groupby(sorted(found, key=lambda n: (n.org, n.at)), lambda n: n.org):
        total = _sum(total, _organization(tx, org, list(group), now))
    notices.drop(tx, found)
    return total


def _organization(tx: Tx, org: str, some: list[Notice], now: int) -> Fanned:
    invited = [_entry(MAIL, notice, now) for notice in some if notice.kind is Kind.INVITED]
    notices.put_entries(tx, invited)
    alerts = [notice for notice in some if notice.kind is not Kind.INVITED]
    total = Fanned(0, len(invited), 0, 0)
    waiting, tags = notices.waiting(tx, org), _tags(tx, org, alerts)
    for channel in channels.channels_of(tx, org):
        if not channel.is_active:
            continue
        wanted = [n for n in alerts if wants(channel.terms, n, tags.get(n.vault, frozenset()))]
        count, first = waiting.get(channel.id, (0, None))
        total = _sum(total, _Queue(channel, count, first, now).take(tx, wanted))
    return total


class _Queue:
    """Of one channel, while notices are put into it."""

    def __init__(self, channel: Channel, count: int, first: int | None, now: int) -> None:
        self._channel = channel
        self._count = count
        self._first = first
        self._now = now
        self._known = self._omitted = 0

    def take(self, tx: Tx, wanted: list[Notice]) -> Fanned:
        channel = self._channel
        keys = {notice.key for notice in wanted}
        told = notices.told_of(tx, channel.org, channel.id, keys)
        entries = list(self._entries(wanted, told))
        notices.put_entries(tx, entries)
        notices.put_told(tx, (told[key] for key in sorted(keys & told.keys())))
        if self._omitted:
            channels.omit(tx, channel.org, channel.id, self._omitted)
        return Fanned(0, len(entries), self._known, self._omitted)

    def _entries(self, wanted: Iterable[Notice], told: dict[str, Told]) -> Iterator[Entry]:
        terms, here = self._channel.terms, (self._channel.org, self._channel.id)
        for notice in wanted:
            last = told.get(notice.key)
            if not is_news(terms, last, notice):
                continue
            if last is not None and is_known(last, notice, terms.window):
                told[notice.key] = replace(last, count=last.count + 1)
                self._known += 1
                continue
            room = QUEUE + (RESERVE if is_urgent(terms, notice.urgency) else 0)
            if self._count >= room:
                self._omitted += 1
                continue
            repeated = 0 if last is None or last.kind is not notice.kind else last.count
            told[notice.key] = Told(*here, notice.key, notice.kind, notice.at, 0)
            due = due_at(terms, notice, self._now, self._first)
            self._first = due if self._first is None else min(self._first, due)
            self._count += 1
            yield _entry(self._channel.id, replace(notice, repeated=repeated), due)


def _entry(channel: str, notice: Notice, due: int) -> Entry:
    place = f"{notice.kind}/{notice.id}"
    return Entry(notice.org, channel, place, due, notice.at, notice)


def _tags(tx: Tx, org: str, some: list[Notice]) -> Mapping[str, frozenset[str]]:
    vaults = sorted({notice.vault for notice in some if notice.vault})
    return {row.vault: frozenset(row.tags) for row in agents.agents_among(tx, org, vaults)}


def _sum(one: Fanned, other: Fanned) -> Fanned:
    return Fanned(*(a + b for a, b in zip(one, other, strict=True)))
