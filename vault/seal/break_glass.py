"""Break-glass: any k of n holders open the vault when its provider, file or shares are gone.

A set is made beforehand, while the vault is open (`BreakGlassSets`). Its use takes two things: a
person on the agent's machine who allows it (`PermitFile`), and k holders who bring their shares and
the code of that permit to the sealed agent (`BreakGlassOpening`). It is on record before the vault
opens, and counted in the keyring for ever (`UseRecorder`).
"""

import errno
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from hmac import compare_digest
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeVar
from zlib import crc32

import trio
from msgspec.structs import replace

from actors import World
from protocols.instant import rfc3339
from vault.audit.broker import AuditBroker
from vault.audit.record import MAX_TEXT, AuditEvent
from vault.barrier import BREAK_GLASS_ROW, KEYRING_ROW, Barrier, break_glass_tampered_error
from vault.crypto.break_glass import (
    BreakGlassRecord,
    BreakGlassSet,
    new_private_key,
    public_key_of,
)
from vault.crypto.errors import AuthenticationFailed, CryptoError, MalformedShare, UnsealRefused
from vault.crypto.keyring import Keyring
from vault.crypto.random import random_bytes
from vault.errors import AuthorizationError, ConflictError, ValidationError, VaultError
from vault.model.break_glass import BreakGlassProgress, BreakGlassState, NewBreakGlassSet
from vault.model.records import SystemRow
from vault.seal.anchor import acceptance
from vault.seal.anchor.acceptance import Acceptance, AcceptanceSubject
from vault.seal.anchor.anchor_writer import WRITE_TIMEOUT
from vault.seal.anchor.rollback_check import anchor_unavailable_error
from vault.seal.root_keys.shamir import ShamirRootKey, UnsealProgress
from vault.seal.root_keys.shares import SealConfig, split_root_key
from vault.store.store import Store
from vault.store.tables import SYSTEM
from vault.store.transaction import StoreTx

T = TypeVar("T")

OPERATION: Final = "sys.break_glass.open"
PATH: Final = "sys/break-glass/open"
MAX_FAILED_SETS: Final = 10
"""Sets of shares that do not fit, for one permit; then it takes another permit."""
MAX_SHARE_TEXT: Final = 128  # characters, of which a share has 89
CODE_BYTES: Final = 16
_PREFIX: Final = "fhbg"
_PARTS: Final = 4
_SET_BYTES: Final = 4  # of a set's random id, which tells sets apart and proves nothing
_CHECKSUM_DIGITS: Final = 8

log: Final = logging.getLogger("freehold.seal")


def encode_share(set_id: str, share: bytes) -> str:
    """`fhbg-SET-SHARE-CHECKSUM`, in hexadecimal digits."""
    body = f"{_PREFIX}-{set_id}-{share.hex()}"
    return f"{body}-{crc32(body.encode()):0{_CHECKSUM_DIGITS}x}"


def decode_share(text: str, set_id: str) -> bytes:
    """The share of that set. Raises `MalformedShare`, which says what is wrong with it."""
    parts = text.strip().lower().split("-")
    if len(text) > MAX_SHARE_TEXT or len(parts) != _PARTS or parts[0] != _PREFIX:
        raise MalformedShare(
            f"this is no break-glass share: one begins with {_PREFIX}-; shares that unseal, and "
            "recovery shares, are others"
        )
    body, checksum = "-".join(parts[:-1]), parts[-1]
    if f"{crc32(body.encode()):0{_CHECKSUM_DIGITS}x}" != checksum:
        raise MalformedShare("the share is mistyped: its checksum does not fit; enter it again")
    if parts[1] != set_id:
        raise MalformedShare(
            f"the share is of set {parts[1]}, and set {set_id} is in force: bring a share of that"
        )
    try:
        return bytes.fromhex(parts[2])
    except ValueError:
        raise MalformedShare("the share has other characters than hexadecimal digits") from None


# Sets, made and revoked while the vault is open.


