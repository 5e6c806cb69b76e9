"""What a newer message of the outbox makes of an older one that waits: pure.

A checkpoint covers all before it (its proof starts from the last cosigned size), so only the newest
need wait; a report of use covers all of its hour so far. Other evidence is kept message by message
until the outbox is over its bound; then two alerts about the same thing become one that says how
often, and the status of a bundle its newest one. So evidence is never dropped, and weeks offline
stay within the number of things to tell of.
"""

from msgspec.structs import replace

from protocols.link import messages as m


def merge_key(message: m.Message) -> str:
    """What the message is about; two of one topic may be merged. Empty: it stands alone."""
    match message:
        case m.AuditCheckpoint():
            return "checkpoint"
        case m.Alert(code=code, severity=severity, subject=subject):
            return f"alert {code} {severity} {subject.hex()}"
        case m.Usage(since=since):
            return f"usage {since}"
        case m.PolicyStatus(version=version):
            return f"policy {version}"
        case _:
            return ""


def replaces_at_once(message: m.Message) -> bool:
    """Whether an older one of its topic may go as soon as this one waits."""
    return isinstance(message, m.AuditCheckpoint | m.Usage)


def merge_messages(older: m.Message, newer: m.Message) -> m.Message:
    """What both of one topic say, in place of the newer."""
    if isinstance(older, m.Alert) and isinstance(newer, m.Alert):
        return replace(newer, count=older.count + newer.count)
    return newer
