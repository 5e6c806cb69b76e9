"""Token roles: `auth/token/roles`. What tokens may have that are made by one, with OpenBao's words.

They are kept as the entries of an auth method are. Nobody logs in by it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final, NoReturn

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from protocols.instant import SECOND
from vault.authn.bound_origin import parse_cidrs
from vault.authn.methods.documents import MAX_TEXTS, exact_name
from vault.authn.methods.method import (
    Action,
    Duration,
    EntryChange,
    EntryKind,
    EntryReader,
    LoginRefusedError,
    LoginRequest,
    LoginResult,
    TokenType,
)
from vault.authn.tokens import BATCH_TYPE, NewToken, choose_policies
from vault.errors import ValidationError
from vault.model.auth_mounts import TOKEN_MOUNT
from vault.model.identity import DEFAULT_POLICY, ROOT_POLICY, Identity
from vault.model.name import canonical_name, echoed
from vault.model.records import AuthMountRow, TokenRow

ROLE: Final = "role"
_SUFFIX: Final = re.compile(r"\w[\w.-]+\w", re.ASCII)
_TYPES: Final = frozenset(
    {TokenType.SERVICE, TokenType.BATCH, TokenType.DEFAULT_SERVICE, TokenType.DEFAULT_BATCH}
)


class TokenRole(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """A token role. `period` and `explicit_max_ttl` are the former names of two fields."""

    allowed_policies: tuple[str, ...] = ()
    allowed_policies_glob: tuple[str, ...] = ()
    disallowed_policies: tuple[str, ...] = ()
    disallowed_policies_glob: tuple[str, ...] = ()
    orphan: bool = False
    renewable: bool = True
    path_suffix: str = ""
    period: Duration = 0
    explicit_max_ttl: Duration = 0
    token_period: Duration = 0
    token_explicit_max_ttl: Duration = 0
    token_num_uses: Annotated[int, msgspec.Meta(ge=0)] = 0
    token_bound_cidrs: tuple[str, ...] = ()
    token_no_default_policy: bool = False
    token_type: str = TokenType.DEFAULT_SERVICE


class TokenRoles:
    """The roles as a method of the mount `token/`, and what becomes of a request by one."""

    type: Final = "token"
    login_paths: Final = ()
    actions: Final[Mapping[str, Action[Any]]] = {}

    def __init__(self, entries: EntryReader) -> None:
        self._entries = entries
        self.kinds: Mapping[str, EntryKind[Any]] = {
            ROLE: EntryKind(
                name=ROLE,
                folder="roles",
                document=TokenRole,
                aliases={"bound_cidrs": "token_bound_cidrs"},
                canonical=exact_name,
                prepare=_prepare,
            )
        }

    async def get(self, name: str) -> "RoleRequest":
        """A role by its name. Raises `ValidationError` for one that is not there."""
        entry = await self._entries.get(TOKEN_MOUNT.id, ROLE, name)
        if entry is None:
            raise ValidationError("role_unknown", f"unknown role {echoed(name)}")
        return RoleRequest(name, msgspec.convert(entry.document, TokenRole))

    def lockout_name(self, request: LoginRequest) -> str:  # noqa: ARG002  # the signature of `LoginMethod`
        """Nobody's."""
        return ""

    async def login(self, request: LoginRequest) -> LoginResult:  # noqa: ARG002  # the same
        """Nobody logs in by a token role."""
        _refuse()

    async def renew(self, mount: AuthMountRow, token: TokenRow) -> None:  # noqa: ARG002  # the same
        """No token is of a login by one."""
        _refuse()


