"""Why a message did not arrive."""

from control.notify.errors import FailedError, RefusedError


def test_reasons() -> None:
    """Words of our own; the other side may ask for time, where it makes sense to try again."""
    assert RefusedError("no").reason == str(RefusedError("no")) == "no"
    assert (FailedError("later", 5.0).after, FailedError("later").after) == (5.0, 0.0)
