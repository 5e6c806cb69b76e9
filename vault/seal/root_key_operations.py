"""What people who hold the root key may do to an open vault: prove it, and replace it.

With shamir the root key is in people's shares; with a key file its one share is what the file
holds. Attempts are in memory only: a seal or a restart ends them, and what was in force stays.

Generating a root token and rekeying work as OpenBao's: an attempt has a nonce, shares are offered
one by one, and a set that does not fit is dropped whole, because nobody can tell which is wrong.
"""

import logging
from base64 import b64encode
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
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
from vault.errors import ConflictError, SetupError, ValidationError, VaultError
from vault.model.records import SystemRow
from vault.model.root_key import (
    NO_ATTEMPT,
    GenerateRootStatus,
    NewShares,
    RekeyResult,
    RekeyStatus,
    RotatedRootKey,
    VerificationStatus,
)
from vault.seal.manager import SEAL_ROW, wrap_root_key
from vault.seal.root_keys import NewRootKey
from vault.seal.root_keys.file import FileRootKey
from vault.seal.root_keys.provider import KeyProvider
from vault.seal.root_keys.shamir import ShamirRootKey, UnsealProgress
from vault.seal.root_keys.shares import SealConfig
from vault.seal.seal_record import SealRecord, check_recovery_key, recovery_verifier
from vault.store.interface import UNKNOWN
from vault.store.tables import SYSTEM

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
        self.required = config.threshold
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
        key_file: FileRootKey | None,
        world: World,
        *,
        mint_root_token: MintRootToken,
        suspend_peers: SuspendPeers,
        on_rekeyed: Callable[[], Awaitable[None]],
        request_seal: Callable[[], None],
        key_provider: KeyProvider | None = None,
    ) -> None:
        """`mint_root_token` makes one; `suspend_peers` takes the keys from the other processes.

        `on_rekeyed` is called once another root key is in force, `request_seal` when nobody knows
        which, or when another process has put one in force.
        """
        self._barrier = barrier
        self._key_file = key_file
        self._key_provider = key_provider
        self._world = world
        self._mint_root_token = mint_root_token
        self._suspend_peers = suspend_peers
        self._on_rekeyed = on_rekeyed
        self._request_seal = request_seal
        barrier.on_root_key_changed = request_seal
        self._generating: _GenerateRootAttempt | None = None
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
        if self._key_file is not None and (shares, threshold) != (1, 1):
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
            if self._key_file is not None:
                await self._at_key_file(self._key_file.require_folder)
            require_verification = (
                require_verification and self._key_file is None
            )  # the file is where it was written
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
            attempt.new_root = ShamirRootKey(attempt.new).create()
            if attempt.require_verification:
                attempt.verification = self._proof(attempt)
            return NewShares(
                nonce=attempt.nonce,
                shares=attempt.new_root.shares if self._key_file is None else (),
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
        new = replace(
            record,
            type=ShamirRootKey.kind if self._key_file is None else self._key_file.kind,
            shares=attempt.new.shares,
            threshold=attempt.new.threshold,
        )
        row = SystemRow(name=SEAL_ROW, value=new.encode())
        if self._key_file is not None:
            file, in_force = self._key_file, self._barrier.root_key
            await self._at_key_file(partial(file.write_next, made.root_key, current=in_force))
        async with self._suspend_peers() as tell:
            try:
                epoch = await self._barrier.rekey(made.root_key, row)
            except VaultError as error:
                if error.details.get("outcome") == UNKNOWN:
                    self._request_seal()  # nobody knows which key the stored keyring takes
                elif self._key_file is not None:
                    await self._world.run_sync(self._key_file.remove_next)
                raise
            tell(made.root_key, epoch)
        await self._end_attempts()
        return "" if self._key_file is None else await self._activate_next_key(self._key_file)

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
        self._rekey = self._generating = None
        await self._reload_seal()

    async def _reload_seal(self) -> None:
        try:
            await self._on_rekeyed()
        except VaultError as error:  # it is in force: an error would say that it is not
            log.error("the seal's state is read again at the next seal: %s", error)  # noqa: TRY400  # one line tells all

    # The key of the key provider.

    async def rotate_wrapping(self) -> RotatedRootKey:
        """Wrap the root key by the newest version of its key; made before, where the agent may.

        The root key stays, and whatever is open stays open. Raises `KeyProviderError`,
        `ValidationError` without a key provider, `ConflictError` where there is nothing newer, and
        what the store raises: then the former wrapping is in force.
        """
        provider = self._key_provider
        if provider is None:
            raise ValidationError(
                "root_key_not_wrapped",
                "no key provider wraps the root key of this vault: replace its shares or its file "
                "with `freehold operator rekey`",
            )
        async with self._lock:
            record = await self._record()
            before = record.wrapping_of(provider.name, provider.type)
            if before is None:
                raise RuntimeError("the provider has unsealed this vault")
            await provider.aclose()  # a session may not see keys that were made since
            if provider.creates_keys:
                await provider.create_version()
            root_key = self._barrier.root_key
            wrapped = await wrap_root_key(provider, root_key, record.org, record.vault)
            if (wrapped.key, wrapped.version, wrapped.algorithm) == (
                before.key, before.version, before.algorithm,
            ):  # fmt: skip
                raise ConflictError(
                    "root_key_version_current",
                    f"key {wrapped.key} has no version that is newer than {wrapped.version}: make "
                    "one with the provider's tools, then run this again",
                )
            await self._store_record(record, record.with_wrapping(wrapped))
        await self._reload_seal()
        return RotatedRootKey(
            provider=provider.name,
            type=provider.type,
            key=wrapped.key,
            version=wrapped.version,
            algorithm=wrapped.algorithm,
            previous_key=before.key,
            previous_version=before.version,
        )

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
        record.check(self._barrier.root_key)
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
