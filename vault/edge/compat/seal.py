"""`sys/init`, `sys/unseal`, `sys/seal`; the key-encryption key: `sys/key-status`, `sys/rotate`."""

from base64 import b64encode
from typing import Final

from msgspec.structs import replace

from protocols.instant import rfc3339
from vault import operations
from vault.edge.compat.envelope import NO_CONTENT_REPLY, plain_reply, system_reply
from vault.edge.compat.fields import Fields
from vault.edge.compat.health import SealBody
from vault.edge.dialect import Dialect
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.edge.router import Router
from vault.edge.shares import decode_share
from vault.errors import UnavailableError, ValidationError
from vault.model.path import ResourcePath
from vault.model.payloads import Nothing
from vault.model.root_key import SealMigrationStatus, SubmitShare

routes: Final = Router()
_PGP: Final = ("pgp_keys", "recovery_pgp_keys", "root_token_pgp_key")  # of `sys/init`
_SHARES: Final = ("secret_shares", "secret_threshold")
_UNSEAL: Final = ResourcePath.parse("sys/unseal")
_RECOVERY: Final = ("recovery_shares", "recovery_threshold")


@routes.add("GET", template="sys/init", public=True)
async def is_initialised(dialect: Dialect, _request: Request) -> Reply:
    """Whether it has been done."""
    return plain_reply({"initialized": dialect.service.status().initialized})


@routes.add("POST", template="sys/init", public=True)
async def initialise(dialect: Dialect, request: Request) -> Reply:
    """Make the keys. The shares and the root token are told here and never again."""
    fields = Fields.from_body(request)
    refuse_pgp_keys(fields, *_PGP)
    status = dialect.service.status()
    asked, others = (_RECOVERY, _SHARES) if status.recovery_seal else (_SHARES, _RECOVERY)
    if refused := [name for name in (*others, "stored_shares") if fields.integer(name)]:
        names = ",".join(refused)
        raise ValidationError(
            "recovery_unsupported",
            f"parameters {names} not applicable to seal type {status.type}",
            field=refused[0],
        )
    shares, threshold = (fields.integer(name) or 0 for name in asked)
    new = await dialect.service.initialize(shares, threshold)
    told: dict[str, object] = {
        "keys": [share.hex() for share in new.shares],
        "keys_base64": [b64encode(share).decode() for share in new.shares],
        "root_token": new.root_token,
    }
    if new.recovery_shares:
        told["recovery_keys"] = [share.hex() for share in new.recovery_shares]
        told["recovery_keys_base64"] = [b64encode(s).decode() for s in new.recovery_shares]
    try:
        await dialect.service.auto_unseal()  # with file or provider there is nobody to wait for
    except UnavailableError as error:  # the token is shown once: it is told all the same
        return plain_reply(
            {**told, "warnings": [f"the vault was made and is sealed: {error.message}"]}
        )
    return plain_reply(told)


@routes.add("POST", template="sys/unseal", public=True)
async def unseal(dialect: Dialect, request: Request) -> Reply:
    """Offer a share, in hex or base64; or begin again.

    The one share of a vault with a key file is what the file holds: whoever has nothing to show
    does not end a seal that somebody has ordered. With `migrate` the root key is moved to the seal
    of the configuration once there are enough shares, of an open vault too.
    """
    fields, service = Fields.from_body(request), dialect.service
    if fields.boolean("reset"):
        if service.is_open:
            raise ValidationError("unsealed", "vault is unsealed")
        return plain_reply(SealBody.of(service.reset_unseal()))
    share = decode_share(fields.text("key"), ", or 'reset' set to true")
    migrate = bool(fields.boolean("migrate"))
    shares: tuple[bytes, ...] = (share,)
    if not service.is_open:
        status = await service.unseal(share, migrate=migrate)
        if status.sealed or not migrate:
            return plain_reply(SealBody.of(status))
        shares = service.take_migration_shares()
    elif not migrate:
        return plain_reply(SealBody.of(service.status()))
    moved: SealMigrationStatus | None = None
    for each in shares:
        moved = await dialect.run_operation(
            request, operations.UNSEAL_MIGRATE, _UNSEAL, SubmitShare(each, "")
        )
    body = SealBody.of(service.status())
    if moved is not None and not moved.complete:
        body = replace(body, progress=moved.progress, nonce=moved.nonce)
    return plain_reply(body)


@routes.add("POST", template="sys/seal")
async def seal(dialect: Dialect, request: Request) -> Reply:
    """Take the data path down; the answer comes when it is gone. Sealed already: done."""
    if dialect.service.is_open:
        await dialect.run_operation(
            request, operations.SEAL, ResourcePath.parse("sys/seal"), Nothing()
        )
    await dialect.service.wait_sealed()
    return NO_CONTENT_REPLY


@routes.add("GET", template="sys/key-status")
async def key_status(dialect: Dialect, request: Request) -> Reply:
    """The generation of the key-encryption key, and how often it was used."""
    path = ResourcePath.parse("sys/key-status")
    status = await dialect.run_operation(request, operations.READ_KEY_STATUS, path, Nothing())
    keyring = status.keyring
    return system_reply(
        request,
        {
            "term": keyring.generation,
            "install_time": rfc3339(keyring.created_at),
            "encryptions": keyring.uses,
        },
    )


@routes.add("POST", template="sys/rotate")
@routes.add("POST", template="sys/rotate/keyring")
async def rotate(dialect: Dialect, request: Request) -> Reply:
    """Make a new generation of the key-encryption key."""
    await dialect.run_operation(
        request, operations.ROTATE_KEY, ResourcePath.parse("sys/rotate"), Nothing()
    )
    return NO_CONTENT_REPLY


def refuse_pgp_keys(fields: Fields, *names: str) -> None:
    """Ignoring a key would tell in clear what is asked for sealed. Raises `ValidationError`."""
    for name in names:
        if fields.value(name):
            raise ValidationError(
                "pgp_unsupported", f"{name} is not supported: shares are told in clear", field=name
            )
