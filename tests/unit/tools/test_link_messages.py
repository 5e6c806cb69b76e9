"""The messages that the link's vectors are made of."""

from protocols.link.messages import KINDS, Direction
from tools.link_messages import MESSAGES, SECOND


def test_there_is_one_of_each_the_way_it_goes() -> None:
    """With an id if it is durable; those of version 2 are named."""
    assert set(MESSAGES) == {str(name) for name in KINDS}
    for name, (way, id_, _) in MESSAGES.items():
        kind = next(kind for kind in KINDS.values() if kind.name == name)
        assert Direction(way) in kind.directions
        assert (id_ > 0) == (kind.delivery.name != "EPHEMERAL")
    assert set(SECOND) == {str(kind.name) for kind in KINDS.values() if kind.since > 1}
