"""What protocols.live.feed promises."""

import json
from typing import Any

import pytest

from protocols.live.collection import LiveCollection
from protocols.live.feed import LiveFeed
from protocols.live.limits import SNAPSHOT_ROWS, LiveLimits
from protocols.live.requests import WatchRequestError


class Told:
    """A feed and how often it was stirred."""

    def __init__(self, **bounds: int) -> None:
        self.stirred = 0
        self.feed = LiveFeed(LiveLimits(**bounds), self._stir)

    def _stir(self) -> None:
        self.stirred += 1

    def all(self) -> list[Any]:
        """Everything that there is to say."""
        said = []
        while (message := self.feed.next_message()) is not None:
            said.append(json.loads(message))
        return said


def filled(count: int = 1) -> LiveCollection:
    """A collection of so many rows."""
    collection = LiveCollection()
    collection.replace_rows({f"v{n}": {"x": 0} for n in range(count)})
    return collection


def changed(collection: LiveCollection, value: int) -> str:
    """What a change of the first row looks like."""
    collection.merge_columns("v0", {"x": value})
    body = collection.take_changes()
    assert body is not None
    return body


def test_a_snapshot_comes_first_then_changes() -> None:
    """Numbered from 1 on, each watch for itself."""
    told, collection = Told(), filled()
    told.feed.add_watch(7, collection)
    assert told.all() == [{"id": 7, "seq": 1, "snapshot": {"v0": {"x": 0}}}]
    told.feed.enqueue_changes(7, changed(collection, 1))
    told.feed.add_watch(8, collection)
    assert told.all() == [
        {"id": 8, "seq": 1, "snapshot": {"v0": {"x": 1}}},
        {"id": 7, "seq": 2, "rows": {"v0": {"x": 1}}},
    ]


def test_pieces_of_a_snapshot_say_that_more_comes() -> None:
    """All but the last; changes wait behind them."""
    told, collection = Told(), filled(SNAPSHOT_ROWS + 1)
    told.feed.add_watch(1, collection)
    first = json.loads(told.feed.next_message() or "")
    told.feed.enqueue_changes(1, changed(collection, 1))
    assert (first["seq"], first["more"], len(first["snapshot"])) == (1, True, SNAPSHOT_ROWS)
    second, change = told.all()
    assert (second["seq"], "more" in second, len(second["snapshot"])) == (2, False, 1)
    assert change == {"id": 1, "seq": 3, "rows": {"v0": {"x": 1}}}


def test_nothing_is_said_of_what_is_not_known_yet() -> None:
    """The snapshot comes once the collection was filled."""
    told, collection = Told(), LiveCollection()
    told.feed.add_watch(1, collection)
    assert told.all() == []
    collection.replace_rows({})
    told.feed.notify_ready()
    assert told.all() == [{"id": 1, "seq": 1, "snapshot": {}}]


@pytest.mark.parametrize("bounds", [{"queued": 3}, {"queued_bytes": 50}])
def test_a_browser_that_falls_behind_gets_a_snapshot(bounds: dict[str, int]) -> None:
    """In place of everything that waited; the count goes on."""
    told, collection = Told(**bounds), filled()
    told.feed.add_watch(1, collection)
    told.all()
    for value in range(1, 5):
        told.feed.enqueue_changes(1, changed(collection, value))
    assert told.all() == [{"id": 1, "seq": 2, "snapshot": {"v0": {"x": 4}}}]
    assert told.feed.resyncs == 1
    told.feed.enqueue_changes(1, changed(collection, 9))
    assert told.all() == [{"id": 1, "seq": 3, "rows": {"v0": {"x": 9}}}]


def test_what_waits_is_bounded_whatever_comes() -> None:
    """A browser that takes nothing costs no more than the bound."""
    told, collection = Told(queued=10), filled()
    told.feed.add_watch(1, collection)
    told.feed.next_message()
    for value in range(1, 1000):
        told.feed.enqueue_changes(1, changed(collection, value))
        assert len(told.feed._queue) <= 10
        assert told.feed._queued_bytes == sum(len(w.body) for w in told.feed._queue)


def test_falling_behind_leaves_watches_alone_of_which_nothing_was_lost() -> None:
    """Theirs is not sent a second time."""
    told, busy, calm = Told(queued=2), filled(), filled()
    told.feed.add_watch(1, busy)
    told.feed.add_watch(2, calm)
    told.all()
    for value in range(1, 4):
        told.feed.enqueue_changes(1, changed(busy, value))
    assert [message["id"] for message in told.all()] == [1]


def test_an_ended_watch_is_silent() -> None:
    """Also of what waited already; an unknown one can be ended, too."""
    told, collection = Told(), filled()
    told.feed.add_watch(1, collection)
    told.all()
    body = changed(collection, 1)
    told.feed.enqueue_changes(1, body)
    told.feed.remove_watch(1)
    told.feed.remove_watch(5)
    told.feed.enqueue_changes(1, body)
    assert told.all() == []
    assert len(told.feed) == 0


def test_a_watch_can_be_begun_anew() -> None:
    """So a browser asks for what it lacks: counted from 1 again, nothing old behind it."""
    told, collection = Told(), filled()
    told.feed.add_watch(1, collection)
    told.all()
    told.feed.enqueue_changes(1, changed(collection, 1))
    told.feed.add_watch(1, collection)
    assert told.all() == [{"id": 1, "seq": 1, "snapshot": {"v0": {"x": 1}}}]


def test_watches_are_bounded() -> None:
    """One that is begun anew is not one more."""
    told = Told(watches=2)
    told.feed.add_watch(1, filled())
    told.feed.add_watch(2, filled())
    told.feed.add_watch(2, filled())
    with pytest.raises(WatchRequestError):
        told.feed.add_watch(3, filled())


def test_a_refusal_is_told_and_whoever_writes_is_stirred() -> None:
    """By number, code and text."""
    told = Told()
    told.feed.refuse_watch(4, "not_found", "there is no such agent")
    assert told.stirred == 1
    error = {"code": "not_found", "message": "there is no such agent"}
    assert told.all() == [{"id": 4, "error": error}]
