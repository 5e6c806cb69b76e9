"""Which secrets are there, as far as a worker remembers: most writes are decided on no more.

A write changes the secret's row, after which no worker has it in its cache, and a look into the
database is dear: it takes time of its own, so that those who came together are sent one by one. So
a worker guesses, and the leader, who has the rows, looks before anything is changed.
"""

from typing import Final

from vault.barrier import Barrier
from vault.handlers.stores import SecretStore
from vault.handlers.visibility import load_stored_facts
from vault.model.operation import SecretFacts
from vault.model.path import MAX_REMEMBERED, ResourcePath, is_short
from vault.store.bounded_cache import MISSING
from vault.store.tables import SECRETS

THERE: Final = SecretFacts(exists=True, is_guess=True)
ABSENT: Final = SecretFacts(is_guess=True)


class Known:
    """Secrets that were there; of the others, what the last guess should have been is guessed."""

    def __init__(self, barrier: Barrier) -> None:
        self._barrier = barrier
        self._there: set[ResourcePath] = set()
        self._likely = ABSENT

    async def facts(self, path: ResourcePath, *, decisive: bool) -> SecretFacts:
        """See `vault.pipeline.FactsLookup`. What tags or metadata decide on is never guessed."""
        if not decisive and self._barrier.get_cached(SECRETS, path) is MISSING:
            return THERE if path in self._there else self._likely
        return await load_stored_facts(SecretStore(self._barrier), path, decisive=decisive)

    def written(self, path: ResourcePath) -> None:
        """It is there."""
        if is_short(path) and path not in self._there:
            if len(self._there) >= MAX_REMEMBERED:
                self._there.clear()
            self._there.add(path)

    def was_wrong(self, path: ResourcePath, facts: SecretFacts) -> None:
        """A guess was not so."""
        if facts.exists:
            self._there.discard(path)
            self._likely = ABSENT
        else:
            self.written(path)
            self._likely = THERE
