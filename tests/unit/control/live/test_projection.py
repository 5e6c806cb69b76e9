"""What control.live.projection promises."""

from control.live.projection import LOOK_EVERY, Projection, seconds
from control.services.events import Event, Topic
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
    assert plain.note(Event(Topic.ALERT, "acme", "", "id"))
    assert not plain.note(Event(Topic.LIFE, "acme", "v1", "active"))
    assert not plain.heard("v1", m.Ack())
    assert not plain.linked("v1")
    assert not plain.ticked()
    assert plain.look_every == LOOK_EVERY
    await plain.refresh()
    assert plain.loads == 1


def test_instants_become_seconds() -> None:
    """Cut, not rounded: nothing is shown before it was."""
    assert seconds(1_999_999_999) == 1