class BreakGlassSets:
    """The break-glass sets of an open vault: one is in force at a time."""

    def __init__(
        self, barrier: Barrier, world: World, on_changed: Callable[[], Awaitable[None]]
    ) -> None:
        """`on_changed`: called once a set was made or revoked; what it raises is logged."""
        self._barrier = barrier
        self._world = world
        self._on_changed = on_changed

    async def state(self) -> BreakGlassState:
        """What may be shown. Raises as `Barrier.get_break_glass`."""
        return state_of(await self._barrier.get_break_glass())

    async def create(
        self, shares: int, threshold: int, made_by: str, *, replaces: bool
    ) -> NewBreakGlassSet:
        """Make a set, durably, and return its shares: they are told once.

        `replaces`: in the place of the set in force, whose shares open nothing from then on. Raises
        `ValidationError` for impossible numbers, `ConflictError` (`break_glass_exists`), and as
        `Barrier.change_break_glass`.
        """
        try:
            config = SealConfig(shares, threshold)
        except ValueError:
            config = SealConfig(1, 1)
        if config.threshold == 1:
            raise ValidationError(
                "break_glass_config_invalid",
                "a break-glass set needs 2 <= threshold <= shares <= 255",
                field="threshold",
            )
        private_key = new_private_key()
        made = BreakGlassSet(
            id=random_bytes(_SET_BYTES).hex(), shares=shares, threshold=threshold,
            public_key=public_key_of(private_key), sealed=b"", made_at=self._world.now(),
            made_by=made_by[:MAX_TEXT],
        )  # fmt: skip

        def change(record: BreakGlassRecord, root_key: bytes) -> BreakGlassRecord:
            if record.in_force is not None and not replaces:
                raise ConflictError(
                    "break_glass_exists",
                    f"break-glass set {record.in_force.id} is in force: give `replace` to make "
                    "another one in its place, whose shares then count alone",
                )
            return record.with_set(root_key, made)

        record = await self._barrier.change_break_glass(change)
        await self._notify()
        texts = [encode_share(made.id, each) for each in split_root_key(private_key, config)]
        return NewBreakGlassSet(state=state_of(record), shares=tuple(texts))

    async def _notify(self) -> None:
        try:
            await self._on_changed()
        except VaultError as error:  # the set is stored: an error would say that it is not
            log.error("the state of break-glass is read again at the next seal: %s", error)  # noqa: TRY400  # one line tells all

    async def revoke(self) -> BreakGlassState:
        """No shares open the vault from then on. Returns what was in force.

        Raises `ConflictError` (`break_glass_missing`), and as `Barrier.change_break_glass`.
        """
        before = list[BreakGlassRecord]()

        def change(record: BreakGlassRecord, root_key: bytes) -> BreakGlassRecord:
            if record.in_force is None:
                raise missing_error()
            before[:] = [record]
            return record.with_set(root_key, None)

        await self._barrier.change_break_glass(change)
        await self._notify()
        return state_of(before[0])


def state_of(record: BreakGlassRecord) -> BreakGlassState:
    """What may be shown of a record."""
    found = record.in_force
    if found is None:
        return BreakGlassState(uses=record.uses, used_at=record.used_at)
    return BreakGlassState(
        set=found.id,
        shares=found.shares,
        threshold=found.threshold,
        made_at=found.made_at,
        made_by=found.made_by,
        set_uses=found.uses,
        uses=record.uses,
        used_at=record.used_at,
    )


def missing_error() -> ConflictError:
    """The error for whoever needs a set where there is none."""
    return ConflictError(
        "break_glass_missing",
        "this vault has no break-glass set: make one with `freehold operator break-glass init` "
        "while it is open",
    )


# The permit, and the shares, at a sealed agent.


class BreakGlassPermit(Protocol):
    """That a person on the agent's machine allows an opening."""

    async def read(self) -> Acceptance | None:
        """The permit that is valid now. Raises `UnavailableError`."""
        ...

    async def remove(self) -> None:
        """It is used up. Raises `UnavailableError`."""
        ...


class NoPermit:
    """Nobody can allow anything."""

    async def read(self) -> Acceptance | None:
        """None."""
        return None

    async def remove(self) -> None:
        """There is none."""


class PermitFile:
    """A file beside the anchor, which `freehold operator break-glass allow` writes."""

    def __init__(self, anchor: Path, world: World) -> None:
        self._anchor = anchor
        self._world = world

    async def read(self) -> Acceptance | None:
        """See `BreakGlassPermit`. One without a code allows nothing."""
        found = await self._call(
            lambda: acceptance.read_acceptance(
                self._anchor, self._world.wall(), AcceptanceSubject.BREAK_GLASS
            )
        )
        return found if found is not None and found.code else None

    async def remove(self) -> None:
        """See `BreakGlassPermit`."""
        await self._call(
            lambda: acceptance.remove_acceptance(self._anchor, AcceptanceSubject.BREAK_GLASS)
        )

    async def _call(self, step: Callable[[], T]) -> T:
        try:
            with trio.fail_after(WRITE_TIMEOUT):
                return await self._world.run_sync(step, abandon_on_cancel=True)
        except trio.TooSlowError:
            error: OSError = TimeoutError(
                errno.ETIMEDOUT, f"no answer within {WRITE_TIMEOUT:g} s", str(self._anchor.parent)
            )
        except OSError as failure:
            error = failure
        raise anchor_unavailable_error(error) from error


