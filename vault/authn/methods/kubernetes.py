"""`kubernetes`: a service account of a cluster logs in with its token.

The cluster's API server says whose the token is (`TokenReview`), so one of a pod that is gone does
not count. With keys of the cluster (`pem_keys`, `jwks`) the signature is checked here first, and
with `disable_token_review` that is all: for clusters that the agent does not reach. The review is
asked for with the mount's own token, with that of the pod that the agent runs in, or with the
caller's.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import msgspec
import trio
from msgspec import Struct

from actors.breaker import Breaker
from actors.errors import CircuitOpen
from actors.world import World
from protocols.instant import SECOND
from vault.authn.jwt.claims import ExpectedClaims, check_claims, claim_text
from vault.authn.jwt.compact import Claims, InvalidTokenError, parse_claims, parse_token
from vault.authn.jwt.keys import UnusableKeyError, keys_from_jwks, keys_from_pem
from vault.authn.jwt.source_client import (
    MAX_CA,
    SourceAnswer,
    SourceClient,
    SourceError,
    SourceRequest,
    check_source_url,
)
from vault.authn.jwt.sources import BREAKER_FAILURES, BREAKER_SECONDS, GivenKeys
from vault.authn.methods.documents import (
    checked_token_fields,
    exact_name,
    require_secret_again,
)
from vault.authn.methods.jwt_mounts import LOGIN, ROLE, ROLE_ALIASES, refused
from vault.authn.methods.method import (
    CONFIG,
    Action,
    EntryChange,
    EntryKind,
    EntryReader,
    LoginRefusedError,
    LoginRequest,
    LoginResult,
    TokenFields,
)
from vault.errors import UnavailableError, ValidationError
from vault.model.records import AuthMountRow, TokenRow

REVIEW: Final = "/apis/authentication.k8s.io/v1/tokenreviews"
PREFIX: Final = "system:serviceaccount:"
MAX_SOURCES: Final = 256
LOCAL: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""What a cluster gives each of its pods: its CA, and a token of the pod, which changes."""
LOCAL_SECONDS: Final = 60.0  # how long what was read there counts
_CERTIFICATE: Final = "BEGIN CERTIFICATE"
MAX_NAMES: Final = 200
_BY_UID: Final = "serviceaccount_uid"
_BY_NAME: Final = "serviceaccount_name"


class KubernetesConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mount's configuration: one cluster."""

    kubernetes_host: str = ""
    kubernetes_ca_cert: str = ""
    token_reviewer_jwt: str = ""
    pem_keys: tuple[str, ...] = ()
    jwks: str = ""
    issuer: str = ""
    disable_iss_validation: bool = True
    disable_local_ca_jwt: bool = False
    disable_token_review: bool = False


