"""How each topic reads as rows."""

from actors.tree import MailboxStats, Node
from vault.audit.query import AuditPage, AuditQuery
from vault.audit.verification import VerificationState
from vault.handlers.live import MAX_EVENTS, actor_reader, event_reader, state_reader
from vault.model.audit_row import AuditRow
from vault.model.link import LinkStatus


async def test_a_state_is_one_row_with_times_in_seconds() -> None:
    """Whatever the struct: instants are told as the dashboard's feed tells them."""
    rows = await state_reader(lambda: VerificationState(state="running", began=5 * 10**8))()
    assert (rows["now"]["state"], rows["now"]["began"]) == ("running", 0.5)
    link = await state_reader(lambda: LinkStatus(enabled=True, since=10**9, round_trip=0.25))()
    assert (link["now"]["since"], link["now"]["round_trip"]) == (1.0, 0.25)


async def test_actors_are_rows_by_their_path() -> None:
    """A supervisor has no mailbox: zeros."""
    box = MailboxStats(
        depth=1, bound=8, overflow="wait", waiting=0, dropped=2, refused=3, expired=0, lost=0
    )
    child = Node("agent/writer", "Writer", "running", handled=4, mean_time=2e-6, mailbox=box)
    rows = await actor_reader(lambda: Node("agent", "unit", "running", children=(child,)))()
    assert list(rows) == ["agent", "agent/writer"]
    assert rows["agent"]["bound"] == 0
    assert {k: rows["agent/writer"][k] for k in ("depth", "bound", "mean_us", "refused")} == {
        "depth": 1, "bound": 8, "mean_us": 2, "refused": 3,
    }  # fmt: skip


async def test_events_are_the_newest_by_number() -> None:
    """As many as are followed."""
    asked = []

    class Index:
        async def search(self, query: AuditQuery) -> AuditPage:
            asked.append(query)
            fields = dict.fromkeys(AuditRow.__struct_fields__, "")
            return AuditPage([AuditRow(**{**fields, "seq": 7, "time": 2 * 10**9})])  # type: ignore[arg-type]  # its fields

    rows = await event_reader(Index())()
    assert asked == [AuditQuery(limit=MAX_EVENTS)]
    assert (list(rows), rows["7"]["time"]) == (["7"], 2.0)
