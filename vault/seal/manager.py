"""`SealManager`: initialize, unseal, run operations, seal. Nothing runs while it is sealed.

Sealed means that the data path does not exist: opening builds it (`open_core`) from the keyring,
sealing takes it down and drops the keys with it. So nothing behind the seal asks "am I sealed?".
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import trio
from msgspec import Struct
from msgspec.structs import replace

from actors import garbage_collector
from actors.world import World
from protocols import json_text
from vault.authn.methods.method import AuthSurface
from vault.barrier import BREAK_GLASS_ROW, KEYRING_ROW, ROOT_KEY_CHANGED
from vault.barrier import SEAL_ROW as SEAL_ROW
from vault.crypto.break_glass import BreakGlassRecord
from vault.crypto.errors import CryptoError, KeyFileError, MalformedShare, UnsealRefused
from vault.crypto.keyring import Keyring
from vault.crypto.random import random_bytes
from vault.errors import (
    ConflictError,
    SetupError,
    TamperedError,
    UnavailableError,
    ValidationError,
    VaultError,
)
from vault.model.break_glass import BreakGlassProgress
from vault.model.mounts import MountTable
from vault.model.operation import Operation, Origin, P, R
from vault.model.records import SystemRow
from vault.seal.break_glass import (
    BreakGlassKeys,
    BreakGlassOpening,
    BreakGlassPermit,
    BreakGlassUse,
    NoPermit,
    progress_of,
    require_record,
    unverified_record,
    with_seen_uses,
)
from vault.seal.configured_seal import ConfiguredSeal, ConfiguredSeals, seal_mismatch_error
from vault.seal.key_providers import KeyProviders, KeyProviderStatus, ProviderTrouble
from vault.seal.root_keys import NewRootKey
from vault.seal.root_keys.file import FileRootKey
from vault.seal.root_keys.shamir import ShamirRootKey, UnsealProgress
from vault.seal.root_keys.shares import ROOT_KEY_SIZE, SealConfig
from vault.seal.seal_record import SealRecord, check_recovery_key, recovery_verifier

log: Final = logging.getLogger("freehold.seal")
DRAIN_TIMEOUT: Final = (
    10.0  # seconds that operations in flight get before sealing takes the path down
)


class SealStatus(Struct, frozen=True, kw_only=True):
    """What anybody may ask."""

    type: str
    initialized: bool
    sealed: bool
    threshold: int = 0
    shares: int = 0
    progress: int = 0
    nonce: str = ""
    vault: str = ""
    refusing: str = ""
    """Why an open vault serves nothing; empty while it serves, or is sealed."""
    recovery_seal: bool = False
    """Whether a key provider unseals; `shares` and `threshold` are then the recovery key's."""
    waiting: str = ""
    """Which key providers do not unseal, why, and since when; empty while it is open."""
    migrating: bool = False
    """Whether the root key is kept otherwise than the configuration says, and can be moved."""
    key_providers: tuple[KeyProviderStatus, ...] = ()
    """Those of the configuration, in the order in which they are asked."""
    break_glass_uses: int = 0
    """How often break-glass holders have opened the vault, on any agent."""
    break_glass_used_at: int = 0
    """Unix ns, of the last time; 0: never."""


class InitResult(Struct, frozen=True, kw_only=True):
    """Shown once and kept nowhere: the shares and the first root token."""

    shares: tuple[bytes, ...]
    root_token: str
    recovery_shares: tuple[bytes, ...] = ()
    """Of the recovery key, of a vault that a key provider unseals; it has no other shares."""


class OperationRunner(Protocol):
    """What the seal needs of `vault.pipeline.Pipeline`."""

    async def run_operation(self, op: Operation[P, R]) -> R:
        """Run one operation."""

    async def knows(self, credential: str | None, origin: Origin) -> bool:
        """Whether a credential stands."""

    async def catch_up(self) -> None:
        """See what was acknowledged before."""


class Core(Struct, frozen=True):
    """An open data path."""

    pipeline: OperationRunner
    mounts: MountTable
    refusal_reason: Callable[[], str] = str
    """Why nothing is served though the vault is open; empty while it is."""
    auth: AuthSurface = AuthSurface()
    shut: Callable[[], object] = object
    """To be called: no other process of the agent answers anything new by itself."""
    break_glass_uses: Callable[[], tuple[int, int]] = lambda: (0, 0)
    """How often break-glass holders have opened the vault, and when last (Unix ns)."""


