"""vault.workers.known: what a worker remembers of secrets, and what it never does."""

import pytest

from tests.unit.vault.conftest import Vault, head
from vault.barrier import SECRETS
from vault.model.operation import Facts
from vault.model.path import ResourcePath
from vault.workers.known import THERE, Known

PATH = ResourcePath.parse("s/i")


async def test_what_was_written_is_not_looked_up(vault: Vault) -> None:
    """What was not is, each time: a no has to be made on what is so."""
    known = Known(vault.barrier)
    assert await known.facts(PATH, decisive=False) == Facts()
    await vault.store.commit(lambda tx: tx.put(SECRETS, head("i")))
    seen = await known.facts(PATH, decisive=False)
    assert seen == THERE
    assert seen is not THERE
    known.add(PATH)
    await vault.store.commit(lambda tx: tx.delete(SECRETS, PATH))
    assert await known.facts(PATH, decisive=False) is THERE


async def test_what_decides_is_looked_up(vault: Vault) -> None:
    """Tags and metadata are never from memory."""
    known = Known(vault.barrier)
    known.add(PATH)
    assert await known.facts(PATH, decisive=True) == Facts()
    assert await known.facts(PATH, decisive=False) == Facts(exists=True)


async def test_bounded(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full memory starts anew; long names, of which anybody can make many, are not in it."""
    monkeypatch.setattr("vault.workers.known.HOT", 2)
    known = Known(vault.barrier)
    long = ResourcePath.parse("s/" + "x" * 200)
    paths = [PATH, ResourcePath.parse("s/b"), ResourcePath.parse("s/c"), long]
    for path in paths:
        known.add(path)
    found = [(await known.facts(path, decisive=False)).exists for path in paths]
    assert found == [False, False, True, False]