class KubernetesRole(TokenFields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A role: which service accounts may use it. Names may hold `*`."""

    bound_service_account_names: tuple[str, ...] = ()
    bound_service_account_namespaces: tuple[str, ...] = ()
    bound_service_account_namespace_selector: str = ""
    audience: str = ""
    alias_name_source: str = _BY_UID


class _User(Struct):
    username: str = ""
    uid: str = ""


class _Status(Struct):
    authenticated: bool = False
    user: _User = msgspec.field(default_factory=_User)
    audiences: tuple[str, ...] = ()


class _Review(Struct):
    status: _Status


class Account(Struct, frozen=True):
    """A service account, as the cluster knows it."""

    namespace: str
    name: str
    uid: str


class _Local(Struct, frozen=True):
    """What is in the agent's own pod; both empty: it is in none."""

    ca: str = ""
    token: str = ""
    read_at: float = float("-inf")


class _Cluster:
    """What is kept of a mount: its configuration, keys and breaker."""

    def __init__(self, document: Mapping[str, Any], world: World) -> None:
        self.document = document
        self.config = msgspec.convert(document, KubernetesConfig)
        self.keys = given_keys(self.config)
        self.breaker = Breaker(
            world.monotonic,
            threshold=BREAKER_FAILURES,
            cooldown=BREAKER_SECONDS,
            counts=SourceError,
        )


class KubernetesMethod:
    """See `LoginMethod`."""

    type: Final = "kubernetes"
    login_paths: Final = (LOGIN,)

    def __init__(
        self, entries: EntryReader, client: SourceClient, world: World, folder: Path = LOCAL
    ) -> None:
        self._entries = entries
        self._client = client
        self._world = world
        self._clusters: dict[str, _Cluster] = {}
        self._folder = folder
        self._local = _Local()
        self._reading = trio.CapacityLimiter(1)
        self.actions: Mapping[str, Action[Any]] = {}
        self.kinds: Mapping[str, EntryKind[Any]] = {
            CONFIG: EntryKind(
                name=CONFIG,
                document=KubernetesConfig,
                sealed=frozenset({"token_reviewer_jwt"}),
                prepare=_prepare_config,
            ),
            ROLE: EntryKind(
                name=ROLE,
                document=KubernetesRole,
                aliases=ROLE_ALIASES,
                canonical=exact_name,
                prepare=_prepare_role,
            ),
        }

    def lockout_name(self, request: LoginRequest) -> str:  # noqa: ARG002  # the signature of `LoginMethod`
        """Nobody's: a signature is not guessed."""
        return ""

    async def login(self, request: LoginRequest) -> LoginResult:
        """See `LoginMethod`."""
        name, token = request.fields.get("role"), request.fields.get("jwt")
        if not isinstance(name, str) or not name:
            raise ValidationError("role_missing", "missing role", field="role")
        if not isinstance(token, str) or not token:
            raise ValidationError("token_missing", "missing jwt", field="jwt")
        entry = await self._entries.get(request.mount.id, ROLE, name)
        cluster = await self._cluster(request.mount)
        if entry is None:
            raise _refused()
        role = msgspec.convert(entry.document, KubernetesRole)
        try:
            account = await self._account(cluster, role, token)
        except InvalidTokenError as error:
            raise refused(error) from None
        if not is_bound(role, account):
            raise _refused()
        return _result_of(entry.name, role, account)

    async def renew(self, mount: AuthMountRow, token: TokenRow) -> None:
        """The role has to be there still."""
        name = token.role if isinstance(token.role, str) else ""
        if await self._entries.get(mount.id, ROLE, name) is None:
            raise LoginRefusedError("role_gone", "its role is gone: log in again")

    async def _account(self, cluster: _Cluster, role: KubernetesRole, token: str) -> Account:
        """Whose token it is. Raises `InvalidTokenError`, `UnavailableError`."""
        config = cluster.config
        compact = parse_token(token)
        if cluster.keys is not None:
            await cluster.keys.verify(compact)
        claims = parse_claims(compact.payload)
        if not config.disable_iss_validation and claims.get("iss") != config.issuer:
            raise InvalidTokenError("its issuer (iss) is another one")
        if config.disable_token_review:
            return self._local_account(claims, role)
        status = await self._review(cluster, role, token)
        if not status.authenticated:
            raise InvalidTokenError("the cluster does not know it (any more)")
        if role.audience and role.audience not in status.audiences:
            raise InvalidTokenError("its audience (aud) is another one")
        return account_of(status.user.username, status.user.uid)

    def _local_account(self, claims: Claims, role: KubernetesRole) -> Account:
        """By what the token says, verified by the cluster's keys. An audience is required."""
        expected = ExpectedClaims(audiences=(role.audience,))
        check_claims(claims, expected, self._world.now() // SECOND)
        uid = claim_text(claims, "/kubernetes.io/serviceaccount/uid")
        return account_of(claim_text(claims, "sub", pointer=False), uid)

    async def _review(self, cluster: _Cluster, role: KubernetesRole, token: str) -> _Status:
        config = cluster.config
        local = _Local() if config.disable_local_ca_jwt else await self._local_files()
        reviewer = config.token_reviewer_jwt or _own_token(config, local)
        spec: dict[str, Any] = {"token": token}
        if role.audience:
            spec["audiences"] = [role.audience]
        request = SourceRequest(
            source=config.kubernetes_host,
            url=config.kubernetes_host.rstrip("/") + REVIEW,
            method="POST",
            headers={"Authorization": f"Bearer {reviewer or token}"},
            json={"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec},
            ca=config.kubernetes_ca_cert or local.ca,
        )
        try:
            with cluster.breaker.guard():
                answer = await _answer(self._client, request)
                if answer.status in {HTTPStatus.OK, HTTPStatus.CREATED}:
                    return answer.decode(_Review).status
        except (SourceError, CircuitOpen) as error:
            reason = getattr(error, "reason", "its last answers failed, it is asked again soon")
            raise UnavailableError(
                "source_unavailable", f"the cluster's API server cannot be asked: {reason}"
            ) from None
        if reviewer:  # ours is refused: no login can be decided
            raise UnavailableError(
                "source_unavailable",
                f"the cluster's API server answers {answer.status} to the reviewer's token: see "
                "whether it is valid and bound to system:auth-delegator",
            )
        raise InvalidTokenError("the cluster does not let it review itself")

    async def _local_files(self) -> _Local:
        """Read again once a minute."""
        now = self._world.monotonic()
        if now - self._local.read_at >= LOCAL_SECONDS:
            self._local = await self._world.run_sync(
                _read_local, self._folder, now, limiter=self._reading
            )
        return self._local

    async def _cluster(self, mount: AuthMountRow) -> _Cluster:
        entry = await self._entries.get(mount.id, CONFIG, CONFIG)
        if entry is None:
            raise ValidationError(
                "method_not_configured", "this auth mount has no configuration: write its config"
            )
        kept = self._clusters.get(mount.id)
        if kept is None or kept.document != entry.document:
            kept = _Cluster(entry.document, self._world)
            if len(self._clusters) >= MAX_SOURCES:
                self._clusters.clear()
            self._clusters[mount.id] = kept
        return kept


def _own_token(config: KubernetesConfig, local: _Local) -> str:
    """The token of the agent's pod, for the pod's own cluster alone: its CA says which that is.

    Else whoever configures a mount with a server and CA of their own would be sent it.
    """
    is_own = config.kubernetes_ca_cert.strip() in {"", local.ca.strip()}
    return local.token if is_own and config.kubernetes_host.startswith("https://") else ""


def _read_local(folder: Path, now: float) -> _Local:
    try:
        ca, token = (folder / "ca.crt").read_text(), (folder / "token").read_text().strip()
    except (OSError, UnicodeDecodeError):
        return _Local(read_at=now)
    return _Local(ca, token, now)


async def _answer(client: SourceClient, request: SourceRequest) -> SourceAnswer:
    """Raises `SourceError` for a fault of the server too."""
    answer = await client.send(request)
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise SourceError(f"it answers {answer.status}")
    return answer


def given_keys(config: KubernetesConfig) -> GivenKeys | None:
    """The keys of the cluster; None: it is asked. Raises `UnusableKeyError`."""
    if config.jwks:
        return GivenKeys(keys_from_jwks(config.jwks))
    return GivenKeys(keys_from_pem(config.pem_keys)) if config.pem_keys else None


def account_of(username: str, uid: str) -> Account:
    """The account of a user name of the cluster. Raises `InvalidTokenError`."""
    namespace, colon, name = username.removeprefix(PREFIX).partition(":")
    if not username.startswith(PREFIX) or not colon or not namespace or not name or ":" in name:
        raise InvalidTokenError("it is not of a service account")
    if not uid:
        raise InvalidTokenError("its service account has no uid")
    return Account(namespace, name, uid)


def is_bound(role: KubernetesRole, account: Account) -> bool:
    """Whether the role is for the account."""
    return any(
        fnmatchcase(account.name, _literal(each)) for each in role.bound_service_account_names
    ) and any(
        fnmatchcase(account.namespace, _literal(each))
        for each in role.bound_service_account_namespaces
    )


def _literal(pattern: str) -> str:
    """`*` is any text; nothing else has a meaning."""
    return pattern.replace("[", "[[]").replace("?", "[?]")


def _result_of(name: str, role: KubernetesRole, account: Account) -> LoginResult:
    full = f"{account.namespace}/{account.name}"
    said = {
        "service_account_uid": account.uid,
        "service_account_name": account.name,
        "service_account_namespace": account.namespace,
        "role": name,
    }
    return LoginResult(
        alias=account.uid if role.alias_name_source == _BY_UID else full,
        alias_metadata=said,
        display_name=full.replace("/", "-"),
        token=role.token_parameters,
        metadata=said,
        role=name,
    )


async def _prepare_config(change: EntryChange[KubernetesConfig]) -> KubernetesConfig:
    new = change.new
    require_secret_again(change, "token_reviewer_jwt", ("kubernetes_host", "kubernetes_ca_cert"))
    try:
        has_keys = given_keys(new) is not None
    except UnusableKeyError as error:
        raise ValidationError("config_invalid", f"error parsing public key: {error}") from None
    if new.disable_token_review:
        if not has_keys:
            raise ValidationError(
                "config_invalid",
                "disable_token_review needs pem_keys or jwks: give the cluster's keys",
                field="disable_token_review",
            )
    elif not new.kubernetes_host:
        raise ValidationError("config_invalid", "no host provided", field="kubernetes_host")
    elif new.disable_local_ca_jwt and not new.kubernetes_ca_cert:
        raise ValidationError(
            "config_invalid",
            "kubernetes_ca_cert must be given when disable_local_ca_jwt is true",
            field="kubernetes_ca_cert",
        )
    if new.kubernetes_host:
        check_source_url(new.kubernetes_host, "kubernetes_host")
    if new.kubernetes_ca_cert and (
        len(new.kubernetes_ca_cert) > MAX_CA or _CERTIFICATE not in new.kubernetes_ca_cert
    ):
        raise ValidationError(
            "config_invalid",
            "kubernetes_ca_cert must be certificates in PEM",
            field="kubernetes_ca_cert",
        )
    if not new.disable_iss_validation and not new.issuer:
        raise ValidationError(
            "config_invalid", "issuer must be set, or disable_iss_validation", field="issuer"
        )
    return new


async def _prepare_role(change: EntryChange[KubernetesRole]) -> KubernetesRole:
    new = change.new
    if not new.bound_service_account_names:
        raise _role_error(
            "bound_service_account_names", '"bound_service_account_names" can not be empty'
        )
    if not new.bound_service_account_namespaces:
        raise _role_error(
            "bound_service_account_namespaces",
            '"bound_service_account_namespaces" can not be empty',
        )
    if new.bound_service_account_namespace_selector:
        raise _role_error(
            "bound_service_account_namespace_selector",
            "bound_service_account_namespace_selector is not supported: name the namespaces, `*` "
            "may stand for a part",
        )
    for field in ("bound_service_account_names", "bound_service_account_namespaces"):
        if len(getattr(new, field)) > MAX_NAMES:
            raise _role_error(field, f"at most {MAX_NAMES} names")
    if new.alias_name_source not in {_BY_UID, _BY_NAME}:
        raise _role_error(
            "alias_name_source",
            "invalid alias_name_source, must be one of: serviceaccount_uid, serviceaccount_name",
        )
    return checked_token_fields(new)


def _role_error(name: str, message: str) -> ValidationError:
    return ValidationError("role_invalid", message, field=name)


def _refused() -> LoginRefusedError:
    """One text for a role that is not there and one that is not for the account."""
    return LoginRefusedError(
        "login_refused",
        "login refused: see the role, its service accounts and namespaces",
        vault_status=403,
        vault_message="permission denied",
    )
