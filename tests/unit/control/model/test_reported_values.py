"""What agents claim, as far as it is believed."""

from control.model.reported_values import MAX_COUNT, MAX_SECONDS, clamp_count, clamp_to_now
from protocols.instant import MAX_NS, SECOND, rfc3339
from protocols.link.limits import MAX_INT


def test_claims_can_be_added_up_and_shown() -> None:
    """A million of the largest counts fit into a BIGINT; the last time is one that there is."""
    assert (clamp_count(5), clamp_count(MAX_INT)) == (5, MAX_COUNT)
    assert MAX_COUNT * 1_000_000 < MAX_NS
    assert (clamp_to_now(3, 5), clamp_to_now(MAX_INT, 5)) == (3, 5)
    assert rfc3339(MAX_SECONDS * SECOND).startswith("2262-")
