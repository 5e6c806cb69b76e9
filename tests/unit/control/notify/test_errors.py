"""Why a message did not arrive."""

from control.notify.errors import PermanentDeliveryError, TransientDeliveryError


def test_reasons() -> None:
    """Words of our own; the other side may ask for time, where it makes sense to try again."""
    assert PermanentDeliveryError("no").reason == str(PermanentDeliveryError("no")) == "no"
    assert (
        TransientDeliveryError("later", 5.0).retry_after,
        TransientDeliveryError("later").retry_after,
    ) == (5.0, 0.0)
