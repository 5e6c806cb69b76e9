"""The one that is asked: holds the book's snapshot against an access."""

from collections.abc import Callable, Iterable
from functools import partial

from vault.authz.access import Access, Decision
from vault.authz.book import PolicyBook, Snapshot
from vault.authz.compiled import Compiled
from vault.authz.evaluate import explain
from vault.authz.policy import Policy
from vault.authz.reach import reaches
from vault.authz.shown import Shown
from vault.model.identity import Identity
from vault.model.operation import Origin


class Authorizer:
    """Decisions on the current snapshot: synchronous, without a wait, without a side effect."""

    def __init__(self, book: PolicyBook) -> None:
        self._book = book

    def is_ready(self, identity: Identity) -> bool:
        """Say whether a decision for him is quick; if not, `prepare` first."""
        return self._book.snapshot.is_ready(identity)

    async def prepare(self, identity: Identity) -> None:
        """Make decisions for him quick. Raises `UnavailableError` as `PolicyBook.prepare`."""
        await self._book.prepare(identity)

    def decide(self, access: Access) -> Decision:
        """Say whether the access is allowed, and by which rule."""
        return self._book.snapshot.compiled(access.identity).decide(access)

    def standing(self, identity: Identity) -> Compiled:
        """What decides for him by the policies of now, whatever becomes of them."""
        return self._book.snapshot.compiled(identity)

    def dry_run(self, written: Iterable[Policy] = ()) -> Callable[[Access], Decision]:
        """What decides by the policies of now as `decide` would, and for a no says what is missing.

        `written` stand in for those of their names. It may run in a thread: it shares nothing with
        the snapshot, whose policies never change.
        """
        return partial(_explained, self._book.snapshot.changed(written))

    def warnings(self, policies: Iterable[str]) -> tuple[str, ...]:
        """Return a sentence for each name that no policy has."""
        return self._book.warnings(policies)

    def needs_facts(self, identity: Identity) -> bool:
        """Say whether a decision for him can depend on the tags or metadata of the secret."""
        return self._book.snapshot.compiled(identity).rules.needs_facts

    def reaches(self, identity: Identity, folder: str) -> bool:
        """Say whether he may do anything at all below `folder` (with its closing slash)."""
        found = self._book.snapshot.compiled(identity)
        return reaches(found.rules, found.grants, folder)

    def visible(self, identity: Identity, origin: Origin, now: int) -> Shown:
        """Return the filter for a list: which names the identity may be shown.

        It stays with the snapshot it was made from; make one for each list.
        """
        found = self._book.snapshot.compiled(identity)
        return Shown(found.rules, found.grants, identity, origin, now)


def _explained(snapshot: Snapshot, access: Access) -> Decision:
    found = snapshot.compiled(access.identity)
    return explain(found.rules, found.grants, access)
