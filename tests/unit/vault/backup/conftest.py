"""Real backups of a small vault in a file, which has chunks enough to exchange."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.contract.store.samples import put, secret, token, version
from tests.support.memory_destination import MemoryDestination
from tests.support.vaults import Vault
from vault.backup.create import create_backup
from vault.backup.format import Manifest
from vault.backup.keys import VaultKeys
from vault.crypto.backup_keys import Identity
from vault.store.tables import SECRETS, TOKENS, VERSIONS

VALUE_BYTES = 3000  # that do not compress
SECRETS_MADE = 60


@contextmanager
def ignored(_what: str, _total: int | None) -> Iterator[Any]:
    """Nobody looks at how far it is."""
    yield lambda _: None


class Made(NamedTuple):
    """Backups in memory: `full`, `next` (of what was changed since), `offline` (for a recipient).

    `other` is of another vault.
    """

    place: MemoryDestination
    vault: Vault
    keys: VaultKeys
    manifests: dict[str, Manifest]
    identity: Identity
    identity_text: str
    other_keys: VaultKeys

    def changed(self, **objects: bytes) -> MemoryDestination:
        """A copy with other bytes in these objects, whose dots are double underscores."""
        new = {name.replace("__", "."): data for name, data in objects.items()}
        return MemoryDestination(self.place.objects | new)


def fill(vault: Vault, seed: int) -> None:
    """Make it."""
    chance = random.Random(seed)  # noqa: S311  # bytes for a test
    vault.create()
    vault.commit(put(TOKENS, token("accessor")))
    for number in range(SECRETS_MADE):
        name = f"secret/{number:02}"
        box = chance.randbytes(VALUE_BYTES)
        vault.commit(put(SECRETS, secret(name)), put(VERSIONS, version(f"id-{name}", 1, box=box)))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Made once; nobody changes it."""
    folder: Path = tmp_path_factory.mktemp("backups")
    place, identity_pair = MemoryDestination(), Identity.create()
    vault, other = Vault(f"sqlite:///{folder}/a.db"), Vault(f"sqlite:///{folder}/b.db", "vault-2")
    manifests: dict[str, Manifest] = {}

    def back_up(of: Vault, backup: str, **more: Any) -> None:
        manifests[backup] = create_backup(
            of.backend,
            place,
            VaultKeys(of.keyring),
            backup=backup,
            created="2027-01-15T08:00:00Z",
            progress=ignored,
            **more,
        )

    with vault.opened():
        fill(vault, 1)
        back_up(vault, "full")
        back_up(vault, "again")
        vault.commit(put(SECRETS, secret("secret/new")))
        back_up(vault, "next", base=manifests["full"])
        back_up(vault, "offline", recipients=[identity_pair[0].recipient])
    with other.opened():
        fill(other, 2)
        back_up(other, "other")
    return Made(
        place, vault, VaultKeys(vault.keyring), manifests, *identity_pair, VaultKeys(other.keyring)
    )