@dataclass(frozen=True)
class RoleRequest:
    """A request for a token by a role: `RoleLimits`."""

    name: str
    role: TokenRole

    @property
    def orphan(self) -> bool:
        """Whether its tokens have no parent."""
        return self.role.orphan

    def applied(self, new: NewToken) -> NewToken:
        """What is asked for as the role lets it be. Raises `ValidationError`."""
        role = self.role
        path = f"auth/token/create/{self.name}"
        kind = role.token_type
        if kind in {TokenType.DEFAULT_SERVICE, TokenType.DEFAULT_BATCH} and new.type:
            kind = TokenType(new.type)
        is_batch = kind in {TokenType.BATCH, TokenType.DEFAULT_BATCH}
        return replace(
            new,
            role=self.name,
            path=f"{path}/{role.path_suffix}" if role.path_suffix else path,
            type=BATCH_TYPE if is_batch else "",
            no_parent=False,  # whether its tokens have a parent is the role's to say
            period=_lesser(role.token_period, new.period),
            explicit_max_ttl=_lesser(role.token_explicit_max_ttl, new.explicit_max_ttl),
            num_uses=_lesser(role.token_num_uses, new.num_uses),
            renewable=role.renewable and new.renewable,
            bound_cidrs=role.token_bound_cidrs,
        )

    def remarks(self, new: NewToken) -> tuple[str, ...]:
        """What is told of bounds that are both asked for and the role's."""
        both = (
            ("Explicit max TTL", self.role.token_explicit_max_ttl, new.explicit_max_ttl),
            ("Period", self.role.token_period, new.period),
        )
        return tuple(
            f"{what} specified both during creation call and in role; using the lesser value of "
            f"{min(one, other) // SECOND} seconds"
            for what, one, other in both
            if one and other
        )

    def choose(self, caller: Identity, new: NewToken, *, sudo: bool) -> tuple[str, ...]:
        """The policies of a token by the role. Raises `ValidationError`."""
        role = self.role
        allows = bool(role.allowed_policies or role.allowed_policies_glob)
        denies = bool(role.disallowed_policies or role.disallowed_policies_glob)
        if not allows and not denies:
            return self._without_default(caller, new, choose_policies(caller, new, sudo=sudo))
        if allows:
            new = replace(new, policies=new.policies or role.allowed_policies or None)
        # A role lets its caller give what the caller does not have: that is what roles are for.
        chosen = self._without_default(caller, new, choose_policies(caller, new, sudo=True))
        if ROOT_POLICY in chosen and ROOT_POLICY not in caller.policies:
            raise ValidationError(
                "token_invalid", "root tokens may not be created without parent token being root"
            )
        if allows:
            self._require_allowed(chosen)
        for policy in chosen:
            if policy in role.disallowed_policies or _matches(
                policy, role.disallowed_policies_glob
            ):
                raise ValidationError(
                    "policy_disallowed", f'token policy "{policy}" is disallowed by this role'
                )
        return chosen

    def _without_default(
        self, caller: Identity, new: NewToken, chosen: tuple[str, ...]
    ) -> tuple[str, ...]:
        """Where the role has it so, `default` is given to those alone that name it."""
        named = new.policies or caller.policies
        if not self.role.token_no_default_policy or DEFAULT_POLICY in named:
            return chosen
        return tuple(name for name in chosen if name != DEFAULT_POLICY)

    def _require_allowed(self, chosen: tuple[str, ...]) -> None:
        role = self.role
        allowed = set(role.allowed_policies)
        if not role.token_no_default_policy:
            allowed.add(DEFAULT_POLICY)
        if all(p in allowed or _matches(p, role.allowed_policies_glob) for p in chosen):
            return
        raise ValidationError(
            "policy_disallowed",
            f"token policies ({_quoted(chosen)}) must be subset of the role's allowed policies "
            f"({_quoted(sorted(allowed))}) or glob policies "
            f"({_quoted(role.allowed_policies_glob)})",
        )


async def _prepare(change: EntryChange[TokenRole]) -> TokenRole:
    role, given = change.new, change.given
    for old, new in (("period", "token_period"), ("explicit_max_ttl", "token_explicit_max_ttl")):
        if new in given:
            role = replace(role, **{old: 0})
        elif old in given:
            role = replace(role, **{new: getattr(role, old)})
    if role.path_suffix and not _SUFFIX.fullmatch(role.path_suffix):
        raise ValidationError(
            "path_suffix_invalid",
            "given role path suffix contains invalid characters; must match \\w[\\w-.]+\\w",
            field="path_suffix",
        )
    kind = role.token_type.replace("_", "-") or TokenType.DEFAULT_SERVICE
    if kind == TokenType.DEFAULT:
        kind = TokenType.DEFAULT_SERVICE
    if kind not in _TYPES:
        raise ValidationError(
            "token_type_invalid",
            f"invalid 'token_type' value \"{echoed(kind)}\"",
            field="token_type",
        )
    if kind == TokenType.BATCH:
        _check_batch(role)
    return replace(
        role,
        token_type=kind,
        token_bound_cidrs=parse_cidrs(role.token_bound_cidrs, "token_bound_cidrs"),
        allowed_policies=_names(role.allowed_policies, "allowed_policies"),
        disallowed_policies=_names(role.disallowed_policies, "disallowed_policies"),
        allowed_policies_glob=_globs(role.allowed_policies_glob, "allowed_policies_glob"),
        disallowed_policies_glob=_globs(role.disallowed_policies_glob, "disallowed_policies_glob"),
    )


def _check_batch(role: TokenRole) -> None:
    for is_wrong, what in (
        (not role.orphan, "non-orphan"),
        (role.renewable, "renewable"),
        (bool(role.token_period), "periodic"),
    ):
        if is_wrong:
            raise ValidationError(
                "token_type_invalid",
                f"'token_type' cannot be 'batch' when role is set to generate {what} tokens",
                field="token_type",
            )


def _names(names: tuple[str, ...], field: str) -> tuple[str, ...]:
    return tuple(sorted({canonical_name(n.strip(), field) for n in names if n.strip()}))


def _globs(globs: tuple[str, ...], field: str) -> tuple[str, ...]:
    """Patterns with `*` alone. Raises `ValidationError`."""
    found = tuple(sorted({glob.strip().lower() for glob in globs if glob.strip()}))
    if len(found) > MAX_TEXTS or any(not set("[]?!").isdisjoint(glob) for glob in found):
        raise ValidationError("glob_invalid", f"{field} may have '*' alone", field=field)
    return found


def _matches(policy: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatchcase(policy, glob) for glob in globs)


def _quoted(names: Any) -> str:
    return "[" + " ".join(f'"{name}"' for name in names) + "]"


def _lesser(one: int, other: int) -> int:
    """The lesser of two bounds; 0 is none."""
    return min(one, other) if one and other else one or other


def _refuse() -> NoReturn:
    raise LoginRefusedError("login_refused", "permission denied", vault_status=403)
