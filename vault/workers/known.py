"""Which secrets are there, as far as a worker remembers: most writes are decided on no more.

A write changes the secret's row, after which no worker has it in its cache, and a look into the
database is dear: it takes time of its own, so that those who came together are sent one by one. So
a worker guesses, and the leader, who has the rows, looks before anything is changed.
"""

from typing import Final

from vault.barrier import MISSING, SECRETS, Barrier
from vault.model.operation import Facts
from vault.model.path import HOT, ResourcePath, is_short
from vault.pipeline import stored_facts

THERE: Final = Facts(exists=True, guess=True)
ABSENT: Final = Facts(guess=True)


class Known:
    """Secrets that were there; of the others, what the last guess should have been is guessed."""

    def __init__(self, barrier: Barrier) -> None:
        self._barrier = barrier
        self._there: set[ResourcePath] = set()
        self._likely = ABSENT

    async def facts(self, path: ResourcePath, *, decisive: bool) -> Facts:
        """See `vault.pipeline.Look`. What tags or metadata decide on is never guessed."""
        if not decisive and self._barrier.cached(SECRETS, path) is MISSING:
            return THERE if path in self._there else self._likely
        return await stored_facts(self._barrier, path, decisive=decisive)

    def written(self, path: ResourcePath) -> None:
        """It is there."""
        if is_short(path) and path not in self._there:
            if len(self._there) >= HOT:
                self._there.clear()
            self._there.add(path)

    def was_wrong(self, path: ResourcePath, facts: Facts) -> None:
        """A guess was not so."""
        if facts.exists:
            self._there.discard(path)
            self._likely = ABSENT
        else:
            self.written(path)
            self._likely = THERE
