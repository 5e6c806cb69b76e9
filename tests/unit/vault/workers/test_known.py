"""vault.workers.known: what a worker remembers of secrets, and what it never guesses."""

import pytest

from tests.unit.vault.conftest import Vault, head
from vault.model.operation import SecretFacts
from vault.model.path import ResourcePath
from vault.store.tables import SECRETS
from vault.workers.known import ABSENT, THERE, Known

PATH, OTHER = ResourcePath.parse("s/i"), ResourcePath.parse("s/j")


async def guessed(known: Known, path: ResourcePath) -> SecretFacts:
    """What a write is decided on where no more than whether it is there counts."""
    return await known.facts(path, decisive=False)


async def test_what_was_written_is_there(vault: Vault) -> None:
    """Of what was not, the last one that was wrong says what is likely."""
    known = Known(vault.barrier)
    assert await guessed(known, PATH) is ABSENT
    known.written(PATH)
    assert await guessed(known, PATH) is THERE
    assert await guessed(known, OTHER) is ABSENT
    known.was_wrong(OTHER, ABSENT)
    assert await guessed(known, OTHER) is THERE
    assert await guessed(known, ResourcePath.parse("s/k")) is THERE
    known.was_wrong(PATH, THERE)
    assert await guessed(known, PATH) is ABSENT
    assert await guessed(known, OTHER) is THERE


async def test_what_is_at_hand_is_no_guess(vault: Vault) -> None:
    """A row that is cached, and one that is known not to be there."""
    known = Known(vault.barrier)
    known.written(OTHER)
    assert await vault.barrier.get(SECRETS, OTHER) is None
    assert await guessed(known, OTHER) == SecretFacts()
    await vault.store.commit(lambda tx: tx.put(SECRETS, head("i")))
    assert await guessed(known, PATH) == SecretFacts(exists=True)


async def test_what_decides_is_looked_up(vault: Vault) -> None:
    """Tags and metadata are never from memory."""
    known = Known(vault.barrier)
    known.written(PATH)
    assert await known.facts(PATH, decisive=True) == SecretFacts()


async def test_bounded(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full memory starts anew; long names, of which anybody can make many, are not in it."""
    monkeypatch.setattr("vault.workers.known.MAX_REMEMBERED", 2)
    known = Known(vault.barrier)
    long = ResourcePath.parse("s/" + "x" * 200)
    paths = [PATH, OTHER, ResourcePath.parse("s/c"), long]
    for path in paths:
        known.written(path)
    found = [(await guessed(known, path)).exists for path in paths]
    assert found == [False, False, True, False]
