"""What agents claim, as far as it is believed."""

from control.model.claims import LATEST, MOST, counted, passed
from protocols.instant import MAX, SECOND, rfc3339
from protocols.link.limits import MAX_INT


def test_claims_can_be_added_up_and_shown() -> None:
    """A million of the largest counts fit into a BIGINT; the last time is one that there is."""
    assert (counted(5), counted(MAX_INT)) == (5, MOST)
    assert MOST * 1_000_000 < MAX
    assert (passed(3, 5), passed(MAX_INT, 5)) == (3, 5)
    assert rfc3339(LATEST * SECOND).startswith("2262-")