def new_code() -> str:
    """The code of a permit: random, of 32 hexadecimal digits."""
    return random_bytes(CODE_BYTES).hex()


class BreakGlassUse(NamedTuple):
    """What an opening by break-glass is on record with."""

    set: str
    shares: int
    threshold: int
    reason: str


class BreakGlassKeys(NamedTuple):
    """What k shares have opened."""

    keyring: Keyring
    root_key: bytes
    use: BreakGlassUse

    def __repr__(self) -> str:
        return f"BreakGlassKeys({self.use!r})"


class BreakGlassOpening:
    """Collects shares for one permit at a time. In one task at a time."""

    def __init__(self, permit: BreakGlassPermit) -> None:
        self._permit = permit
        self._code = ""
        self._set = ""
        self._collected: ShamirRootKey | None = None
        self._failed = 0

    @property
    def progress(self) -> int:
        """How many distinct shares are in."""
        return 0 if self._collected is None else self._collected.progress().progress

    async def submit(
        self,
        text: str,
        code: str,
        record: BreakGlassRecord,
        decode: Callable[[bytes], Keyring],
    ) -> BreakGlassKeys | None:
        """Offer a share. None until there are enough; then what they open.

        `decode` makes the keyring of a root key. Raises `AuthorizationError` without a valid permit
        or with another code, `ConflictError` where there is no set, `ValidationError` for a share
        that is malformed, of another set or in already (progress stays) and for shares that do not
        fit (progress starts again), `TamperedError`, `UnavailableError`.
        """
        permit = await self._require_permit(code)
        found = record.in_force
        if found is None:
            raise missing_error()
        if (self._code, self._set) != (permit.code, found.id) or self._collected is None:
            if self._code != permit.code:
                self._failed = 0
            self._code, self._set = permit.code, found.id
            self._collected = ShamirRootKey(SealConfig(found.shares, found.threshold))
        before = self.progress
        try:
            share = decode_share(text, found.id)
            outcome = self._collected.submit_share(share, partial(_open_record, record, decode))
        except MalformedShare as error:
            raise ValidationError("share_invalid", str(error), field="share") from None
        except UnsealRefused:
            await self._count_failure()
            raise ValidationError(
                "shares_wrong",
                "the shares do not fit together: at least one is wrong; offer all of them again",
                field="share",
            ) from None
        if isinstance(outcome, UnsealProgress):
            if outcome.progress == before:
                raise ValidationError("share_repeated", "this share is in already", field="share")
            return None
        keyring, root_key = outcome
        use = BreakGlassUse(found.id, found.shares, found.threshold, permit.reason)
        return BreakGlassKeys(keyring, root_key, use)

    def reset(self) -> None:
        """Forget the shares offered so far."""
        self._collected = None

    async def _require_permit(self, code: str) -> Acceptance:
        permit = await self._permit.read()
        if permit is None:
            self.reset()
            raise AuthorizationError(
                "break_glass_not_allowed",
                "break-glass is not allowed at this agent now: run `freehold operator break-glass "
                "allow --reason REASON --config FILE` on its machine, and open within the hour",
            )
        if not compare_digest(permit.code.encode(), code.strip().lower().encode()):
            raise AuthorizationError(
                "break_glass_code_wrong",
                "this is not the code that `freehold operator break-glass allow` has printed last",
            )
        return permit

    async def _count_failure(self) -> None:
        self._failed += 1
        log.warning("break-glass: shares that do not fit together, time %d", self._failed)
        if self._failed >= MAX_FAILED_SETS:
            self.reset()
            await self._permit.remove()


def _open_record(
    record: BreakGlassRecord, decode: Callable[[bytes], Keyring], private_key: bytes
) -> tuple[Keyring, bytes]:
    """Raises `AuthenticationFailed` for another key, `TamperedError` where the right one fails."""
    if not record.has_private_key(private_key):
        raise AuthenticationFailed("another set's key")
    try:
        root_key = record.open_with(private_key)
        return decode(root_key), root_key
    except CryptoError:
        raise break_glass_tampered_error() from None


def progress_of(
    record: BreakGlassRecord | None, progress: int, *, sealed: bool, warning: str = ""
) -> BreakGlassProgress:
    """What anybody may ask."""
    found = None if record is None else record.in_force
    uses, used_at = (0, 0) if record is None else (record.uses, record.used_at)
    if found is None:
        return BreakGlassProgress(sealed=sealed, uses=uses, used_at=used_at, warning=warning)
    return BreakGlassProgress(
        sealed=sealed,
        set=found.id,
        shares=found.shares,
        threshold=found.threshold,
        progress=progress,
        uses=uses,
        used_at=used_at,
        warning=warning,
    )


