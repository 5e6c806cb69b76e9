"""How this dialect reads a request, which route it takes, and how it tells an error."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar, Final, TypeAlias

from actors.world import World
from vault.authn.logins import METHOD_OFF
from vault.authn.methods.method import LoginRefusedError
from vault.authz.tickets import TICKET
from vault.edge.compat import (
    audit,
    auth_mounts,
    cubbyhole,
    database,
    health,
    identity,
    kv1,
    kv2,
    kv2_metadata,
    leases,
    mfa,
    mounts,
    policies,
    remount,
    root_key,
    seal,
    token,
    wrapping,
)
from vault.edge.compat.auth import EXTRA
from vault.edge.compat.auth_methods import method_routes
from vault.edge.compat.envelope import errors_reply
from vault.edge.compat.fields import Fields, parse_bool
from vault.edge.compat.inline_auth import FAILED, is_inline, parse_inline
from vault.edge.compat.kv import NO_MOUNT, is_reserved
from vault.edge.compat.path_help import asks_for_help, help_route
from vault.edge.dialect import Dialect
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.edge.router import Route, Router
from vault.edge.service import VaultService
from vault.errors import (
    AuthenticationError,
    ConflictError,
    MethodError,
    NotFoundError,
    ValidationError,
    VaultError,
)
from vault.model.acl.access import AclCapability, ApiAccess
from vault.model.auth_mounts import AUTH, TOKEN_PATH
from vault.model.dynamic import MOUNT_TYPE as DATABASE
from vault.model.memo import BoundedMemo
from vault.model.mounts import MountTable
from vault.model.path import MAX_REMEMBERED, ResourcePath, is_short
from vault.model.payloads import LogIn
from vault.model.records import AuthMountRow, MountRow

PREFIX: Final = "/v1/"
TICKET_HEADER: Final = b"x-freehold-ticket"
"""Of a refusal: what an administrator can look into (`freehold policy explain`)."""
MAX_BODY: Final = 2 << 20  # as native: it is read before we know the caller, a value has 1 MiB

FoundRoute: TypeAlias = tuple[Route, tuple[Any, ...]]
FolderRoute: TypeAlias = tuple[Route, MountRow, int]
"""What answers all that lies in a folder, the mount, and where in a path its rest begins."""

PERMISSION_DENIED: Final = "permission_denied"
_ERROR_LIST: Final = "1 error occurred:\n\t* {}\n\n"  # Go's multierror: clients print and match it
ENGINES: Final[dict[int | str, Router]] = {
    1: kv1.routes,
    2: Router.merge(kv2.routes, kv2_metadata.routes),
    DATABASE: database.routes,
}
"""By the version of a key-value mount, or by its type."""


class CompatDialect(Dialect):
    """The dialect under `/v1/`."""

    name = "compat"
    prefix = PREFIX
    router: ClassVar[Router] = Router.merge(
        health.routes,
        seal.routes,
        root_key.routes,
        mounts.routes,
        auth_mounts.routes,
        remount.routes,
        policies.routes,
        identity.routes,
        mfa.routes,
        token.routes,
        leases.routes,
        audit.routes,
        cubbyhole.routes,
        wrapping.routes,
    )
    max_body = MAX_BODY

    def __init__(self, service: VaultService, world: World) -> None:
        super().__init__(service, world)
        self._mounts: Mapping[str, MountRow] = {}  # those that `_below` was found in
        self._method_routers: dict[str, Router] = {}  # by the type of an auth mount
        self._folder_routes: BoundedMemo[tuple[str, str], FolderRoute] = BoundedMemo(MAX_REMEMBERED)

    def find_route(self, request: Request, path: str) -> FoundRoute:
        """The agent's own routes first; then those of the engine in whose mount the path lies."""
        _refuse_unsupported(request)
        request.wrap_ttl = wrapping.requested_ttl(request)
        if asks_for_help(request):
            return self._find_help(path)
        verb = _verb(request)
        if _is_in_auth_mount(path):
            return self._find_in_auth_mount(verb, path.removeprefix(AUTH))
        if is_reserved(path):
            return self.router.match(verb, path)
        mounts = self.service.mounts
        if self._mounts is not mounts.rows:
            self._mounts, self._folder_routes = mounts.rows, BoundedMemo(MAX_REMEMBERED)
        folder = path[: path.rfind("/") + 1]
        below = self._folder_routes.get((verb, folder)) or self._find_folder_route(verb, folder)
        if below is None or path == folder:
            return _find_in_mount(mounts, verb, path)
        route, mount, begin = below
        return route, (mount, path[begin:])

    def _find_help(self, path: str) -> FoundRoute:
        """What answers `?help=1` of a path: of a mount itself with all that is below it."""
        if _is_in_auth_mount(path):
            place = path.removeprefix(AUTH)
            auth_mount, router = self._auth_mount_of(f"{place}/")
            below = place[len(auth_mount.path) :]
            return help_route(path, router, below, f"{AUTH}{auth_mount.path}"), ()
        if is_reserved(path):
            return help_route(path, self.router, path, ""), ()
        mount = self.service.mounts.find_for_path(f"{path}/")
        if mount is None:
            return NO_MOUNT, (path,)
        return help_route(path, _engine(mount), path[len(mount.path) :], mount.path), ()

    async def finish(self, request: Request, route: Route, reply: Reply) -> Reply:
        """Wrapped, where the request asks for that."""
        if not request.wrap_ttl:
            return reply
        return await wrapping.wrapped_reply(self, request, reply, only_tokens=route.public)

    def finds_in_mounts(self, path: str) -> bool:
        """All but the agent's own routes."""
        return not is_reserved(path) or _is_in_auth_mount(path)

    def _find_in_auth_mount(self, verb: str, path: str) -> FoundRoute:
        """The route of the method at whose mount a path below `auth/` lies."""
        mount, router = self._auth_mount_of(path)
        route, values = router.match(verb, path[len(mount.path) :])
        return route, (mount, *values)

    def _auth_mount_of(self, path: str) -> tuple[AuthMountRow, Router]:
        """The mount that a path below `auth/` lies in, and the routes of its method."""
        surface = self.service.auth
        mount = surface.mounts.find_for_path(path)
        method = None if mount is None else surface.methods.get(mount.type)
        if mount is None or method is None:
            unknown = f'no handler for route "{AUTH}{path}". route entry not found.'
            raise NotFoundError("no_handler", unknown if mount is None else METHOD_OFF)
        router = self._method_routers.get(mount.type)
        if router is None:
            router = method_routes(method, EXTRA.get(mount.type))
            self._method_routers[mount.type] = router
        return mount, router

    def disclosure_folder(self, request: Request) -> str:
        """The mount, or where one could be: what is wrong with a path says whether one is there."""
        path = request.path.removeprefix(self.prefix)
        first = path.partition("/")[0]
        if not first or is_reserved(path):
            return ""
        mount = self.service.mounts.find_for_path(path if path.endswith("/") else path + "/")
        return f"{first}/" if mount is None else mount.path

    def _find_folder_route(self, verb: str, folder: str) -> FolderRoute | None:
        """What answers all that lies in this folder, where one route does; it is remembered."""
        mount = self.service.mounts.find_for_path(folder)
        if mount is None:
            return None
        begin = len(mount.path)
        found = _engine(mount).sole_route_below(verb, folder[begin:])
        if found is None:
            return None
        below = found[0], mount, begin + found[1]
        if is_short(folder):  # anybody may send the others
            self._folder_routes.put((verb, folder), below)
        return below

    def inline_login(self, request: Request) -> LogIn | None:
        """By headers; a public route takes no credential of any kind."""
        return parse_inline(request)

    async def knows(self, request: Request) -> bool:
        """A login is carried out once, with the operation: it lets no large body in before."""
        return not is_inline(request) and await super().knows(request)

    def api_access(self, request: Request, path: ResourcePath) -> ApiAccess | None:
        """The request itself, for all its operations on one place; others are asked for by name."""
        if request.place is None:
            request.place = path
        operation = None
        with suppress(ValidationError):  # of a request that is no operation
            operation = _OPERATIONS.get(_verb(request))
        if request.place != path or operation is None:
            return None
        asked = request.path.removeprefix(self.prefix)
        if path.startswith(AUTH):  # names fold case there: another spelling is no other place
            asked = str(path)
        if operation in _LISTS and not asked.endswith("/"):
            asked += "/"  # as OpenBao: a list is of a folder
        return ApiAccess(
            path=asked,
            operation=operation,
            parameters=lambda: _parameters(request),
            wrapping_ttl=request.wrap_ttl,
        )

    def error_reply(self, error: VaultError, request_id: str) -> Reply:  # noqa: ARG002  # errors have no id here
        """OpenBao's statuses and words, where clients go by them."""
        if isinstance(error, LoginRefusedError):
            reply = errors_reply(error.vault_status, error.vault_message)
            return reply.with_header(FAILED, "true") if error.is_inline else reply
        if isinstance(error, AuthenticationError):
            return errors_reply(403, "permission denied")
        if isinstance(error, NotFoundError):
            return _not_found_reply(error)
        if isinstance(error, ConflictError):
            # A change between two steps of one request: 412 is what clients repeat by themselves.
            return errors_reply(412 if error.code == "changed_meanwhile" else 400, error.message)
        if isinstance(error, MethodError):
            return errors_reply(405, _ERROR_LIST.format("unsupported operation"))
        if error.code == PERMISSION_DENIED:  # clients print and match OpenBao's words alone
            return _with_ticket(
                errors_reply(error.status, _ERROR_LIST.format("permission denied")), error
            )
        if error.code in _LISTED_CODES:
            return errors_reply(error.status, _ERROR_LIST.format(error.message))
        refused = errors_reply(error.status, error.message, *_outcome_messages(error))
        return _with_ticket(refused, error)


