"""What people who hold the root key may do to an open vault: prove it, and replace it.

With shamir the root key is in people's shares; with a key file its one share is what the file
holds. Attempts are in memory only: a seal or a restart ends them, and what was in force stays.

Generating a root token and rekeying work as OpenBao's: an attempt has a nonce, shares are offered
one by one, and a set that does not fit is dropped whole, because nobody can tell which is wrong.
"""

import logging
from base64 import b64encode
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from typing import Final, TypeVar

import trio
from msgspec.structs import replace

from actors import World
from protocols import json_text
from protocols.instant import SECOND
from vault.barrier import Barrier
from vault.crypto.encoding import BASE62
from vault.crypto.errors import AuthenticationFailed, KeyFileError, MalformedShare, UnsealRefused
from vault.crypto.random import random_bytes
from vault.errors import ConflictError, SetupError, TamperedError, ValidationError, VaultError
from vault.model.records import SystemRow
from vault.model.root_key import (
    NO_ATTEMPT,
    GenerateRootStatus,
    NewShares,
    RekeyResult,
    RekeyStatus,
    RenewedWrappings,
    RotatedRootKey,
    SealMigrationStatus,
    VerificationStatus,
)
from vault.seal.configured_seal import ConfiguredSeal, ConfiguredSeals
from vault.seal.key_providers import KeyProviders
from vault.seal.manager import SEAL_ROW, no_migration_error
from vault.seal.root_keys import NewRootKey
from vault.seal.root_keys.file import FileRootKey
from vault.seal.root_keys.provider import (
    KeyProvider,
    KeyProviderError,
    WrappedKey,
    wrap_context,
)
from vault.seal.root_keys.shamir import ShamirRootKey, UnsealProgress
from vault.seal.root_keys.shares import ROOT_KEY_SIZE, SealConfig
from vault.seal.seal_record import SealRecord, check_recovery_key, recovery_verifier
from vault.store.interface import UNKNOWN
from vault.store.tables import NODES, SYSTEM

T = TypeVar("T")

ATTEMPT_TTL: Final = 3_600 * SECOND
"""How long an attempt may take: shares that were offered are in memory meanwhile."""
TOKEN_LENGTH: Final = 61  # characters of a token that `credentials.mint_token` makes

log: Final = logging.getLogger("freehold.seal")

MintRootToken = Callable[[], Awaitable[str]]
SuspendPeers = Callable[[], AbstractAsyncContextManager[Callable[[bytes, int], None]]]


class _ShareAttempt:
    """Shares for one purpose, offered one by one under one nonce."""

    def __init__(self, config: SealConfig, nonce: str, until: int) -> None:
        self.nonce = nonce
        self.until = until
        self.shares, self.required = config.shares, config.threshold
        self._collected = ShamirRootKey(config)

    @property
    def progress(self) -> int:
        """How many distinct shares are in."""
        return self._collected.progress().progress

    def submit(self, share: bytes, nonce: str, prove: Callable[[bytes], T]) -> T | None:
        """None until there are enough shares; then what `prove(root_key)` returns.

        `prove` raises `AuthenticationFailed` for another key. Raises `ValidationError`: for another
        nonce, a share that is malformed or in already (progress stays), a set that does not fit
        (progress starts again).
        """
        if nonce != self.nonce:
            raise ValidationError(
                "nonce_wrong",
                f'incorrect nonce supplied; nonce for this operation is "{self.nonce}"',
                field="nonce",
            )
        before = self.progress
        try:
            found = self._collected.submit_share(share, prove)
        except MalformedShare as error:
            raise ValidationError("share_invalid", f"{error}", field="key") from None
        except UnsealRefused:
            raise ValidationError(
                "shares_wrong",
                "the shares do not fit together: at least one is wrong; offer all of them again",
                field="key",
            ) from None
        if not isinstance(found, UnsealProgress):
            return found
        if found.progress == before:
            raise ValidationError(
                "share_repeated",
                "given key has already been provided during this operation",
                field="key",
            )
        return None


