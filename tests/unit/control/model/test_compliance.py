"""A control has one name in a report."""

from control.model.compliance import Judged, Result


def test_the_name_has_the_framework_in_it() -> None:
    """Two frameworks may have controls of one id."""
    control = Judged(
        framework="soc2", id="CC6.1", title="", statement="", result=Result.MET, evidence=(),
        by_hand="",
    )  # fmt: skip
    assert control.key == "soc2/CC6.1"