_TOKEN_ROLES: Final = f"{AUTH}{TOKEN_PATH}roles"  # the one thing of tokens that is kept as entries


def _is_in_auth_mount(path: str) -> bool:
    """Whether a path is below an auth mount that somebody enabled, if any."""
    if path.startswith(AUTH + TOKEN_PATH):
        return path.startswith(_TOKEN_ROLES)
    return path.startswith(AUTH)


def _engine(mount: MountRow) -> Router:
    """The routes of all that lies in a mount."""
    return ENGINES[DATABASE if mount.type == DATABASE else mount.version]


def _find_in_mount(mounts: MountTable, verb: str, path: str) -> FoundRoute:
    """The route of the engine in whose mount the path lies."""
    mount = mounts.find_for_path(path if path.endswith("/") else path + "/")
    if mount is None:
        return NO_MOUNT, (path,)
    route, values = _engine(mount).match(verb, path[len(mount.path) :])
    return route, (mount, *values)


_LISTED_CODES: Final = frozenset({"invalid_accessor", "missing_accessor", "token_unknown"})
_OUTCOMES: Final = {
    "none": "outcome: none; nothing was done, it can be repeated",
    "unknown": "outcome: unknown; it may be done or not, look before you repeat it",
    "done": "outcome: done; do not repeat it",
}
_CODES_WITH_MESSAGE: Final = frozenset(
    {"no_handler", "namespace_not_found", "approle_not_found", "accessor_not_found"}
)