class _GenerateRootAttempt(_ShareAttempt):
    """A root token to be made, and what it is to be masked with."""

    otp = ""


class _MigrationAttempt(_ShareAttempt):
    """A root key to be kept otherwise, once enough shares prove who asks for it."""


class _RekeyAttempt(_ShareAttempt):
    """A root key to be replaced: by what, and the proof that the new shares have arrived."""

    def __init__(
        self, config: SealConfig, nonce: str, until: int, *, new: SealConfig, verifies: bool
    ) -> None:
        super().__init__(config, nonce, until)
        self.new = new
        self.require_verification = verifies
        self.new_root: NewRootKey | None = None
        self.verification: _ShareAttempt | None = None


class RootKeyOperations:
    """One open vault's root key, as far as people act on it. In one task at a time."""

    def __init__(
        self,
        barrier: Barrier,
        seals: ConfiguredSeals,
        world: World,
        *,
        node: str,
        mint_root_token: MintRootToken,
        suspend_peers: SuspendPeers,
        on_rekeyed: Callable[[], Awaitable[None]],
        request_reopening: Callable[[], None],
    ) -> None:
        """`mint_root_token` makes one; `suspend_peers` takes the keys from the other processes.

        `node` is this one's id. `on_rekeyed` is called once another root key is in force or is kept
        otherwise, `request_reopening` when nobody knows which is in force, or when another agent
        has put one in force.
        """
        self._barrier = barrier
        self._seals = seals
        self._node = node
        self._world = world
        self._mint_root_token = mint_root_token
        self._suspend_peers = suspend_peers
        self._on_rekeyed = on_rekeyed
        self._request_reopening = request_reopening
        barrier.on_root_key_changed = request_reopening
        self._generating: _GenerateRootAttempt | None = None
        self._migration: _MigrationAttempt | None = None
        self._rekey: _RekeyAttempt | None = None
        self._lock = trio.Lock()

    async def expire_attempts(self) -> None:
        """Forget what has taken too long, and the shares with it."""
        async with self._lock:
            now = self._world.now()
            if self._generating is not None and self._generating.until <= now:
                self._generating = None
            if self._rekey is not None and self._rekey.until <= now:
                self._rekey = None
            if self._migration is not None and self._migration.until <= now:
                self._migration = None

    # A root token for whoever has none.

    async def generate_root_status(self) -> GenerateRootStatus:
        """How far it is. The one-time password is returned at its beginning only."""
        attempt = self._generating
        if attempt is None:
            record = await self._record()
            return GenerateRootStatus(required=record.threshold, otp_length=TOKEN_LENGTH)
        return GenerateRootStatus(
            nonce=attempt.nonce,
            started=True,
            progress=attempt.progress,
            required=attempt.required,
            otp_length=TOKEN_LENGTH,
        )

    async def start_generate_root(self, otp: str) -> GenerateRootStatus:
        """Begin. `otp`: what the token is to be masked with; empty: one is made and returned.

        Raises `ValidationError`, `ConflictError` while another attempt is under way.
        """
        if otp and (len(otp) != TOKEN_LENGTH or not otp.isascii()):
            raise ValidationError("otp_invalid", "OTP string has incorrect length", field="otp")
        async with self._lock:
            if self._generating is not None:
                raise _attempt_exists_error("root generation")
            attempt = _GenerateRootAttempt(*await self._new_attempt())
            attempt.otp = otp or _one_time_password()
            self._generating = attempt
        return replace(await self.generate_root_status(), otp="" if otp else attempt.otp)

    async def submit_generate_root_share(self, share: bytes, nonce: str) -> GenerateRootStatus:
        """Offer a share; with the last one the token is made and returned masked.

        Raises `ValidationError`, and what making a token raises.
        """
        async with self._lock:
            attempt = self._generating
            if attempt is None:
                raise _no_attempt_error("root generation")
            if attempt.submit(share, nonce, await self._prover()) is None:
                return await self.generate_root_status()
            token = await self._mint_root_token()
            self._generating = None
            return GenerateRootStatus(
                nonce=attempt.nonce,
                started=True,
                complete=True,
                progress=attempt.required,
                required=attempt.required,
                encoded_token=mask_token(token, attempt.otp),
                otp_length=TOKEN_LENGTH,
            )

    async def cancel_generate_root(self) -> None:
        """Forget the attempt and its shares."""
        async with self._lock:
            self._generating = None

    # Another root key, or another recovery key where a key provider unseals.

    async def rekey_status(self) -> RekeyStatus:
        """How far it is."""
        attempt = self._rekey
        if attempt is None:
            return RekeyStatus(required=(await self._record()).threshold)
        return RekeyStatus(
            nonce=attempt.nonce,
            started=True,
            t=attempt.new.threshold,
            n=attempt.new.shares,
            progress=attempt.progress,
            required=attempt.required,
            verification_required=attempt.require_verification,
            verification_nonce=attempt.verification.nonce if attempt.verification else "",
        )

    async def start_rekey(
        self, shares: int, threshold: int, *, require_verification: bool, recovery: bool = False
    ) -> RekeyStatus:
        """Begin. `require_verification`: the new shares must be submitted before they are in force.

        `recovery`: of another recovery key, and not of another root key. Raises `ValidationError`,
        `ConflictError` while another attempt is under way.
        """
        await self._require_rekey_of(recovery=recovery)
        key_file = self._key_file(await self._record())
        if key_file is not None and (shares, threshold) != (1, 1):
            raise ValidationError(
                "seal_config_invalid",
                "this vault has its root key in a key file: rekey it with 1 share and threshold 1",
                field="secret_shares",
            )
        try:
            new = SealConfig(shares, threshold)
        except ValueError as error:
            raise ValidationError(
                "seal_config_invalid", str(error), field="secret_threshold"
            ) from None
        async with self._lock:
            if self._rekey is not None:
                raise _attempt_exists_error("rekey")
            if key_file is not None:
                await self._at_key_file(key_file.require_folder)
                require_verification = False  # the file is where it was written
            self._rekey = _RekeyAttempt(
                *await self._new_attempt(), new=new, verifies=require_verification
            )
        return await self.rekey_status()

    async def submit_rekey_share(self, share: bytes, nonce: str) -> RekeyStatus | NewShares:
        """Offer a share; with the last one the new root key is made and its shares are returned.

        In force after `commit_rekey` or `submit_verification_share`. Raises `ValidationError`.
        """
        async with self._lock:
            attempt = self._require_rekey()
            if attempt.new_root is not None:
                raise ConflictError("rekey_made", "the new shares are made: verify them, or cancel")
            if attempt.submit(share, nonce, await self._prover()) is None:
                return await self.rekey_status()
            key_file = self._key_file(await self._record())
            attempt.new_root = ShamirRootKey(attempt.new).create()
            if attempt.require_verification:
                attempt.verification = self._proof(attempt)
            return NewShares(
                nonce=attempt.nonce,
                shares=attempt.new_root.shares if key_file is None else (),
                verification_required=attempt.require_verification,
                verification_nonce=attempt.verification.nonce if attempt.verification else "",
            )

    async def commit_rekey(self, nonce: str) -> RekeyResult:
        """Have the new root key in force, where nobody has to verify its shares.

        Raises `ValidationError`, and what the store raises: with `outcome` "unknown" the vault
        seals itself, and either the old shares open it or the new ones.
        """
        async with self._lock:
            attempt = self._require_rekey()
            if nonce != attempt.nonce or attempt.new_root is None or attempt.require_verification:
                raise ValidationError("rekey_incomplete", "this rekey cannot be completed so")
            try:
                return RekeyResult(await self._replace(attempt, attempt.new_root))
            except VaultError:
                attempt.new_root = (
                    None  # its shares were not returned: the old ones are to be offered again
                )
                raise

    async def verification_status(self) -> VerificationStatus:
        """How many of the new shares have been shown. Raises `ValidationError`."""
        attempt, proof = self._require_verification()
        return VerificationStatus(
            nonce=proof.nonce,
            started=True,
            t=attempt.new.threshold,
            n=attempt.new.shares,
            progress=proof.progress,
        )

    async def submit_verification_share(self, share: bytes, nonce: str) -> VerificationStatus:
        """Show a new share; with the last one the new root key is in force.

        Raises as `commit_rekey`. New shares that do not fit are shown again under a new nonce.
        """
        async with self._lock:
            attempt, proof = self._require_verification()
            made = attempt.new_root
            if made is None:
                raise RuntimeError("what is verified was made")
            try:
                proven = proof.submit(share, nonce, lambda key: _check_same_key(key, made.root_key))
            except ValidationError as error:
                if error.code == "shares_wrong":
                    attempt.verification = self._proof(attempt)
                raise
            if proven is None:
                return await self.verification_status()
            await self._replace(attempt, made)
            return VerificationStatus(nonce=proof.nonce, complete=True)

    async def restart_verification(self) -> VerificationStatus:
        """Forget which new shares have been shown. Raises `ValidationError`."""
        async with self._lock:
            attempt, _ = self._require_verification()
            attempt.verification = self._proof(attempt)
        return await self.verification_status()

    async def cancel_rekey(self) -> None:
        """Forget the attempt, its shares, and the new ones that are not in force."""
        async with self._lock:
            self._rekey = None

    async def _replace(self, attempt: _RekeyAttempt, made: NewRootKey) -> str:
        """What is left to be done by hand; empty: nothing. Raises as `commit_rekey`."""
        record = await self._record()
        if record.is_wrapped:
            await self._replace_recovery_key(record, attempt, made)
            return ""
        key_file = self._key_file(record)
        new = replace(
            record,
            type=ShamirRootKey.kind if key_file is None else key_file.kind,
            shares=attempt.new.shares,
            threshold=attempt.new.threshold,
        )
        return await self._put_in_force(made.root_key, record, new, key_file)

    async def _put_in_force(
        self,
        root_key: bytes,
        before: SealRecord,
        new: SealRecord,
        key_file: FileRootKey | None = None,
    ) -> str:
        """Another root key, kept as `new` says; `key_file`: where it is kept.

        The one place where the root key changes: keyring and record are stored in one transaction,
        so at each moment one of the two keys opens both. Returns what is left to be done by hand.
        Raises `SetupError` of the file, `ConflictError`, and what the store raises: then the former
        one is in force, or with `outcome` "unknown" the vault seals itself and opens by either.
        """
        row = SystemRow(name=SEAL_ROW, value=new.encode())
        if key_file is not None:
            in_force = self._barrier.root_key
            await self._at_key_file(partial(key_file.write_next, root_key, current=in_force))
        async with self._suspend_peers() as tell:
            try:
                epoch = await self._barrier.rekey(root_key, row, seal_before=before.encode())
            except VaultError as error:
                if error.details.get("outcome") == UNKNOWN:
                    self._request_reopening()  # nobody knows which key the stored keyring takes
                elif key_file is not None:
                    await self._world.run_sync(key_file.remove_next)
                raise
            tell(root_key, epoch)
        await self._end_attempts()
        return "" if key_file is None else await self._activate_next_key(key_file)

    async def _replace_recovery_key(
        self, record: SealRecord, attempt: _RekeyAttempt, made: NewRootKey
    ) -> None:
        """The root key stays. Raises as `commit_rekey`."""
        new = replace(
            record,
            shares=attempt.new.shares,
            threshold=attempt.new.threshold,
            recovery=recovery_verifier(made.root_key, record.org, record.vault),
        )
        await self._store_record(record, new)
        await self._end_attempts()

    async def _store_record(self, before: SealRecord, new: SealRecord) -> None:
        """In the place of the one before. Raises `ConflictError`, and what the store raises."""
        value = new.authenticate(self._barrier.root_key).encode()
        await self._barrier.replace_seal(before.encode(), SystemRow(name=SEAL_ROW, value=value))

    async def _end_attempts(self) -> None:
        """Shares of the old key prove nothing any more."""
        self._rekey = self._generating = self._migration = None
        await self._reload_seal()

    async def _reload_seal(self) -> None:
        try:
            await self._on_rekeyed()
        except VaultError as error:  # it is in force: an error would say that it is not
            log.error("the seal's state is read again at the next seal: %s", error)  # noqa: TRY400  # one line tells all

    # The keys of the key providers.

    async def rotate_wrapping(self, *, new_root_key: bool = False) -> RotatedRootKey:
        """Wrap the root key by the newest versions of its keys; made before, where the agent may.

        The root key stays, and whatever is open stays open. A provider that fails keeps the version
        that it has until `renew_wrappings`. `new_root_key`: it is replaced, and the keyring wrapped
        by it: other agents open anew, and a provider that fails has to wait for `renew_wrappings`
        until it can unseal again. Raises `KeyProviderError` when all do, `ValidationError`
        without key providers, `ConflictError` where there is nothing newer, and what the store
        raises: then the former wrappings are in force.
        """
        async with self._lock:
            record = await self._record()
            providers = self._seals.in_force(record).providers
            if providers is None:
                raise ValidationError(
                    "root_key_not_wrapped",
                    "no key provider wraps the root key of this vault: replace its shares or its "
                    "file with `freehold operator rekey`",
                )
            if new_root_key:
                await self._require_own_providers(providers, record)
            found, skipped, current = list[RotatedRootKey](), list[str](), list[WrappedKey]()
            first_error: KeyProviderError | None = None
            new = replace(record, wrappings=()) if new_root_key else record
            root_key = random_bytes(ROOT_KEY_SIZE) if new_root_key else self._barrier.root_key
            for provider in providers:
                before = record.wrapping_of(provider.name, provider.type)
                try:
                    wrapped = await self._rewrap(providers, provider, root_key, record)
                except KeyProviderError as error:
                    first_error = first_error or error
                    skipped.append(provider.name)
                    if before is not None and not new_root_key:
                        new = new.with_wrapping(replace(before, is_behind=True))
                    continue
                is_same = before is not None and _key_of(before) == _key_of(wrapped)
                if is_same and not new_root_key:
                    current.append(wrapped)
                    continue
                nodes = () if before is None else before.nodes
                new = new.with_wrapping(replace(wrapped, nodes=nodes))
                found.append(_rotated(wrapped, before))
            if not found:
                if first_error is not None and not current:
                    raise first_error
                raise ConflictError(
                    "root_key_version_current",
                    f"key {current[0].key} has no version that is newer than {current[0].version}: "
                    "make one with the provider's tools, then run this again",
                )
            if new_root_key:
                await self._put_in_force(root_key, record, new.authenticate(root_key))
            else:
                await self._store_record(record, new)
        await self._reload_seal()
        return replace(found[0], others=tuple(found[1:]), skipped=tuple(skipped))

    async def _require_own_providers(self, providers: KeyProviders, record: SealRecord) -> None:
        """Raises `ConflictError` where a node would be left without a provider that unseals it."""
        own, known = {(each.name, each.type) for each in providers}, await self._known_nodes()
        for each in record.wrappings:
            if each.id not in own and (nodes := self._others_with(each, known)):
                raise ConflictError(
                    "key_provider_elsewhere",
                    f"key provider {each.provider} ({each.type}) is in the configuration of other "
                    f"nodes only ({', '.join(nodes)}) and cannot wrap a new root key here: add it "
                    "to this agent's configuration, or take it out of theirs",
                )

    async def _rewrap(
        self, providers: KeyProviders, provider: KeyProvider, root_key: bytes, record: SealRecord
    ) -> WrappedKey:
        """By the newest version, made where the agent may. Raises `KeyProviderError`."""
        await provider.aclose()  # a session may not see keys that were made since
        if provider.creates_keys:
            async with providers.note_trouble(provider):
                await provider.create_version()
        return await providers.wrap(provider, root_key, record.org, record.vault)

    async def needs_renewal(self) -> bool:
        """Whether `renew_wrappings` has anything to do, and the providers that it takes answer."""
        record = await self._record()
        providers = self._seals.in_force(record).providers
        if providers is None or not self._seals.current.keeps(record):
            return False  # a migration is pending: it wraps by all
        for provider in providers:
            wrapped = record.wrapping_of(provider.name, provider.type)
            if wrapped is None or wrapped.is_behind:
                with suppress(KeyProviderError):
                    async with providers.note_trouble(provider):
                        await provider.describe()
                    return True
                continue
            if self._node not in wrapped.nodes:
                return True
        own = {(each.name, each.type) for each in providers}
        known = await self._known_nodes()
        return any(
            each.id not in own
            and each.nodes
            and (self._node in each.nodes or not self._others_with(each, known))
            for each in record.wrappings
        )

    async def renew_wrappings(self) -> RenewedWrappings:
        """Wrap by providers that were away or are new, and let go of those that nobody has.

        Each node notes which providers are in its configuration. A wrapping of a provider that no
        node has any more is dropped, once another provider of this one opens the vault. Raises
        `KeyProviderError`, `ConflictError` (`seal_changed`), and what the store raises.
        """
        async with self._lock:
            record = await self._record()
            providers = self._seals.in_force(record).providers
            if providers is None:
                return RenewedWrappings()
            new, wrapped_by, opens = record, list[str](), False
            for provider in providers:
                wrapped = record.wrapping_of(provider.name, provider.type)
                with suppress(KeyProviderError):  # it is noted, and this is done again
                    if wrapped is None or wrapped.is_behind:
                        nodes = () if wrapped is None else wrapped.nodes
                        wrapped = await providers.wrap(
                            provider, self._barrier.root_key, record.org, record.vault
                        )
                        wrapped = replace(wrapped, nodes=nodes)
                        wrapped_by.append(provider.name)
                        opens = True
                    elif not opens:
                        opens = await self._unwraps(providers, provider, wrapped, record)
                if wrapped is not None:
                    nodes = tuple(sorted({*wrapped.nodes, self._node}))
                    new = new.with_wrapping(replace(wrapped, nodes=nodes))
            own = {(each.name, each.type) for each in providers}
            known, removed = await self._known_nodes(), list[str]()
            for each in record.wrappings:
                if each.id in own or not each.nodes:
                    continue
                nodes = self._others_with(each, known)
                if nodes:
                    new = new.with_wrapping(replace(each, nodes=nodes))
                elif opens:
                    left = tuple(one for one in new.wrappings if one.id != each.id)
                    new = new.with_wrappings(left)
                    removed.append(each.provider)
            if new != record:
                await self._store_record(record, new)
        await self._reload_seal()
        return RenewedWrappings(wrapped=tuple(wrapped_by), removed=tuple(removed))

    async def _unwraps(
        self,
        providers: KeyProviders,
        provider: KeyProvider,
        wrapped: WrappedKey,
        record: SealRecord,
    ) -> bool:
        """Whether it gives the root key now. Raises `KeyProviderError`."""
        async with providers.note_trouble(provider):
            found = await provider.unwrap(wrapped, wrap_context(record.org, record.vault))
        return self._barrier.is_root_key(found)

    async def _known_nodes(self) -> frozenset[str]:
        return frozenset(row.id for row in await self._barrier.select_all(NODES))

    def _others_with(self, wrapped: WrappedKey, known: frozenset[str]) -> tuple[str, ...]:
        """The nodes but this one that have its provider in their configuration."""
        return tuple(each for each in wrapped.nodes if each in known and each != self._node)

    # Another way to keep the root key.

    async def migration_status(self) -> SealMigrationStatus:
        """From which seal to which, and how many shares are there."""
        record, attempt = await self._record(), self._migration
        pending = self._seals.is_migrating(record)
        return SealMigrationStatus(
            pending=pending,
            source=record.type,
            target=self._seals.current.type,
            nonce="" if attempt is None else attempt.nonce,
            progress=0 if attempt is None else attempt.progress,
            required=record.threshold if pending else 0,
        )

    async def submit_migration_share(self, share: bytes, nonce: str) -> SealMigrationStatus:
        """Offer a share, of the recovery key where there is one; with the last one it is moved.

        The first share begins an attempt; an empty nonce is that of the present one. Raises
        `ValidationError`, `KeyProviderError` of the new seal, `SetupError` of its key file,
        `ConflictError`, and what the store raises: then the former seal is in force, or with
        `outcome` "unknown" either, and the vault seals itself.
        """
        async with self._lock:
            record = await self._record()
            if not self._seals.is_migrating(record):
                self._migration = None
                raise no_migration_error()
            attempt = self._migration
            if attempt is None:
                if nonce:
                    raise _no_attempt_error("seal migration")
                attempt = _MigrationAttempt(*await self._new_attempt())
            elif (record.shares, record.threshold) != (attempt.shares, attempt.required):
                self._migration = None
                raise ConflictError(
                    "seal_changed", "the shares were replaced meanwhile: offer the new ones"
                )
            self._migration = attempt
            proven = attempt.submit(share, nonce or attempt.nonce, await self._proven_key())
            if proven is None:
                return await self.migration_status()
            self._migration = None  # what fails is begun anew
            source, target = record.type, self._seals.current
            warning = await self._migrate(record, target, proven)
            return SealMigrationStatus(
                pending=False,
                source=source,
                target=target.type,
                nonce=attempt.nonce,
                progress=attempt.required,
                required=attempt.required,
                complete=True,
                warning=warning,
            )

    async def cancel_migration(self) -> None:
        """Forget the attempt and its shares."""
        async with self._lock:
            self._migration = None

    async def _migrate(self, record: SealRecord, target: ConfiguredSeal, proven: bytes) -> str:
        """`proven`: the recovery key, or of a root key that is not wrapped the root key itself.

        The shares stay with those who have them, as in OpenBao: those of the root key become the
        recovery key's, and those of the recovery key the root key's. The root key is a new one
        wherever shares are not to open the vault any more.
        """
        kept = replace(record, type=target.type, wrappings=(), recovery=b"", tag=b"")
        if target.providers is not None:
            root_key = random_bytes(ROOT_KEY_SIZE)
            wrapped = await target.providers.wrap_by_all(root_key, record.org, record.vault)
            noted = tuple(replace(each, nodes=(self._node,)) for each in wrapped)
            verifier = recovery_verifier(proven, record.org, record.vault)
            new = replace(kept.with_wrappings(noted), recovery=verifier).authenticate(root_key)
            return await self._put_in_force(root_key, record, new)
        if target.key_file is not None:
            await self._at_key_file(target.key_file.require_absent)
            new = replace(kept, shares=1, threshold=1)
            return await self._put_in_force(
                random_bytes(ROOT_KEY_SIZE), record, new, target.key_file
            )
        return await self._put_in_force(proven, record, kept)

    def _key_file(self, record: SealRecord) -> FileRootKey | None:
        return self._seals.in_force(record).key_file

    async def _at_key_file(self, step: Callable[[], None]) -> None:
        """Raises `SetupError` where the file or its folder does not let it."""
        try:
            await self._world.run_sync(step)
        except KeyFileError as error:
            raise SetupError("key_file", str(error)) from None

    async def _activate_next_key(self, file: FileRootKey) -> str:
        """What is wrong, or nothing. A start finds the key by either name, and tries it again."""
        try:
            await self._world.run_sync(file.activate_next)
        except KeyFileError as error:
            log.error("%s", error)  # noqa: TRY400  # one line tells all
            return str(error)
        return ""

    async def _new_attempt(self) -> tuple[SealConfig, str, int]:
        record = await self._record()
        config = SealConfig(record.shares, record.threshold)
        return config, self._world.new_id(), self._world.now() + ATTEMPT_TTL

    def _proof(self, attempt: _RekeyAttempt) -> _ShareAttempt:
        return _ShareAttempt(attempt.new, self._world.new_id(), attempt.until)

    async def _record(self) -> SealRecord:
        row = await self._barrier.get(SYSTEM, SEAL_ROW)
        if row is None:
            raise RuntimeError("an open vault has a seal row")
        record = json_text.decode(row.value, type=SealRecord)
        try:
            record.check(self._barrier.root_key)
        except TamperedError:
            await self._barrier.refresh()  # another agent's root key may be in force
            raise
        return record

    async def _require_rekey_of(self, *, recovery: bool) -> None:
        """Raises `ValidationError` where there is no such key to be shared anew."""
        record = await self._record()
        if recovery and not record.is_wrapped:
            raise ValidationError(
                "recovery_unsupported", f"a seal of type {record.type} has no recovery key"
            )
        if record.is_wrapped and not recovery:
            raise ValidationError(
                "rekey_unsupported",
                "the root key of this vault is in no shares: rotate the key that wraps it with "
                "`freehold operator rotate-root`, or replace the recovery key's shares with "
                "`freehold operator rekey` (sys/rekey-recovery-key)",
            )

    async def _proven_key(self) -> Callable[[bytes], bytes]:
        """As `_prover`, with the key that was proven."""
        prove = await self._prover()

        def found(key: bytes) -> bytes:
            prove(key)
            return key

        return found

    async def _prover(self) -> Callable[[bytes], bool]:
        """What tells whether shares make the key that proves an operator."""
        record = await self._record()
        return partial(_check_recovery_key, record) if record.is_wrapped else self._check_root_key

    def _check_root_key(self, root_key: bytes) -> bool:
        """True for the root key. Raises `AuthenticationFailed`."""
        if not self._barrier.is_root_key(root_key):
            raise AuthenticationFailed("another root key")
        return True

    def _require_rekey(self) -> _RekeyAttempt:
        if self._rekey is None:
            raise _no_attempt_error("rekey")
        return self._rekey

    def _require_verification(self) -> tuple[_RekeyAttempt, _ShareAttempt]:
        attempt = self._rekey
        if attempt is None or attempt.verification is None:
            raise ValidationError(NO_ATTEMPT, "no rekey configuration found")
        return attempt, attempt.verification