# What a use leaves behind, before the vault opens.


class UseWriter(Protocol):
    """What is needed of `vault.seal.startup_checks.StartupState`."""

    @property
    def keyring(self) -> Keyring:
        """The one to go on with."""
        ...

    def require_same_keys(self, tx: StoreTx, root_key: bytes, keyring: Keyring) -> None:
        """Raise unless the stored keyring is an earlier epoch of `keyring`."""
        ...

    async def anchor_uses(self, keyring: Keyring) -> None:
        """Have the anchor say how often break-glass was used. Raises `UnavailableError`."""
        ...


@dataclass(frozen=True)
class UseRecorder:
    """Leaves the trace of an opening by break-glass. `actor` of its records: `break-glass`."""

    audit: AuditBroker
    store: Store
    world: World

    async def record(self, writer: UseWriter, root_key: bytes, use: BreakGlassUse) -> Keyring:
        """Put the use on record and count it; the keyring to go on with. Each step is durable.

        A crash between the steps leaves an intent without an outcome, and a vault that is sealed.
        Raises `UnavailableError` when no sink accepts, or database or anchor cannot be written, and
        `ConflictError` (`keyring_changed`).
        """
        keyring = writer.keyring.with_break_glass_use(self.world.now())
        number = keyring.break_glass_uses
        what = f"set {use.set}, {use.threshold} of {use.shares}, use {number}; reason: {use.reason}"
        intent = self._event("intent", what)
        await self.audit.record(intent)
        await self.store.commit(partial(self._count, writer, root_key, keyring))
        await writer.anchor_uses(keyring)
        await self.audit.record(replace(intent, phase="outcome"))
        at = rfc3339(keyring.break_glass_used_at)
        log.critical("the vault is opened by break-glass, use %d, at %s", number, at)
        return keyring

    def _count(self, writer: UseWriter, root_key: bytes, keyring: Keyring, tx: StoreTx) -> None:
        writer.require_same_keys(tx, root_key, keyring)
        tx.put(SYSTEM, SystemRow(name=KEYRING_ROW, value=keyring.encode(root_key)))
        store_uses(tx, root_key, keyring, counts=True)

    def _event(self, phase: str, what: str) -> AuditEvent:
        return AuditEvent(
            request_id=self.world.new_id(),
            phase=phase,
            operation=OPERATION,
            path=PATH,
            capability="",
            actor_id="break-glass",
            actor_name="break-glass",
            method="break-glass",
            credential="",
            ip="",
            user_agent="",
            dialect="service",
            result="ok",
            rule=what[:MAX_TEXT],
            alert=True,
        )


def store_uses(tx: StoreTx, root_key: bytes, keyring: Keyring, *, counts: bool = False) -> None:
    """Have the row say what the keyring does; `counts`: the set in force was used."""
    row = tx.get(SYSTEM, BREAK_GLASS_ROW)
    if row is None and not keyring.break_glass_uses:
        return
    try:
        found = BreakGlassRecord.decode(
            None if row is None else row.value, keyring.org, keyring.vault
        )
        if row is not None:
            found.check(root_key)
    except CryptoError:
        raise break_glass_tampered_error() from None
    uses, used_at = keyring.break_glass_uses, keyring.break_glass_used_at
    if (uses, used_at) == (found.uses, found.used_at):
        return
    new = found.with_uses(uses, used_at, counts=counts).authenticate(root_key)
    tx.put(SYSTEM, SystemRow(name=BREAK_GLASS_ROW, value=new.encode()))


def unverified_record(value: bytes | None, org: str, vault: str) -> BreakGlassRecord | None:
    """What a sealed vault shows of the row; None for one that is unreadable."""
    try:
        return BreakGlassRecord.decode(value, org, vault)
    except CryptoError:
        return None


def require_record(record: BreakGlassRecord | None) -> BreakGlassRecord:
    """Raises `TamperedError` for a row that was unreadable."""
    if record is None:
        raise break_glass_tampered_error()
    return record


def with_seen_uses(progress: BreakGlassProgress, uses: tuple[int, int]) -> BreakGlassProgress:
    """With the uses that an open vault's keyring has, where they are more."""
    return replace(
        progress, uses=max(progress.uses, uses[0]), used_at=max(progress.used_at, uses[1])
    )
