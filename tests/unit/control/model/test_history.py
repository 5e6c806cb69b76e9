"""How things stood when."""

from control.model.agents import Presence
from control.model.history import REPORTING, SILENT, presence_value


def test_to_be_late_is_to_be_heard() -> None:
    """Never heard is silence; only five minutes of it make an agent silent again."""
    assert [presence_value(p) for p in (Presence.ONLINE, Presence.LATE)] == [REPORTING, REPORTING]
    assert [presence_value(p) for p in (Presence.OFFLINE, Presence.UNKNOWN)] == [SILENT, SILENT]