def _outcome_messages(error: VaultError) -> tuple[str, ...]:
    """What else to say of a change that has failed: clients show all errors of the list."""
    outcome = error.details.get("outcome")
    return () if outcome is None else (_OUTCOMES[str(outcome)],)


def _with_ticket(reply: Reply, error: VaultError) -> Reply:
    """The refusal with its ticket, if it has one."""
    ticket = error.details.get(TICKET)
    return reply if ticket is None else reply.with_header(TICKET_HEADER, str(ticket))


def _not_found_reply(error: NotFoundError) -> Reply:
    """Absence is an empty list of errors; only a path that leads nowhere gets a word."""
    if error.code == "route_not_found":
        return errors_reply(404, _ERROR_LIST.format("unsupported path"))
    return (
        errors_reply(404, error.message) if error.code in _CODES_WITH_MESSAGE else errors_reply(404)
    )


def _verb(request: Request) -> str:
    """PUT is POST; a GET that asks for a list is a LIST; a HEAD is answered for health only."""
    method = request.method
    if method == "GET" and (text := request.query.get("list")):
        wanted = parse_bool(text)
        if wanted is None:
            raise ValidationError("query_invalid", "list must be true or false", field="list")
        return "LIST" if wanted else "GET"
    return "POST" if method == "PUT" else method


_OPERATIONS: Final = {
    "GET": AclCapability.READ,
    "HEAD": AclCapability.READ,
    "LIST": AclCapability.LIST,
    "SCAN": AclCapability.SCAN,
    "POST": AclCapability.UPDATE,
    "PATCH": AclCapability.PATCH,
    "DELETE": AclCapability.DELETE,
}


_LISTS: Final = frozenset({AclCapability.LIST, AclCapability.SCAN})


def _parameters(request: Request) -> dict[str, object]:
    """The fields of a request, for policies that limit them.

    Raises `ValidationError` for one that is in both places: which of them counts is the route's.
    """
    body = Fields.from_body(request).values() if request.body else {}
    if not request.query.keys().isdisjoint(body):
        raise ValidationError("field_invalid", "a field is given in the query and in the body")
    return {**request.query, **body}


def _refuse_unsupported(request: Request) -> None:
    """Refuse what would be dangerous to ignore: another tenant's names."""
    if request.headers.get(b"x-vault-namespace", b"").strip(b"/") not in {b"", b"root"}:
        raise NotFoundError("namespace_not_found", "namespace not found")