class SystemTable(Protocol):
    """The rows that can be read while sealed."""

    async def load_rows(self) -> Mapping[str, bytes]:
        """Every system row by name."""

    async def create_vault(
        self, keyring: Keyring, rows: list[SystemRow], root_token: str | None
    ) -> str:
        """Write the first rows and the first root token in one transaction; returns the token.

        Raises `ConflictError` (`initialized`).
        """


class UnsealKeys(NamedTuple):
    """What opens a vault. `by_operator`: somebody has brought the root key or its shares.

    Otherwise the agent has read its key file by itself, which does not end a seal that was ordered.
    `break_glass`: it was done by break-glass holders, and is to be on record as such.
    """

    keyring: Keyring
    root_key: bytes
    by_operator: bool
    break_glass: BreakGlassUse | None = None

    def __repr__(self) -> str:
        return f"UnsealKeys(by_operator={self.by_operator})"


OpenCore = Callable[[Keyring, bytes, bool, BreakGlassUse | None], AbstractAsyncContextManager[Core]]

KEY_FILE: Final = "key_file"
"""Code of the `UnavailableError` of a key file that does not open the vault."""
SEALED_ON_ORDER: Final = "sealed_on_order"
ROLLBACK_ACCEPTED: Final = "rollback_accepted"
OPERATOR_REQUIRED: Final = frozenset({SEALED_ON_ORDER, ROLLBACK_ACCEPTED})
"""Codes of the `UnavailableError` of an opening that takes a person."""


