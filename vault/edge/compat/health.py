"""`sys/health`, `sys/seal-status`, `sys/leader`: what anybody may ask, sealed or not."""

from typing import Final

from msgspec import UNSET, Struct, UnsetType

from protocols.instant import SECOND, rfc3339
from vault.edge.compat.envelope import errors_reply, plain_reply
from vault.edge.dialect import Dialect
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.edge.router import Router
from vault.seal.key_providers import KeyProviderStatus
from vault.seal.manager import SealStatus

routes: Final = Router()

API_VERSION: Final = "2.7.2"  # the OpenBao release that this dialect speaks: clients gate on it
STORAGE: Final = "sql"
_CODES: Final = range(100, 600)  # of HTTP, that a health check may ask for


class SealBody(Struct, frozen=True, kw_only=True):
    """The seal status. Cluster name and id are told of an open vault only."""

    type: str
    initialized: bool
    sealed: bool
    t: int
    n: int
    progress: int
    nonce: str
    recovery_seal: bool = False
    recovery_seal_type: str | UnsetType = UNSET
    version: str = API_VERSION
    migration: bool = False
    cluster_name: str | UnsetType = UNSET
    cluster_id: str | UnsetType = UNSET
    storage_type: str = STORAGE
    refusing: str | UnsetType = UNSET
    """Why an unsealed agent serves nothing. Not in OpenBao."""
    waiting: str | UnsetType = UNSET
    """Which key providers do not unseal the agent, since when, and why. Not in OpenBao."""
    key_providers: tuple[KeyProviderStatus, ...] | UnsetType = UNSET
    """Each key provider of the configuration. Not in OpenBao."""
    break_glass_uses: int | UnsetType = UNSET
    """How often break-glass holders have opened the vault; absent for never. Not in OpenBao."""
    break_glass_used_at: str | UnsetType = UNSET
    """When they did so last. Not in OpenBao."""

    @classmethod
    def of(cls, status: SealStatus) -> "SealBody":
        """From the status of the seal."""
        return cls(
            type=status.type,
            initialized=status.initialized,
            sealed=status.sealed,
            t=status.threshold,
            n=status.shares,
            progress=status.progress,
            nonce=status.nonce,
            recovery_seal=status.recovery_seal,
            recovery_seal_type="shamir" if status.recovery_seal else UNSET,
            cluster_name=UNSET if status.sealed else _cluster_name(status),
            cluster_id=UNSET if status.sealed else status.vault,
            refusing=status.refusing or UNSET,
            waiting=status.waiting or UNSET,
            migration=status.migrating,
            key_providers=status.key_providers or UNSET,
            break_glass_uses=status.break_glass_uses or UNSET,
            break_glass_used_at=rfc3339(status.break_glass_used_at)
            if status.break_glass_uses
            else UNSET,
        )


class HealthBody(Struct, frozen=True, kw_only=True):
    """The health. We run no standby, so a sealed agent calls itself one, as OpenBao does."""

    initialized: bool
    sealed: bool
    standby: bool
    replication_performance_mode: str
    replication_dr_mode: str
    server_time_utc: int
    version: str = API_VERSION
    cluster_name: str | UnsetType = UNSET
    cluster_id: str | UnsetType = UNSET
    refusing: str | UnsetType = UNSET
    """Why an unsealed agent serves nothing. Not in OpenBao."""


@routes.add("GET", template="sys/health", public=True)
async def health(dialect: Dialect, request: Request) -> Reply:
    """200 open, 503 sealed or refusing, 501 uninitialised, or what the query sets in their place.

    OpenBao has no code for a server whose audit devices all fail, though it serves nothing then. To
    a load balancer that is what sealed is, and whoever asks for another code for a sealed server,
    so that it is not restarted, does not want this one restarted either.
    """
    status = dialect.service.status()
    serves = not status.sealed and not status.refusing
    state = "activecode" if serves else "sealedcode"
    state, code = (state, 200 if serves else 503) if status.initialized else _UNINITIALISED
    asked = {name: request.query[name] for name in _STATES if request.query.get(name)}
    for text in asked.values():
        if not text.isascii() or not text.isdigit() or int(text[:4]) not in _CODES:
            return errors_reply(400)
    replication = "unknown" if status.sealed else "disabled"
    body = HealthBody(
        initialized=status.initialized,
        sealed=status.sealed,
        standby=status.sealed,
        replication_performance_mode=replication,
        replication_dr_mode=replication,
        server_time_utc=dialect.world.now() // SECOND,
        cluster_name=UNSET if status.sealed else _cluster_name(status),
        cluster_id=UNSET if status.sealed else status.vault,
        refusing=status.refusing or UNSET,
    )
    return plain_reply(body, int(asked.get(state, code)))


@routes.add("GET", template="sys/seal-status", public=True)
async def seal_status(dialect: Dialect, _request: Request) -> Reply:
    """How far unsealing is."""
    return plain_reply(SealBody.of(dialect.service.status()))


@routes.add("GET", template="sys/leader", public=True)
async def leader(_dialect: Dialect, _request: Request) -> Reply:
    """There is one agent, and it leads."""
    return plain_reply({"ha_enabled": False})


_UNINITIALISED: Final = ("uninitcode", 501)
_STATES: Final = ("activecode", "sealedcode", "uninitcode", "standbycode")


def _cluster_name(status: SealStatus) -> str:
    return f"freehold-{status.vault[:8]}"
