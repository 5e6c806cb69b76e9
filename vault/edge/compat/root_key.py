"""`sys/generate-root`, `sys/rekey`: a root token or another root key, by shares of the root key.

Under their old names and those that OpenBao 2.7 has given them, which take the same requests. Where
a key provider unseals the vault, the shares are the recovery key's, and so are new ones.
"""

from base64 import b64encode
from typing import Any, Final

import msgspec

from vault import operations
from vault.edge.compat.envelope import NO_CONTENT_REPLY, system_reply
from vault.edge.compat.fields import Fields
from vault.edge.compat.seal import refuse_pgp_keys
from vault.edge.dialect import Dialect, is_certainly_undone
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.edge.router import Router
from vault.edge.shares import decode_share
from vault.errors import ValidationError, VaultError
from vault.model.path import ResourcePath
from vault.model.payloads import Nothing
from vault.model.root_key import (
    AttemptNonce,
    GenerateRootStatus,
    NewShares,
    RekeyStatus,
    StartGenerateRoot,
    StartRekey,
    SubmitShare,
    VerificationStatus,
)

routes: Final = Router()
_ROOT: Final = ResourcePath.parse("sys/generate-root")
_REKEY: Final = ResourcePath.parse("sys/rekey")


@routes.add("GET", template="sys/generate-root/attempt", public=True)
@routes.add("GET", template="sys/generate-root-token/attempt", public=True)
async def root_state(dialect: Dialect, request: Request) -> Reply:
    """How far it is."""
    return _root_reply(
        request,
        await dialect.run_operation(request, operations.READ_GENERATE_ROOT, _ROOT, Nothing()),
    )


@routes.add("POST", template="sys/generate-root/attempt", public=True)
@routes.add("POST", template="sys/generate-root-token/attempt", public=True)
async def begin_root(dialect: Dialect, request: Request) -> Reply:
    """Begin; the one-time password is told here and never again."""
    fields = Fields.from_body(request)
    refuse_pgp_keys(fields, "pgp_key")
    payload = StartGenerateRoot(fields.text("otp"))
    return _root_reply(
        request,
        await dialect.run_operation(request, operations.START_GENERATE_ROOT, _ROOT, payload),
    )


@routes.add("DELETE", template="sys/generate-root/attempt", public=True)
@routes.add("DELETE", template="sys/generate-root-token/attempt", public=True)
async def cancel_root(dialect: Dialect, request: Request) -> Reply:
    """Give it up."""
    await dialect.run_operation(request, operations.CANCEL_GENERATE_ROOT, _ROOT, Nothing())
    return NO_CONTENT_REPLY


@routes.add("POST", template="sys/generate-root/update", public=True)
@routes.add("POST", template="sys/generate-root-token/update", public=True)
async def offer_root(dialect: Dialect, request: Request) -> Reply:
    """Offer a share; after the last one the token is told, masked with the one-time password."""
    found = await dialect.run_operation(
        request, operations.SUBMIT_GENERATE_ROOT_SHARE, _ROOT, _offered_share(request)
    )
    return _root_reply(request, found)


@routes.add("GET", template="sys/rekey/init")
@routes.add("GET", template="sys/rotate/root/init")
@routes.add("GET", template="sys/rekey-recovery-key/init")
@routes.add("GET", template="sys/rotate/recovery/init")
async def rekey_state(dialect: Dialect, request: Request) -> Reply:
    """How far it is."""
    return _rekey_reply(
        request, await dialect.run_operation(request, operations.READ_REKEY, _REKEY, Nothing())
    )


@routes.add("POST", template="sys/rekey/init")
@routes.add("POST", template="sys/rotate/root/init")
async def begin_rekey(dialect: Dialect, request: Request) -> Reply:
    """Begin: how many new shares, and how many of them unseal."""
    return await _start_rekey(dialect, request, recovery=False)


@routes.add("POST", template="sys/rekey-recovery-key/init")
@routes.add("POST", template="sys/rotate/recovery/init")
async def begin_recovery_rekey(dialect: Dialect, request: Request) -> Reply:
    """Begin: how many shares the recovery key gets, and how many of them are needed."""
    return await _start_rekey(dialect, request, recovery=True)


async def _start_rekey(dialect: Dialect, request: Request, *, recovery: bool) -> Reply:
    fields = Fields.from_body(request)
    refuse_pgp_keys(fields, "pgp_keys")
    if fields.boolean("backup"):
        raise ValidationError(
            "pgp_unsupported", "a backup needs pgp_keys, which are not supported", field="backup"
        )
    payload = StartRekey(
        shares=fields.integer("secret_shares") or 0,
        threshold=fields.integer("secret_threshold") or 0,
        verifies=bool(fields.boolean("require_verification")),
        recovery=recovery,
    )
    return _rekey_reply(
        request, await dialect.run_operation(request, operations.START_REKEY, _REKEY, payload)
    )