def _key_of(wrapped: WrappedKey) -> tuple[str, str, str]:
    return wrapped.key, wrapped.version, wrapped.algorithm


def _rotated(wrapped: WrappedKey, before: WrappedKey | None) -> RotatedRootKey:
    return RotatedRootKey(
        provider=wrapped.provider,
        type=wrapped.type,
        key=wrapped.key,
        version=wrapped.version,
        algorithm=wrapped.algorithm,
        previous_key="" if before is None else before.key,
        previous_version="" if before is None else before.version,
    )


def mask_token(token: str, otp: str) -> str:
    """The token XOR the one-time password, in base64 without padding, as OpenBao encodes it."""
    mixed = bytes(a ^ b for a, b in zip(token.encode(), otp.encode(), strict=True))
    return b64encode(mixed).decode().rstrip("=")


def _one_time_password() -> str:
    """Characters of base62, each as likely as the others: as long as a token is."""
    text = ""
    while len(text) < TOKEN_LENGTH:
        text += "".join(BASE62[byte % 62] for byte in random_bytes(64) if byte < 4 * 62)
    return text[:TOKEN_LENGTH]


def _check_recovery_key(record: SealRecord, key: bytes) -> bool:
    """True for the recovery key. Raises `AuthenticationFailed`."""
    check_recovery_key(record, key)
    return True


def _check_same_key(key: bytes, wanted: bytes) -> bool:
    """True for the same. Raises `AuthenticationFailed`."""
    if key != wanted:
        raise AuthenticationFailed("another root key")
    return True


def _attempt_exists_error(what: str) -> ConflictError:
    return ConflictError(
        "attempt_in_progress", f"{what} already in progress; cancel it to begin anew"
    )


def _no_attempt_error(what: str) -> ValidationError:
    return ValidationError(NO_ATTEMPT, f"no {what} in progress")
