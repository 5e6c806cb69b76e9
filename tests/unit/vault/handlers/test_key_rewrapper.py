"""vault.handlers.rewrap: an old key is forgotten only once nothing is under it."""

from collections.abc import Sequence

import pytest

from tests.unit.vault.conftest import Vault
from vault.barrier import Barrier
from vault.errors import UnavailableError
from vault.handlers.rewrap import KeyRewrapper
from vault.handlers.stores import KeyStore


class FlakyKeys(KeyStore):
    """Its database fails at the first page."""

    def __init__(self, barrier: Barrier) -> None:
        super().__init__(barrier)
        self._fails = True

    async def rewrap(self, keys: Sequence[tuple[str, int]], active: int) -> int:
        """Nothing of the first page is stored."""
        if self._fails:
            self._fails = False
            raise UnavailableError("store_unavailable", "gone", outcome="none")
        return await super().rewrap(keys, active)


async def test_a_page_that_failed_is_not_passed_over(vault: Vault) -> None:
    """The next step begins with it; else its values would be lost with the old key."""
    await vault.put()
    await vault.barrier.rotate()
    rewrapper = KeyRewrapper(FlakyKeys(vault.barrier))
    with pytest.raises(UnavailableError):
        await rewrapper.rewrap_next()
    step = await rewrapper.rewrap_next()
    assert (step.moved, step.complete) == (1, True)
    assert await rewrapper.retire_old_keys() == [1]
    row = await vault.barrier.get_version("i", 1)
    assert row is not None
    assert vault.barrier.open_value(row) == b'"v"'
