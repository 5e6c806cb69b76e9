"""The gate: shut while the vault is sealed. Initialise, unseal, run operations, seal.

Sealed means that the data path does not exist: opening builds it (`open_unit`) from the keyring,
sealing takes it down and drops the keys with it. So nothing behind the gate asks "am I sealed?".
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import msgspec
import trio
from msgspec import Struct

from actors import garbage_collector
from actors.world import World
from protocols import json_text
from vault.crypto.errors import CryptoError, KeyFileError, MalformedShare, UnsealRefused
from vault.crypto.kek import NewRoot
from vault.crypto.kek.file import FileRootKey
from vault.crypto.kek.shamir import Progress, ShamirRootKey
from vault.crypto.keyring import Keyring
from vault.crypto.unseal import SealConfig
from vault.errors import (
    ConflictError,
    SetupError,
    TamperedError,
    UnavailableError,
    ValidationError,
    VaultError,
)
from vault.model.mounts import MountBook
from vault.model.operation import Operation, Origin
from vault.model.records import SystemRow

log: Final = logging.getLogger("freehold.gate")
DRAIN: Final = 10.0  # seconds that operations in flight get before sealing takes the path down


class SealRecord(Struct, frozen=True, kw_only=True):
    """What must be known while sealed; kept in clear in the system table."""

    type: str
    shares: int
    threshold: int
    org: str
    vault: str
    created_at: int


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


class Initialised(Struct, frozen=True, kw_only=True):
    """Shown once and kept nowhere: the shares and the first root token."""

    shares: tuple[bytes, ...]
    root_token: str


class Pipeline(Protocol):
    """What the gate asks of `vault.pipeline.Pipeline`."""

    async def run(self, op: Operation) -> object:
        """Run one operation."""

    async def knows(self, credential: str | None, origin: Origin) -> bool:
        """Whether a credential stands."""


class Unit(Struct, frozen=True):
    """An open data path."""

    pipeline: Pipeline
    mounts: MountBook
    refusal: Callable[[], str] = str
    """Why nothing is served though the vault is open; empty while it is."""
    shut: Callable[[], object] = object
    """To be called: no other process of the agent answers anything new by itself."""


class SystemTable(Protocol):
    """The rows that can be read while sealed."""

    async def load(self) -> Mapping[str, bytes]:
        """Every system row by name."""

    async def create(self, keyring: Keyring, rows: list[SystemRow], root_token: str | None) -> str:
        """Write the first rows and the first root token in one transaction; returns the token."""


class Keys(NamedTuple):
    """What opens a vault. `by_person`: somebody has brought the root key or its shares.

    Otherwise the agent has read its key file by itself, which does not end a seal that was ordered.
    """

    keyring: Keyring
    root_key: bytes
    by_person: bool

    def __repr__(self) -> str:
        return f"Keys(by_person={self.by_person})"


OpenUnit = Callable[[Keyring, bytes, bool], AbstractAsyncContextManager[Unit]]

SEAL_ROW: Final = "seal"
KEYRING_ROW: Final = "keyring"
SEALED_ON_ORDER: Final = "sealed_on_order"
ROLLBACK_ACCEPTED: Final = "rollback_accepted"
NEED_PERSON: Final = frozenset({SEALED_ON_ORDER, ROLLBACK_ACCEPTED})
"""Codes of the `UnavailableError` of an opening that takes a person."""


class Gate:
    """One vault, open or shut. `run_until_cancelled` owns the open data path."""

    def __init__(
        self,
        *,
        system: SystemTable,
        open_unit: OpenUnit,
        key_file: FileRootKey | None,
        org: str,
        world: World,
        try_out: Callable[[], Awaitable[None]],
    ) -> None:
        """`try_out` raises `VaultError` where a new vault could not be opened."""
        self._system = system
        self._open_unit = open_unit
        self._key_file = key_file
        self._org = org
        self._world = world
        self._try_out = try_out
        self._record: SealRecord | None = None
        self._keyring_blob = b""
        self._shares: ShamirRootKey | None = None
        self._unit: Unit | None = None
        self._unread = False  # the system rows may have changed since they were read
        self._in_flight = 0
        self._lock = trio.Lock()  # one init, unseal or seal at a time
        self._keys, self._keys_in = _slot()
        self._opened = trio.Event()
        self._refused: VaultError | None = None
        self._by_person = False
        self._seal_wanted = trio.Event()
        self._drained = trio.Event()
        self._idle = trio.Condition()
        self.cluster_id = ""

    async def run(self, op: Operation) -> object:
        """Run an operation.

        Raises `UnavailableError` (`sealed`, `not_initialized`) while there is no data path.
        """
        unit = self._unit
        if unit is None or self._seal_wanted.is_set():
            raise self._shut()
        self._in_flight += 1
        try:
            return await unit.pipeline.run(op)
        finally:
            self._leave()

    def _leave(self) -> None:
        self._in_flight -= 1
        if not self._in_flight and self._seal_wanted.is_set():
            self._drained.set()

    async def knows(self, credential: str | None, origin: Origin) -> bool:
        """Whether a credential stands; no use of it is counted. Raises as `run`."""
        unit = self._unit
        if unit is None or self._seal_wanted.is_set():
            raise self._shut()
        self._in_flight += 1
        try:
            return await unit.pipeline.knows(credential, origin)
        finally:
            self._leave()

    @property
    def mounts(self) -> MountBook:
        """The current mounts. Raises as `run`."""
        if self._unit is None:
            raise self._shut()
        return self._unit.mounts

    def _shut(self) -> UnavailableError:
        """Why no operation is served."""
        if self._record is None:
            return UnavailableError(
                "not_initialized",
                "Vault is not initialized: run `freehold operator init` once",
            )
        return UnavailableError("sealed", "Vault is sealed")

    @property
    def is_open(self) -> bool:
        """Whether operations are served."""
        return self._unit is not None

    def status(self) -> SealStatus:
        """What anybody may ask."""
        record = self._record
        kind = "shamir" if self._key_file is None else self._key_file.kind
        if record is None:
            return SealStatus(type=kind, initialized=False, sealed=True)
        progress = self._shares.progress() if self._shares else Progress(0, 0, 0, "")
        return SealStatus(
            type=record.type,
            initialized=True,
            sealed=self._unit is None,
            threshold=record.threshold,
            shares=record.shares,
            progress=progress.progress,
            nonce=progress.nonce,
            vault=record.vault,
            refusing="" if self._unit is None else self._unit.refusal(),
        )

    async def load(self) -> None:
        """Read the system rows. Raises `UnavailableError` when the store does."""
        rows = await self._system.load()
        if SEAL_ROW not in rows:
            return
        self._record = record = json_text.decode(rows[SEAL_ROW], type=SealRecord)
        self._keyring_blob = rows[KEYRING_ROW]
        config = SealConfig(record.shares, record.threshold)
        if self._shares is None or self._shares.config != config:
            self._shares = ShamirRootKey(config)

    async def initialise(
        self, shares: int, threshold: int, root_token: str | None = None
    ) -> Initialised:
        """Make the keys of a new vault and its first root token; leaves it sealed.

        Raises `ConflictError` when it has been done, `ValidationError` for impossible numbers, and
        what `try_out` raises: then nothing is made.
        """
        async with self._lock:
            if self._record is not None:
                raise ConflictError("initialized", "Vault is already initialized")
            await self._require_key_folder()
            await self._try_out()
            new, config = await self._new_root(shares, threshold)
            now = self._world.now()
            keyring = Keyring.create(now, org=self._org, vault=self._world.new_id())
            record = SealRecord(
                type=ShamirRootKey.kind if self._key_file is None else self._key_file.kind,
                shares=config.shares, threshold=config.threshold,
                org=keyring.org, vault=keyring.vault, created_at=now,
            )  # fmt: skip
            rows = [
                SystemRow(name=SEAL_ROW, value=msgspec.json.encode(record)),
                SystemRow(name=KEYRING_ROW, value=keyring.encode(new.root_key)),
            ]
            token = await self._system.create(keyring, rows, root_token)
            await self.load()
            return Initialised(shares=new.shares, root_token=token)

    async def unseal(self, share: bytes) -> SealStatus:
        """Offer a share; at the last one needed the vault opens.

        The one share of a vault with a key file is what the file holds. Raises `ValidationError`
        for a malformed share or a set that does not fit together.
        """
        async with self._lock:
            self._need_initialised()
            if self._unit is not None:
                return self.status()
            await self._read_again()
            try:
                outcome = self._collected.offer(share, self._decode)
            except MalformedShare as error:
                raise ValidationError("share_invalid", f"{error}", field="key") from None
            except UnsealRefused:
                raise ValidationError(
                    "unseal_failed",
                    "the shares do not fit together: at least one is wrong; start again",
                    field="key",
                ) from None
            except CryptoError:
                raise TamperedError(
                    "keyring_tampered",
                    "the stored keyring is damaged; restore the database from a backup",
                ) from None
            if not isinstance(outcome, Progress):
                await self._open(Keys(*outcome, by_person=True))
            return self.status()

    def reset_unseal(self) -> SealStatus:
        """Forget the shares offered so far."""
        if self._shares is not None:
            self._shares.reset()
        return self.status()

    async def unseal_alone(self) -> bool:
        """Open with the key file, if this vault has one and is initialised; says whether it did.

        A vault that was sealed on order stays sealed, and so does one of which something was set
        back. Raises `UnavailableError` when the file is
        missing, unsafe or of another vault.
        """
        async with self._lock:
            if self._key_file is None or self._record is None or self._unit is not None:
                return False
            await self._read_again()
            if self._record.type != self._key_file.kind:
                raise UnavailableError(
                    "seal_mismatch",
                    f"the vault was initialised with key_management {self._record.type}",
                )
            keys = await self._from_file(self._key_file)
            try:
                await self._open(Keys(*keys, by_person=False))
            except UnavailableError as error:
                if error.code not in NEED_PERSON:
                    raise
                log.warning("%s", error.message)
                return False
            return True

    def want_seal(self) -> None:
        """Ask for sealing; it happens once the operations in flight are done.

        Nothing new is served from here on, by no process, whatever the disk does.
        """
        self._seal_wanted.set()
        if self._unit is not None:
            self._unit.shut()

    async def wait_sealed(self) -> None:
        """Return when the data path is gone."""
        async with self._idle:
            while self._unit is not None:
                await self._idle.wait()

    async def wait_turned(self) -> None:
        """Return when an open vault is sealed, or a sealed one open."""
        was = self.is_open
        async with self._idle:
            while self.is_open is was:
                await self._idle.wait()

    async def run_until_cancelled(
        self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Own the data path: open it when keys come, take it down when sealing is wanted."""
        task_status.started()
        while True:
            try:
                await self._stay_open()
            except Exception as error:
                if self._opened.is_set() or not self._is_refused(error):
                    raise
            await self._closed()

    async def _stay_open(self) -> None:
        """Once. The keys have no name out of here, nor here once the data path has them."""
        keys = await self._keys.receive()
        self._seal_wanted, self._drained = trio.Event(), trio.Event()
        async with self._open_unit(*keys) as unit:
            del keys
            self._unit = unit
            garbage_collector.freeze_new()
            self._opened.set()
            try:
                await self._turned()
                await self._seal_wanted.wait()
            finally:
                self._seal_wanted.set()  # nothing new comes in while the last ones finish
                unit.shut()
                await self._drain()

    def _is_refused(self, error: Exception) -> bool:
        """Whether this is an answer to who unseals; it is given to him, without its frames."""
        refusal = _refusal(error)
        if refusal is None:
            return False
        refusal.__cause__ = refusal.__context__ = None  # their frames hold the keys, as its own do
        self._refused = refusal.with_traceback(None)
        if self._by_person:  # otherwise it is what ends the start
            log.warning("the vault stays sealed: %s", str(refusal))
        self._opened.set()
        return True

    async def _drain(self) -> None:
        with trio.CancelScope(shield=True), trio.move_on_after(DRAIN):
            if self._in_flight:
                await self._drained.wait()

    async def _closed(self) -> None:
        try:
            await self.load()  # a rotation may have changed the keyring since
        except VaultError as error:
            log.error("the vault is sealed, and its database does not answer: %s", error)  # noqa: TRY400  # one line tells all
            self._unread = True
        self._unit = None
        garbage_collector.collect_all()  # before anybody is told that it is sealed: no keys left
        self._opened = trio.Event()
        await self._turned()

    async def _read_again(self) -> None:
        if self._unread:
            await self.load()
            self._unread = False

    async def _turned(self) -> None:
        async with self._idle:
            self._idle.notify_all()

    async def _open(self, keys: Keys) -> None:
        """Hand the keys over; raises why the data path could not be built, and stays sealed."""
        self._refused, self._by_person = None, keys.by_person
        await self._keys_in.send(keys)
        await self._opened.wait()
        if (refused := self._taken_refusal()) is not None:
            try:
                raise refused
            finally:
                del refused

    def _taken_refusal(self) -> VaultError | None:
        """Once raised it holds the frames of who unseals, and his keys: it is kept no longer."""
        refused, self._refused = self._refused, None
        return refused

    async def _from_file(self, file: FileRootKey) -> tuple[Keyring, bytes]:
        """The keyring by the key file, or by its next one: a rekey may have been cut short."""
        with suppress(CryptoError):
            keys = self._decode(await self._world.run_sync(FileRootKey(file.next).load))
            try:
                await self._world.run_sync(file.take_next)
            except KeyFileError as error:
                log.error("%s; each start tries it", error)  # noqa: TRY400  # one line tells all
            return keys
        try:
            return self._decode(await self._world.run_sync(file.load))
        except KeyFileError as error:
            raise UnavailableError("key_file", str(error)) from None
        except CryptoError:
            raise UnavailableError(
                "key_file", "the key file does not open this vault's keyring"
            ) from None

    def _decode(self, root_key: bytes) -> tuple[Keyring, bytes]:
        record = self._need_initialised()
        keyring = Keyring.decode(root_key, self._keyring_blob, org=record.org, vault=record.vault)
        return keyring, root_key

    @property
    def _collected(self) -> ShamirRootKey:
        if self._shares is None:
            raise RuntimeError("an initialised vault has a seal")
        return self._shares

    def _need_initialised(self) -> SealRecord:
        if self._record is None:
            raise ValidationError("not_initialized", "Vault is not initialized")
        return self._record

    async def _require_key_folder(self) -> None:
        """Before anything is made. Raises `SetupError` where no key file could be written."""
        if self._key_file is not None:
            try:
                await self._world.run_sync(self._key_file.require_place)
            except KeyFileError as error:
                raise SetupError("key_file", str(error)) from None

    async def _new_root(self, shares: int, threshold: int) -> tuple[NewRoot, SealConfig]:
        if self._key_file is not None:
            try:
                return await self._world.run_sync(self._key_file.initialise), SealConfig(1, 1)
            except KeyFileError as error:
                raise SetupError("key_file", str(error)) from None
        try:
            config = SealConfig(shares, threshold)
        except ValueError as error:
            raise ValidationError(
                "seal_config_invalid", str(error), field="secret_threshold"
            ) from None
        return ShamirRootKey(config).initialise(), config


def shares_in(key_file: Path) -> list[bytes]:
    """What a key file holds: the one share of its vault. Blocks. Raises `UnavailableError`.

    After a rekey that was cut short there are two files, in the order in which a start tries them.
    """
    file, found = FileRootKey(key_file), list[bytes]()
    with suppress(KeyFileError):
        found.append(FileRootKey(file.next).load())
    try:
        found.append(file.load())
    except KeyFileError as error:
        if not found:
            raise UnavailableError("key_file", str(error)) from None
    return found


def _slot() -> tuple[trio.MemoryReceiveChannel[Keys], trio.MemorySendChannel[Keys]]:
    send, receive = trio.open_memory_channel[Keys](0)
    return receive, send


def _refusal(error: Exception) -> VaultError | None:
    """The one `VaultError` in `error`, alone in its groups; None when there is anything else."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error if isinstance(error, VaultError) else None
