"""Letters for tests, with everything in them that could do harm."""

from msgspec.structs import replace

from control.model.notices import Kind, Notice
from control.model.records import Severity
from control.notify.message import NotificationMessage
from protocols.instant import SECOND

AT = 1_790_000_000 * SECOND
EVIL = "<script>alert(1)</script> & <!channel> *bold*\r\nBcc: x@evil.example"
NOTICE = Notice(
    "n1", "acme", Kind.RAISED, "agent_offline", Severity.CRITICAL, "v1", "", "agent v1 is gone", AT,
    began_at=AT - 12 * SECOND,
)  # fmt: skip
ONE = NotificationMessage("d1", "acme", AT, (NOTICE,), url="https://control.example")
BAD = NotificationMessage("d2", "acme", AT, (replace(NOTICE, message=EVIL, repeated=3),), omitted=2)
MANY = NotificationMessage(
    "d3", "acme", AT, (replace(NOTICE, severity=Severity.WARNING), NOTICE) * 15
)
