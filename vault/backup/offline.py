"""Backups without an agent, for the command line: the keys, and what this machine has seen."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

import msgspec
import trio

from actors import World
from protocols import json_text
from protocols.instant import rfc3339
from vault.audit.checkpoint import log_id_of, log_origin, origin_node
from vault.audit.head_file import read_head, read_unverified_origin
from vault.audit.layout import LogLayout
from vault.backup.create import create_backup
from vault.backup.destinations.directory import LocalDirectory
from vault.backup.format import Header, Manifest, manifest_verifier, verify_manifest
from vault.backup.keys import VaultKeys, open_keyring
from vault.backup.restore import KnownState, read_manifest
from vault.barrier import KEYRING_ROW, SEAL_ROW
from vault.crypto.backup_keys import Identity as Identity
from vault.crypto.backup_keys import Recipient
from vault.crypto.errors import MalformedEncoding, MalformedShare
from vault.crypto.keyring import Keyring
from vault.errors import AuthenticationError, ConflictError, ValidationError
from vault.seal.anchor.anchor_file import AnchorFile
from vault.seal.bound_keys import bind_audit_keys
from vault.seal.configured_seal import seal_mismatch_error
from vault.seal.key_providers import KeyProviders
from vault.seal.manager import read_key_file_shares
from vault.seal.root_keys.provider import KeyProvider
from vault.seal.root_keys.shamir import ShamirRootKey, UnsealProgress
from vault.seal.root_keys.shares import SealConfig
from vault.seal.seal_record import SealRecord
from vault.store.bulk import Progress, require_vault
from vault.store.sql import SqlBackend
from vault.store.tables import SYSTEM


class RootKey(NamedTuple):
    """The root key, and the keys that it opens."""

    root_key: bytes
    keys: VaultKeys

    def __repr__(self) -> str:
        return "RootKey(…)"


class SealedVault(NamedTuple):
    """What opens with the root key: a header that holds a keyring, and how the root key is kept."""

    header: Header
    seal: SealRecord

    @classmethod
    def of_backup(cls, header: Header) -> Self:
        """As it was when the backup was made. Raises `ValidationError`."""
        try:
            seal = json_text.decode(header.seal, type=SealRecord)
            SealConfig(seal.shares, seal.threshold)
        except (msgspec.MsgspecError, ValueError):
            raise ValidationError(
                "backup_invalid", "the backup does not say how its root key is kept"
            ) from None
        return cls(header, seal)

    @classmethod
    def of_database(cls, backend: SqlBackend) -> Self:
        """As an open database says. Raises `ConflictError` (`not_initialized`)."""
        with backend.read() as session:
            rows = session.get_many(SYSTEM, [(SEAL_ROW,), (KEYRING_ROW,)])
        system = {row.name: row.value for row in rows.values()}
        if SEAL_ROW not in system or KEYRING_ROW not in system:
            raise ConflictError("not_initialized", f"{backend.location} holds no vault")
        seal = json_text.decode(system[SEAL_ROW], type=SealRecord)
        header = Header(
            org=seal.org,
            vault=seal.vault,
            id="none",
            keyring=system[KEYRING_ROW],
            seal=system[SEAL_ROW],
            keys=(),
        )
        return cls(header, seal)

    def open_with_file(self, key_file: Path) -> RootKey:
        """By a key file, or by the one beside it that a rekey has left.

        Raises `UnavailableError` (`key_file`), `AuthenticationError` (`root_key_wrong`).
        """
        *first, last = read_key_file_shares(key_file)
        for key in first:
            with suppress(AuthenticationError):
                return RootKey(key, open_keyring(self.header, key))
        return RootKey(last, open_keyring(self.header, last))

    def open_with_shares(self, next_share: Callable[[int, int], bytes]) -> RootKey:
        """By shares. `next_share` is asked with how many are there, and how many are needed.

        Raises `ValidationError` (`share_invalid`), `AuthenticationError` (`root_key_wrong`).
        """
        collector = ShamirRootKey(SealConfig(self.seal.shares, self.seal.threshold))
        while True:
            share = next_share(collector.progress().progress, self.seal.threshold)
            try:
                found = collector.submit_share(share, self._open)
            except MalformedShare as error:
                raise ValidationError("share_invalid", f"{error}", field="key") from None
            if not isinstance(found, UnsealProgress):
                return found

    def open_with_providers(self, providers: Sequence[KeyProvider], world: World) -> RootKey:
        """By the first key provider that opens the vault, as it was when the backup was made.

        Raises `KeyProviderError`, `UnavailableError` (`seal_mismatch`), `TamperedError`.
        """
        known = [each for each in providers if self.seal.wrapping_of(each.name, each.type)]
        if not known:
            raise seal_mismatch_error(self.seal)
        return trio.run(self._unwrap, KeyProviders(known, world))

    async def _unwrap(self, providers: KeyProviders) -> RootKey:
        try:
            return await providers.unwrap(self.seal, self._decode)
        finally:
            await providers.aclose()

    def _decode(self, root_key: bytes) -> RootKey:
        """Raises `CryptoError`."""
        header = self.header
        keyring = Keyring.decode(root_key, header.keyring, org=header.org, vault=header.vault)
        return RootKey(root_key, VaultKeys(keyring))

    def _open(self, root_key: bytes) -> RootKey:
        return RootKey(root_key, open_keyring(self.header, root_key))


def back_up_stopped(
    backend: SqlBackend,
    folder: Path,
    open_vault: Callable[[SealedVault], RootKey],
    world: World,
    progress: Progress,
    *,
    base: str = "",
    recipients: Iterable[str] = (),
    include_secrets: bool = True,
    compress: bool = True,
) -> tuple[Manifest, str]:
    """Back up a database that no agent has open, or one on a server; the manifest and who verifies.

    It is not written, and not migrated. `base`: the id of a backup in the same folder. Raises as
    `create_backup`, `SealedVault` and `require_vault`.
    """
    to = parse_recipients(recipients)
    destination = LocalDirectory(folder)
    try:
        backend.take()
        require_vault(backend)
        keys = open_vault(SealedVault.of_database(backend)).keys
        vault = keys.keyring.vault
        below = None
        if base:
            below = verify_manifest(read_manifest(destination, base), vault, keys.backup)
        manifest = create_backup(
            backend,
            destination,
            keys,
            backup=world.new_id(),
            created=rfc3339(world.now()),
            progress=progress,
            base=below,
            recipients=to,
            include_secrets=include_secrets,
            compress=compress,
        )
    finally:
        backend.close()
    return manifest, manifest_verifier(vault, keys.backup)


def parse_recipients(texts: Iterable[str]) -> list[Recipient]:
    """Raises `ValidationError` (`recipient_invalid`)."""
    try:
        return [Recipient(text) for text in texts]
    except MalformedEncoding as error:
        raise ValidationError("recipient_invalid", f"{error}", field="recipient") from None


def parse_identity(text: str) -> Identity:
    """Raises `ValidationError` (`identity_invalid`)."""
    try:
        return Identity(text)
    except MalformedEncoding as error:
        raise ValidationError("identity_invalid", f"{error}", field="identity") from None


def make_identity() -> tuple[str, str]:
    """A new identity, to be kept offline, and the recipient that backups are made for."""
    identity, text = Identity.create()
    return text, identity.recipient.text


def read_known_state(anchor: Path, log: Path, keys: VaultKeys) -> KnownState:
    """What anchor and audit log of this machine have seen of the vault. Blocks.

    One that is missing, or is not this vault's, says nothing. Raises `OSError`.
    """
    commits = epoch = 0
    node = checkpoint = ""
    with suppress(ValueError):
        found = AnchorFile(anchor).read(keys.anchor)
        if found is not None:
            node, commits, epoch = found.node, found.commits, found.epoch
            checkpoint = found.checkpoint
    layout = LogLayout(log)
    with suppress(ValueError, FileNotFoundError):
        origin = read_unverified_origin(layout.head_file)
        node = node or origin_node(origin)
        audit = bind_audit_keys(keys.keyring, node)
        head = read_head(layout.head_file, audit, audit.public).head
        if head.origin == log_origin(log_id_of(keys.keyring.vault, node)):
            commits = max(commits, head.store)
    return KnownState(commits, epoch, checkpoint)
