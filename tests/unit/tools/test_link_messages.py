"""The messages that the link's vectors are made of."""

from protocols.link.messages import MESSAGE_SPECS, Direction
from tools.link_messages import MESSAGES, SINCE_VERSION


def test_there_is_one_of_each_the_way_it_goes() -> None:
    """With an id if it is durable; the version of those that came later is named."""
    assert set(MESSAGES) == {str(name) for name in MESSAGE_SPECS}
    for name, (way, id_, _) in MESSAGES.items():
        kind = next(kind for kind in MESSAGE_SPECS.values() if kind.name == name)
        assert Direction(way) in kind.directions
        assert (id_ > 0) == (kind.delivery.name != "EPHEMERAL")
    later = {str(kind.name): kind.since for kind in MESSAGE_SPECS.values() if kind.since > 1}
    assert later == SINCE_VERSION
