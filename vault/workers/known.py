"""Which secrets a worker has had written: most writes are decided on without a look at the store.

A write changes the secret's row, after which no worker has it in its cache. But nearly always all
that step 2 asks of the row is whether there is one, and that hardly ever changes.
"""

from typing import Final

from vault.barrier import Barrier
from vault.model.operation import Facts
from vault.model.path import HOT, ResourcePath, is_short
from vault.pipeline import stored_facts

THERE: Final = Facts(exists=True)


class Known:
    """Secrets that were written. It may be wrong: whoever acts on it has to look (`Mutations`).

    `THERE` itself, and no equal of it, is a fact from memory.
    """

    def __init__(self, barrier: Barrier) -> None:
        self._barrier = barrier
        self._there: set[ResourcePath] = set()

    async def facts(self, path: ResourcePath, decisive: bool) -> Facts:  # a `Look`
        """See `vault.pipeline.Look`. What tags or metadata decide on is never from memory."""
        if path in self._there and not decisive:
            return THERE
        return await stored_facts(self._barrier, path, decisive=decisive)

    def add(self, path: ResourcePath) -> None:
        """It was written."""
        if is_short(path):
            if len(self._there) >= HOT:
                self._there.clear()
            self._there.add(path)
