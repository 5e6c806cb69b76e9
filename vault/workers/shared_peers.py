"""What the processes of one agent share, behind the page."""

from vault.audit.layout import LogLayout
from vault.audit.shared_tail import SharedTail
from vault.authz.rate_limits import Limit
from vault.config import Settings
from vault.store.shared_head import SharedHead
from vault.workers.buckets import SharedBuckets, SharedLockout
from vault.workers.page import Page


class SharedPeers:
    """`vault.peers.Peers` of leader and workers alike."""

    def __init__(self, page: Page, settings: Settings, process: int) -> None:
        """`process`: 0 for the leader, else the worker's number."""
        self._page = page
        self._head = None
        database = settings.storage.file
        if database is not None:  # a server keeps its head itself
            lock_file = database.with_name(f"{database.name}.lock")
            self._head = SharedHead(lock_file, page.head, process, 1 + settings.server.workers)

    def head(self) -> SharedHead | None:
        """See `Peers`."""
        return self._head

    def audit_tail(self, layout: LogLayout) -> SharedTail:
        """See `Peers`."""
        return SharedTail(self._page.tail, layout.head_file)

    def lockout(self) -> SharedLockout:
        """See `Peers`."""
        return SharedLockout(self._page)

    def buckets(self, limit: Limit, rate: float, burst: int) -> SharedBuckets:
        """See `Peers`."""
        return SharedBuckets(self._page, limit, rate, burst)