@routes.add("DELETE", template="sys/rekey/init")
@routes.add("DELETE", template="sys/rotate/root/init")
@routes.add("DELETE", template="sys/rekey-recovery-key/init")
@routes.add("DELETE", template="sys/rotate/recovery/init")
async def cancel_rekey(dialect: Dialect, request: Request) -> Reply:
    """Give it up: the old shares stay in force."""
    await dialect.run_operation(request, operations.CANCEL_REKEY, _REKEY, Nothing())
    return NO_CONTENT_REPLY


@routes.add("POST", template="sys/rekey/update")
@routes.add("POST", template="sys/rotate/root/update")
@routes.add("POST", template="sys/rekey-recovery-key/update")
@routes.add("POST", template="sys/rotate/recovery/update")
async def offer_rekey(dialect: Dialect, request: Request) -> Reply:
    """Offer an old share; after the last one the new ones are told.

    They are in force then, or once they are verified. Whoever has them is told so in any case:
    where it is not known, the old ones are to be kept too.
    """
    found = await dialect.run_operation(
        request, operations.SUBMIT_REKEY_SHARE, _REKEY, _offered_share(request)
    )
    if isinstance(found, RekeyStatus):
        return _rekey_reply(request, found)
    warnings = None if found.verification_required else await _commit(dialect, request, found)
    data = {
        "nonce": found.nonce,
        "complete": True,
        "keys": [share.hex() for share in found.shares],
        "keys_base64": [b64encode(share).decode() for share in found.shares],
        "pgp_fingerprints": None,
        "backup": False,
        "verification_required": found.verification_required,
        "verification_nonce": found.verification_nonce,
    }
    return system_reply(request, data, warnings=warnings)


async def _commit(dialect: Dialect, request: Request, found: NewShares) -> list[str] | None:
    """Have the new root key in force; what to say of it. Raises where it is not in force."""
    payload = AttemptNonce(found.nonce)
    try:
        done = await dialect.run_operation(
            request, operations.COMMIT_REKEY, _REKEY, payload, part=".commit"
        )
    except VaultError as error:
        if is_certainly_undone(error):
            raise
        return [f"keep the old shares too until the new ones have unsealed: {error.message}"]
    return [done.warning] if done.warning else None


@routes.add("GET", template="sys/rekey/verify")
@routes.add("GET", template="sys/rotate/root/verify")
@routes.add("GET", template="sys/rekey-recovery-key/verify")
@routes.add("GET", template="sys/rotate/recovery/verify")
async def verify_state(dialect: Dialect, request: Request) -> Reply:
    """How many of the new shares have been shown."""
    found = await dialect.run_operation(
        request, operations.READ_REKEY_VERIFICATION, _REKEY, Nothing()
    )
    return _verify_reply(request, found)


@routes.add("POST", template="sys/rekey/verify")
@routes.add("POST", template="sys/rotate/root/verify")
@routes.add("POST", template="sys/rekey-recovery-key/verify")
@routes.add("POST", template="sys/rotate/recovery/verify")
async def offer_verify(dialect: Dialect, request: Request) -> Reply:
    """Show a new share; after the last one they are in force."""
    found = await dialect.run_operation(
        request, operations.SUBMIT_VERIFICATION_SHARE, _REKEY, _offered_share(request)
    )
    return _verify_reply(request, found)


@routes.add("DELETE", template="sys/rekey/verify")
@routes.add("DELETE", template="sys/rotate/root/verify")
@routes.add("DELETE", template="sys/rekey-recovery-key/verify")
@routes.add("DELETE", template="sys/rotate/recovery/verify")
async def restart_verify(dialect: Dialect, request: Request) -> Reply:
    """Show them from the first one on, under a new nonce."""
    found = await dialect.run_operation(request, operations.RESTART_VERIFICATION, _REKEY, Nothing())
    return _verify_reply(request, found)


@routes.add("GET", template="sys/rekey/backup")
@routes.add("GET", template="sys/rotate/root/backup")
@routes.add("GET", template="sys/rekey-recovery-key/backup")
@routes.add("GET", template="sys/rotate/recovery/backup")
async def backup(dialect: Dialect, request: Request) -> Reply:
    """There is none: only shares that PGP keys have sealed would be kept."""
    await dialect.run_operation(request, operations.READ_REKEY, _REKEY, Nothing())
    raise ValidationError("no_backup", "no backed-up keys found")


def _offered_share(request: Request) -> SubmitShare:
    fields = Fields.from_body(request)
    return SubmitShare(decode_share(fields.text("key")), fields.text("nonce"))


def _root_reply(request: Request, state: GenerateRootStatus) -> Reply:
    data = msgspec.structs.asdict(state)
    more = {"encoded_root_token": state.encoded_token, "pgp_fingerprint": ""}
    return system_reply(request, data | more)


def _rekey_reply(request: Request, state: RekeyStatus) -> Reply:
    return system_reply(
        request, msgspec.structs.asdict(state) | {"pgp_fingerprints": None, "backup": False}
    )


def _verify_reply(request: Request, state: VerificationStatus) -> Reply:
    data: dict[str, Any] = msgspec.structs.asdict(state)
    if state.complete:
        data = {"nonce": state.nonce, "complete": True}
    return system_reply(request, data)
