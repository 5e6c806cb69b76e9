"""The method `ldap`: a name and a password of a directory, its groups mapped to policies."""

import logging
from collections.abc import Mapping
from typing import Any, Final

import trio
from msgspec import convert
from msgspec.structs import replace

from actors.world import World
from vault.authn.methods.ldap import config as settings
from vault.authn.methods.ldap.config import (
    LdapConfig,
    LdapGroup,
    LdapUser,
    canonical,
    without_marks,
)
from vault.authn.methods.ldap.source import (
    ConfigurationFaultError,
    DirectoryUser,
    NotProvenError,
    log_in,
    look_up,
)
from vault.authn.methods.method import (
    CONFIG,
    Action,
    EntryKind,
    EntryReader,
    LoginRefusedError,
    LoginRequest,
    LoginResult,
    TokenParameters,
)
from vault.errors import UnavailableError, ValidationError
from vault.model.records import AuthMountRow, TokenRow

MAX_THREADS: Final = 4
"""Questions of a mount at once; others wait for their turn. One that is slow holds up no other."""
MAX_PASSWORD: Final = 1_024  # characters
MAX_USERNAME: Final = 512
GROUP: Final = "group"
USER: Final = "user"
_LOGIN: Final = "login/"
_USERNAME: Final = "username"
_GROUPS: Final = "groups"

log: Final = logging.getLogger("freehold.authn")


class LdapMethod:
    """See `LoginMethod`."""

    type: Final = "ldap"
    login_paths: Final = ("login/{name}",)

    def __init__(self, entries: EntryReader, world: World) -> None:
        self._entries = entries
        self._world = world
        self._threads: dict[str, trio.CapacityLimiter] = {}  # by mount
        self.kinds: Mapping[str, EntryKind[Any]] = {
            CONFIG: EntryKind(
                name=CONFIG,
                document=LdapConfig,
                sealed=frozenset({"bindpass", "client_tls_key"}),
                prepare=settings.prepared,
            ),
            GROUP: EntryKind(
                name=GROUP,
                folder="groups",
                document=LdapGroup,
                canonical=canonical,
                prepare=settings.prepared_group,
            ),
            USER: EntryKind(
                name=USER,
                folder="users",
                document=LdapUser,
                canonical=canonical,
                prepare=settings.prepared_user,
            ),
        }
        self.actions: Mapping[str, Action[Any]] = {}

    def lockout_name(self, request: LoginRequest) -> str:
        """The name as directories compare it: no other spelling has tries of its own."""
        try:
            return without_marks(canonical(_username(request)))
        except ValidationError:
            return ""

    async def login(self, request: LoginRequest) -> LoginResult:
        """See `LoginMethod`."""
        config = await self._config(request.mount)
        username, password = _username(request), request.fields.get("password", "")
        if not isinstance(password, str) or not password:
            raise ValidationError("password_missing", "missing password", field="password")
        try:
            name = canonical(username)
        except ValidationError:
            raise _refused("") from None
        if len(password) > MAX_PASSWORD or "\0" in password or len(username) > MAX_USERNAME:
            raise _refused(name)
        try:
            found = await self._world.run_sync(
                log_in,
                config,
                username,
                password,
                self._world.uptime,
                limiter=self._threads_of(request.mount),
                abandon_on_cancel=True,
            )
        except NotProvenError:
            raise _refused(name) from None
        except ConfigurationFaultError as fault:
            raise self._faulty(request.mount, fault) from None
        return await self._result(request.mount, config, found, name)

    async def renew(self, mount: AuthMountRow, token: TokenRow) -> None:
        """The person must still be there, with the same policies. It takes `binddn`."""
        config = await self._config(mount)
        known = token.renewal if isinstance(token.renewal, dict) else {}
        username = known.get(_USERNAME, "")
        if not config.searches or not username:
            raise LoginRefusedError(
                "renewal_unproven",
                "whether the person is still in the directory cannot be asked: log in again, or "
                "configure binddn",
            )
        try:
            found = await self._world.run_sync(
                look_up,
                config,
                username,
                self._world.uptime,
                limiter=self._threads_of(mount),
                abandon_on_cancel=True,
            )
        except NotProvenError:
            raise LoginRefusedError(
                "renewal_refused", "the directory no longer has this person: log in again"
            ) from None
        except ConfigurationFaultError as fault:
            raise self._faulty(mount, fault) from None
        if known.get(_GROUPS) != _joined(found.groups):
            raise LoginRefusedError(
                "renewal_refused",
                "the groups of this person have changed: log in again",
                vault_message="policies have changed, not renewing",
            )

    def _threads_of(self, mount: AuthMountRow) -> trio.CapacityLimiter:
        """The threads of a mount; those of others are forgotten while nobody uses them."""
        found = self._threads.get(mount.id)
        if found is None:
            for other, threads in list(self._threads.items()):
                if not (threads.borrowed_tokens or threads.statistics().tasks_waiting):
                    del self._threads[other]
            found = self._threads[mount.id] = trio.CapacityLimiter(MAX_THREADS)
        return found

    async def _config(self, mount: AuthMountRow) -> LdapConfig:
        entry = await self._entries.get(mount.id, CONFIG, CONFIG)
        if entry is None:
            raise ValidationError("ldap_not_configured", "ldap backend not configured")
        return convert(entry.document, LdapConfig, strict=False)

    async def _result(
        self, mount: AuthMountRow, config: LdapConfig, found: DirectoryUser, name: str
    ) -> LoginResult:
        user = await self._user(mount, name)
        groups = tuple(dict.fromkeys((*found.groups, *user.groups)))
        policies = dict.fromkeys((*config.token_policies, *user.policies))
        for group in groups:
            policies.update(dict.fromkeys(await self._group_policies(mount, group)))
        alias = name if config.username_as_alias else canonical(found.name)
        token: TokenParameters = replace(config.token_parameters, policies=tuple(policies))
        return LoginResult(
            alias=alias,
            display_name=name,
            token=token,
            metadata={_USERNAME: name},
            groups=groups,
            renewal={_USERNAME: name, _GROUPS: _joined(found.groups)},
            is_person=True,
        )

    async def _user(self, mount: AuthMountRow, name: str) -> LdapUser:
        entry = await self._entries.get(mount.id, USER, name)
        return LdapUser() if entry is None else convert(entry.document, LdapUser)

    async def _group_policies(self, mount: AuthMountRow, group: str) -> tuple[str, ...]:
        try:
            entry = await self._entries.get(mount.id, GROUP, canonical(group))
        except ValidationError:  # a name that none can have here
            return ()
        return () if entry is None else convert(entry.document, LdapGroup).policies

    def _faulty(self, mount: AuthMountRow, fault: ConfigurationFaultError) -> UnavailableError:
        """The administrator reads what is wrong in the log; whoever logs in does not."""
        log.warning("logins at auth/%s fail: %s", mount.path, fault)
        return UnavailableError(
            "source_misconfigured",
            "the directory cannot be asked as it is configured; the agent's log says why",
        )


def _username(request: LoginRequest) -> str:
    if request.path.startswith(_LOGIN):
        return request.path.removeprefix(_LOGIN)
    given = request.fields.get(_USERNAME, "")
    return given if isinstance(given, str) else ""


def _joined(groups: tuple[str, ...]) -> str:
    return "\n".join(sorted(groups))


def _refused(name: str) -> LoginRefusedError:
    return LoginRefusedError(
        "login_refused",
        "the name or the password is wrong",
        vault_message="ldap operation failed: failed to bind as user",
        counts_for=without_marks(name),
    )