class SealManager:
    """One vault, open or shut. `run_until_cancelled` owns the open data path.

    Dialects see it as a `VaultService`.
    """

    def __init__(
        self,
        *,
        system_table: SystemTable,
        open_core: OpenCore,
        seals: ConfiguredSeals,
        org: str,
        world: World,
        check_paths: Callable[[], Awaitable[None]],
        break_glass_permit: BreakGlassPermit | None = None,
    ) -> None:
        """`check_paths` raises `VaultError` where a new vault could not be opened.

        `break_glass_permit`: what allows break-glass holders to open the vault; None: nothing does.
        """
        self._system_table = system_table
        self._open_core = open_core
        self._seals = seals
        self._org = org
        self._world = world
        self._check_paths = check_paths
        self._seal_record: SealRecord | None = None
        self._keyring_blob = b""
        self._share_collector: ShamirRootKey | None = None
        self._offered: list[bytes] = []  # as far as they are in the collector
        self._migration_shares: tuple[bytes, ...] = ()
        self._reopen_wanted = trio.Event()
        self._permit = break_glass_permit or NoPermit()
        self._break_glass = BreakGlassOpening(self._permit)
        self._break_glass_record: BreakGlassRecord | None = None  # not verified before it is opened
        self._core: Core | None = None
        self._in_flight = 0
        self.is_stopping = False
        """Whether load balancers are to send no further requests; those that come are served."""
        self._ends_process = False
        self._lock = trio.Lock()  # one init, unseal or seal at a time
        self._keys_receiver, self._keys_sender = _key_channel()
        self._open_attempted = trio.Event()
        self._open_error: VaultError | None = None
        self._by_operator = False
        self._seal_wanted = trio.Event()
        self._drained = trio.Event()
        self._seal_changed = trio.Condition()
        self.cluster_id = ""

    async def run_operation(self, op: Operation[P, R]) -> R:
        """Run an operation.

        Raises `UnavailableError` (`sealed`, `not_initialized`) while there is no data path.
        """
        core = self._core
        if core is None or self._seal_wanted.is_set():
            raise self._unavailable_error()
        self._in_flight += 1
        try:
            return await core.pipeline.run_operation(op)
        finally:
            self._leave()

    def _leave(self) -> None:
        self._in_flight -= 1
        if not self._in_flight and self._seal_wanted.is_set():
            self._drained.set()

    async def knows(self, credential: str | None, origin: Origin) -> bool:
        """Whether a credential is valid; no use is counted. Raises as `run_operation`."""
        core = self._core
        if core is None or self._seal_wanted.is_set():
            raise self._unavailable_error()
        self._in_flight += 1
        try:
            return await core.pipeline.knows(credential, origin)
        finally:
            self._leave()

    @property
    def mounts(self) -> MountTable:
        """The current mounts. Raises as `run_operation`."""
        if self._core is None:
            raise self._unavailable_error()
        return self._core.mounts

    @property
    def auth(self) -> AuthSurface:
        """The current auth mounts, and the methods. Raises as `run_operation`."""
        if self._core is None:
            raise self._unavailable_error()
        return self._core.auth

    def _unavailable_error(self) -> UnavailableError:
        """Why no operation is served."""
        if self._seal_record is None:
            return UnavailableError(
                "not_initialized",
                "Vault is not initialized: run `freehold operator init` once",
            )
        return UnavailableError("sealed", "Vault is sealed")

    async def catch_up(self) -> None:
        """See what any process or agent acknowledged before. Raises as `run_operation`."""
        core = self._core
        if core is None or self._seal_wanted.is_set():
            raise self._unavailable_error()
        self._in_flight += 1
        try:
            await core.pipeline.catch_up()
        finally:
            self._leave()

    @property
    def is_open(self) -> bool:
        """Whether operations are served."""
        return self._core is not None and not self._seal_wanted.is_set()

    def status(self) -> SealStatus:
        """What anybody may ask."""
        record, core = self._seal_record, self._core
        waiting = "" if self.is_open else "; ".join(map(str, self.provider_troubles))
        now = self._providers_now
        providers = () if now is None else now.status(record)
        if record is None:
            return SealStatus(
                type=self._seals.current.type,
                initialized=False,
                sealed=True,
                recovery_seal=self._seals.current.providers is not None,
                waiting=waiting,
                key_providers=providers,
            )
        progress = (
            self._share_collector.progress()
            if self._share_collector
            else UnsealProgress(0, 0, 0, "")
        )
        return SealStatus(
            type=record.type,
            initialized=True,
            sealed=not self.is_open,
            threshold=record.threshold,
            shares=record.shares,
            progress=progress.progress,
            nonce=progress.nonce,
            vault=record.vault,
            refusing="" if core is None or not self.is_open else self._refusal_reason(core),
            recovery_seal=record.is_wrapped,
            waiting=waiting,
            migrating=self._seals.is_migrating(record),
            key_providers=providers,
            break_glass_uses=self.break_glass_progress().uses,
            break_glass_used_at=self.break_glass_progress().used_at,
        )

    @property
    def provider_troubles(self) -> tuple[ProviderTrouble, ...]:
        """Of the key providers that the agent needs as it is: those that fail."""
        providers = self._providers_now
        return () if providers is None else providers.troubles

    @property
    def _providers_now(self) -> KeyProviders | None:
        """Of the seal in force; of the configured one without a vault, or if nothing opens it."""
        with suppress(UnavailableError):
            if self._seal_record is not None:
                return self._seals.in_force(self._seal_record).providers
        return self._seals.current.providers

    def _refusal_reason(self, core: Core) -> str:
        return "the agent stops" if self.is_stopping else core.refusal_reason()

    async def reload(self) -> None:
        """Read the system rows. Raises `UnavailableError` when the store does."""
        rows = await self._system_table.load_rows()
        if SEAL_ROW in rows:
            self._set_rows(rows)

    def _set_rows(self, rows: Mapping[str, bytes]) -> None:
        self._seal_record = record = json_text.decode(rows[SEAL_ROW], type=SealRecord)
        self._keyring_blob = rows[KEYRING_ROW]
        self._break_glass_record = unverified_record(
            rows.get(BREAK_GLASS_ROW), record.org, record.vault
        )
        config = SealConfig(record.shares, record.threshold)
        if self._share_collector is None or self._share_collector.config != config:
            self._share_collector = ShamirRootKey(config)

    async def initialize(
        self, shares: int, threshold: int, root_token: str | None = None
    ) -> InitResult:
        """Make the keys of a new vault and its first root token; leaves it sealed.

        `shares` and `threshold` are the root key's, or with a key provider the recovery key's.
        Raises `ConflictError` when it has been done, `ValidationError` for impossible numbers, and
        what `check_paths` and the key provider raise: then nothing is made.
        """
        async with self._lock:
            await self.reload()  # another agent may have done it
            if self._seal_record is not None:
                raise initialized_error()
            key_file, providers = self._seals.current.key_file, self._seals.current.providers
            await self._require_key_folder(key_file)
            await self._check_paths()
            new, config = await self._create_root_key(key_file, shares, threshold)
            now = self._world.now()
            keyring = Keyring.create(now, org=self._org, vault=self._world.new_id())
            record = SealRecord(
                type=self._seals.current.type, shares=config.shares, threshold=config.threshold,
                org=keyring.org, vault=keyring.vault, created_at=now,
            )  # fmt: skip
            root_key, made = new.root_key, InitResult(shares=new.shares, root_token="")
            if providers is not None:  # what was made is the recovery key
                root_key = random_bytes(ROOT_KEY_SIZE)
                wrapped = await providers.wrap_by_all(root_key, record.org, record.vault)
                verifier = recovery_verifier(new.root_key, record.org, record.vault)
                record = replace(record.with_wrappings(wrapped), recovery=verifier)
                record = record.authenticate(root_key)
                made = InitResult(shares=(), root_token="", recovery_shares=new.shares)
            rows = [
                SystemRow(name=SEAL_ROW, value=record.encode()),
                SystemRow(name=KEYRING_ROW, value=keyring.encode(root_key)),
            ]
            try:
                token = await self._system_table.create_vault(keyring, rows, root_token)
            except ConflictError:
                with suppress(VaultError):  # that another agent was quicker is what is told
                    await self.reload()
                raise
            self._set_rows({row.name: row.value for row in rows})
            return replace(made, root_token=token)

    async def unseal(self, share: bytes, *, migrate: bool = False) -> SealStatus:
        """Offer a share; at the last one needed the vault opens.

        The one share of a vault with a key file is what the file holds. `migrate`, with the last
        share: `take_migration_shares` has all of them then. Raises `ValidationError` for a
        malformed share or a set that does not fit together, and where `migrate` has nothing to do.
        """
        async with self._lock:
            if self.is_open:
                return self.status()
            await self.wait_sealed()
            await self.reload()  # another agent may have changed keyring or shares
            record = self._require_initialized()
            seal = self._seals.in_force(record)
            if migrate and not self._seals.is_migrating(record):
                raise no_migration_error()
            prove = self._prove_recovery if record.is_wrapped else self._decode
            before = self._initialized_share_collector.progress().progress
            try:
                outcome = self._initialized_share_collector.submit_share(share, prove)
            except MalformedShare as error:
                raise ValidationError("share_invalid", f"{error}", field="key") from None
            except UnsealRefused:
                self._offered.clear()
                raise ValidationError(
                    "unseal_failed",
                    "the shares do not fit together: at least one is wrong; start again",
                    field="key",
                ) from None
            except CryptoError:
                self._offered.clear()
                raise _keyring_tampered_error() from None
            if isinstance(outcome, UnsealProgress):
                if outcome.progress > before:
                    self._offered.append(share)
                return self.status()
            offered, self._offered = (*self._offered, share), []
            keyring, root_key = outcome or await self._unwrap(seal)
            await self._open(UnsealKeys(keyring, root_key, by_operator=True))
            if migrate:
                self._migration_shares = offered
            return self.status()

    def take_migration_shares(self) -> tuple[bytes, ...]:
        """The shares that have just unsealed the vault with `migrate`, once; else none."""
        taken, self._migration_shares = self._migration_shares, ()
        return taken

    def reset_unseal(self) -> SealStatus:
        """Forget the shares offered so far."""
        self._offered.clear()
        if self._share_collector is not None:
            self._share_collector.reset()
        return self.status()

    @property
    def break_glass_uses(self) -> tuple[int, int]:
        """How often break-glass holders have opened the vault, and when last (Unix ns; 0: never).

        Of an open vault what its keyring says; while it is sealed what its row does, unverified.
        """
        core, record = self._core, self._break_glass_record
        if core is not None and self.is_open:
            return core.break_glass_uses()
        return (0, 0) if record is None else (record.uses, record.used_at)

    def break_glass_progress(self, warning: str = "") -> BreakGlassProgress:
        """How far an opening by break-glass holders is. While sealed nothing of it is verified."""
        core, collected = self._core, self._break_glass.progress
        found = progress_of(
            self._break_glass_record, collected, sealed=not self.is_open, warning=warning
        )
        return found if core is None else with_seen_uses(found, core.break_glass_uses())

    async def submit_break_glass_share(self, share: str, code: str) -> BreakGlassProgress:
        """Offer a break-glass share; at the last one needed the vault opens.

        `code`: of the permit that a person on the agent's machine has written. Raises as
        `BreakGlassOpening.submit`, and what opening raises: then nothing is open, and the shares
        are to be offered again.
        """
        async with self._lock:
            if self.is_open:
                return self.break_glass_progress()
            await self.wait_sealed()
            await self.reload()
            self._require_initialized()
            record = require_record(self._break_glass_record)
            found = await self._break_glass.submit(share, code, record, self._decode_checked)
            if found is None:
                return self.break_glass_progress()
            return self.break_glass_progress(await self._open_by_break_glass(found))

    async def _open_by_break_glass(self, found: BreakGlassKeys) -> str:
        """What is left to be done by hand; empty: nothing."""
        keyring, root_key, use = found
        await self._open(UnsealKeys(keyring, root_key, by_operator=True, break_glass=use))
        with suppress(VaultError):  # the count is in the keyring, which is open
            await self.reload()
        record = self._require_initialized()
        file = None if record.is_wrapped else self._seals.in_force(record).key_file
        if file is None:
            return ""
        try:
            await self._world.run_sync(file.restore, root_key)
        except KeyFileError as error:
            return str(error)
        return ""

    def _decode_checked(self, root_key: bytes) -> Keyring:
        """Raises `CryptoError`, `TamperedError`."""
        keyring, _ = self._decode(root_key)
        self._require_initialized().check(root_key)
        return keyring

    async def is_break_glass_allowed(self) -> bool:
        """Whether a person on this machine allows an opening now."""
        try:
            return await self._permit.read() is not None
        except VaultError:
            return False

    async def auto_unseal(self) -> bool:
        """Open with the key file or the key provider, if this vault has one and is initialised.

        Says whether it did. A vault that was sealed on order stays sealed, and so does one of which
        something was set back. Raises `UnavailableError` when the file is missing, unsafe or of
        another vault, and `KeyProviderError`.
        """
        async with self._lock:
            if self.is_open:
                return False
            await self.wait_sealed()
            await self.reload()
            if self._seal_record is None:
                return False
            seal = self._seals.in_force(self._seal_record)
            if not seal.opens_alone:
                return False
            if seal.key_file is not None:
                keys = await self._decode_with_key_file(seal.key_file)
            else:
                keys = await self._unwrap(seal)
            try:
                await self._open(UnsealKeys(*keys, by_operator=False))
            except UnavailableError as error:
                if error.code not in OPERATOR_REQUIRED:
                    raise
                log.warning("%s", error.message)
                return False
            return True

    async def check_providers(self) -> None:
        """Look whether the key providers would unseal now; `provider_troubles` has what they say.

        Of a vault that is sealed only the keys are looked for: no root key is wanted here then.
        """
        with suppress(VaultError):  # of the database, too, which others watch
            await self.reload()  # another agent may have rotated a provider's key
            providers, record = self._providers_now, self._seal_record
            if providers is not None:
                await providers.check(record, verify=self._opens if self.is_open else None)

    def _opens(self, root_key: bytes) -> None:
        """Raises `CryptoError` for another root key."""
        self._decode(root_key)

    async def _unwrap(self, seal: ConfiguredSeal) -> tuple[Keyring, bytes]:
        """The keyring by a key provider. Raises `KeyProviderError`, `TamperedError`."""
        record = self._require_initialized()
        if seal.providers is None:
            raise seal_mismatch_error(record)
        keys = await seal.providers.unwrap(record, self._decode)
        record.check(keys[1])
        return keys

    def request_reopening(self) -> None:
        """Seal, as `request_seal`: another agent has put another root key in force.

        Whatever opens the vault alone does so again, by the new one.
        """
        self._reopen_wanted.set()
        self.request_seal()

    async def wait_reopening_wanted(self) -> None:
        """Return when the vault was sealed only to be opened by another root key. Once for each."""
        await self._reopen_wanted.wait()
        self._reopen_wanted = trio.Event()

    def request_seal(self, *, ends_process: bool = False) -> None:
        """Ask for sealing; it happens once the operations in flight are done.

        Nothing new is served from here on, by no process, whatever the disk does. `ends_process`:
        the keys' memory goes with the process, right after.
        """
        self._ends_process = ends_process
        self._seal_wanted.set()
        if self._core is not None:
            self._core.shut()

    async def wait_seal_requested(self) -> None:
        """Return when a vault that is open, or will be, is to be sealed."""
        async with self._seal_changed:
            while self._core is None:
                await self._seal_changed.wait()
        await self._seal_wanted.wait()

    async def wait_sealed(self) -> None:
        """Return when the data path is gone."""
        async with self._seal_changed:
            while self._core is not None:
                await self._seal_changed.wait()

    async def wait_seal_change(self) -> None:
        """Return when an open vault is sealed, or a sealed one open."""
        was = self.is_open
        async with self._seal_changed:
            while self.is_open is was:
                await self._seal_changed.wait()

    async def run_until_cancelled(
        self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Own the data path: open it when keys come, take it down when sealing is wanted."""
        task_status.started()
        while True:
            try:
                await self._run_core()
            except Exception as error:
                if self._open_attempted.is_set():
                    if not _is_root_key_change(error):
                        raise
                    log.warning("sealed, since another agent has changed the root key")
                elif not self._keep_open_error(error):
                    raise
            await self._on_core_closed()

    async def _run_core(self) -> None:
        """Once. The keys have no name out of here, nor here once the data path has them."""
        keys = await self._keys_receiver.receive()
        self._seal_wanted, self._drained = trio.Event(), trio.Event()
        async with self._open_core(*keys) as core:
            del keys
            self._core = core
            garbage_collector.freeze_new()
            self._open_attempted.set()
            try:
                await self._notify_seal_change()
                await self._seal_wanted.wait()
            finally:
                self._seal_wanted.set()  # nothing new comes in while the last ones finish
                core.shut()
                await self._drain()

    def _keep_open_error(self, error: Exception) -> bool:
        """Whether this answers the caller who unseals; it is kept for them without its frames."""
        refusal = _single_vault_error(error)
        if refusal is None:
            return False
        refusal.__cause__ = refusal.__context__ = None  # their frames hold the keys, as its own do
        self._open_error = refusal.with_traceback(None)
        if self._by_operator:  # otherwise it is what ends the start
            log.warning("the vault stays sealed: %s", str(refusal))
        self._open_attempted.set()
        return True

    async def _drain(self) -> None:
        with trio.CancelScope(shield=True), trio.move_on_after(DRAIN_TIMEOUT):
            if self._in_flight:
                await self._drained.wait()

    async def _on_core_closed(self) -> None:
        try:
            await self.reload()  # a rotation may have changed the keyring since
        except VaultError as error:
            log.error("the vault is sealed, and its database does not answer: %s", error)  # noqa: TRY400  # one line tells all
        self._core = None
        if not self._ends_process:
            garbage_collector.collect_all()  # before the seal is published: no keys left
        self._open_attempted = trio.Event()
        await self._notify_seal_change()

    async def _notify_seal_change(self) -> None:
        async with self._seal_changed:
            self._seal_changed.notify_all()

    async def _open(self, keys: UnsealKeys) -> None:
        """Hand the keys over; raises why the data path could not be built, and stays sealed."""
        self._open_error, self._by_operator = None, keys.by_operator
        await self._keys_sender.send(keys)
        await self._open_attempted.wait()
        if (refused := self._take_open_error()) is not None:
            try:
                raise refused
            finally:
                del refused

    def _take_open_error(self) -> VaultError | None:
        """Once raised it holds the frames, and the keys, of the caller who unseals: let it go."""
        refused, self._open_error = self._open_error, None
        return refused

    async def _decode_with_key_file(self, file: FileRootKey) -> tuple[Keyring, bytes]:
        """The keyring by the key file, or by its next one: a rekey may have been cut short."""
        with suppress(CryptoError):
            keys = self._decode(await self._world.run_sync(FileRootKey(file.next_path).load))
            try:
                await self._world.run_sync(file.activate_next)
            except KeyFileError as error:
                log.error("%s; each start tries it", error)  # noqa: TRY400  # one line tells all
            return keys
        try:
            return self._decode(await self._world.run_sync(file.load))
        except KeyFileError as error:
            raise UnavailableError("key_file", str(error)) from None
        except CryptoError:
            raise UnavailableError(
                "key_file",
                "the key file does not open this vault's keyring: put the one in place that the "
                "agent has which made the vault, or last changed its root key",
            ) from None

    def _prove_recovery(self, recovery_key: bytes) -> tuple[Keyring, bytes] | None:
        """None for the recovery key, which opens nothing. Raises `AuthenticationFailed`."""
        check_recovery_key(self._require_initialized(), recovery_key)
        return None

    def _decode(self, root_key: bytes) -> tuple[Keyring, bytes]:
        record = self._require_initialized()
        keyring = Keyring.decode(root_key, self._keyring_blob, org=record.org, vault=record.vault)
        return keyring, root_key

    @property
    def _initialized_share_collector(self) -> ShamirRootKey:
        if self._share_collector is None:
            raise RuntimeError("an initialised vault has a seal")
        return self._share_collector

    def _require_initialized(self) -> SealRecord:
        if self._seal_record is None:
            raise ValidationError("not_initialized", "Vault is not initialized")
        return self._seal_record

    async def _require_key_folder(self, key_file: FileRootKey | None) -> None:
        """Before anything is made. Raises `SetupError` where no key file could be written."""
        if key_file is not None:
            try:
                await self._world.run_sync(key_file.require_place)
            except KeyFileError as error:
                raise SetupError("key_file", str(error)) from None

    async def _create_root_key(
        self, key_file: FileRootKey | None, shares: int, threshold: int
    ) -> tuple[NewRootKey, SealConfig]:
        if key_file is not None:
            try:
                return await self._world.run_sync(key_file.create), SealConfig(1, 1)
            except KeyFileError as error:
                raise SetupError("key_file", str(error)) from None
        try:
            config = SealConfig(shares, threshold)
        except ValueError as error:
            raise ValidationError(
                "seal_config_invalid", str(error), field="secret_threshold"
            ) from None
        return ShamirRootKey(config).create(), config


def no_migration_error() -> ValidationError:
    """The error for a migration of a root key that is kept as the configuration says."""
    return ValidationError(
        "no_seal_migration",
        "can't perform a seal migration, no migration seal found: configure the new seal in "
        "`encryption`, and the present one in `encryption.migrate_from`, and restart the agent",
    )


def _keyring_tampered_error() -> TamperedError:
    return TamperedError(
        "keyring_tampered",
        "the stored keyring is damaged; restore the database from a backup",
    )


def initialized_error() -> ConflictError:
    """The error for whoever initializes a vault that is there."""
    return ConflictError("initialized", "Vault is already initialized")


def read_key_file_shares(key_file: Path) -> list[bytes]:
    """What a key file holds: the one share of its vault. Blocks. Raises `UnavailableError`.

    After a rekey that was cut short there are two files, in the order in which a start tries them.
    """
    file, found = FileRootKey(key_file), list[bytes]()
    with suppress(KeyFileError):
        found.append(FileRootKey(file.next_path).load())
    try:
        found.append(file.load())
    except KeyFileError as error:
        if not found:
            raise UnavailableError("key_file", str(error)) from None
    return found


def _key_channel() -> tuple[
    trio.MemoryReceiveChannel[UnsealKeys], trio.MemorySendChannel[UnsealKeys]
]:
    send, receive = trio.open_memory_channel[UnsealKeys](0)
    return receive, send


def _is_root_key_change(error: Exception) -> bool:
    """Whether nothing else ended the data path: what it stores at its end takes the root key."""
    if isinstance(error, ExceptionGroup):
        return all(map(_is_root_key_change, error.exceptions))
    return isinstance(error, UnavailableError) and error.code == ROOT_KEY_CHANGED


def _single_vault_error(error: Exception) -> VaultError | None:
    """The one `VaultError` in `error`, alone in its groups; None when there is anything else."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error if isinstance(error, VaultError) else None
