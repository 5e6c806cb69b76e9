"""What control.live.projection promises."""

from control.live.projection import RELOAD_INTERVAL, Projection, to_seconds
from control.services.event_bus import Event, Topic
from protocols.link import messages as m


class Plain(Projection):
    """One that cares for alerts."""

    TOPICS = frozenset({Topic.ALERT})
    loads = 0

    async def load(self) -> None:
        """See `Projection`."""
        self.loads += 1


async def test_without_more_words_a_projection_reads_all_for_its_topics() -> None:
    """And cares for nothing else."""
    plain = Plain(None, "acme", "")  # type: ignore[arg-type]  # it asks nobody
    assert plain.on_event(Event(Topic.ALERT, "acme", "", "id"))
    assert not plain.on_event(Event(Topic.LIFE, "acme", "v1", "active"))
    assert not plain.on_message("v1", m.Ack())
    assert not plain.on_link_change("v1")
    assert not plain.on_point()
    assert plain.reload_interval == RELOAD_INTERVAL
    await plain.refresh()
    assert plain.loads == 1


def test_instants_become_seconds() -> None:
    """Cut, not rounded: nothing is shown before it was."""
    assert to_seconds(1_999_999_999) == 1
