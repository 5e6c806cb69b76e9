"""An event of the audit log, as a search finds it."""

from msgspec import Struct


class AuditRow(Struct, frozen=True, gc=False):
    """Record `seq` of a node's log, without what is hashed in it; `time` is in Unix nanoseconds.

    Texts are cut to 512 bytes of UTF-8; the log has them whole.
    """

    seq: int
    time: int
    node: str
    request_id: str
    phase: str
    operation: str
    path: str
    capability: str
    actor_id: str
    actor_name: str
    method: str
    credential: str
    ip: str
    user_agent: str
    dialect: str
    result: str
    code: str = ""
    rule: str = ""
