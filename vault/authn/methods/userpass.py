"""Userpass: people with a password that they chose. Names fold case; unknown ones cost the same."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from vault.authn.bound_origin import is_within
from vault.authn.methods.documents import checked_token_fields, folded_name
from vault.authn.methods.method import (
    Action,
    ActionRequest,
    ActionVerb,
    EntryChange,
    EntryKind,
    EntryReader,
    LoginRefusedError,
    LoginRequest,
    LoginResult,
    TokenFields,
)
from vault.authn.methods.passwords import PasswordHashes
from vault.errors import NotFoundError, ValidationError
from vault.model.records import AuthMountRow, TokenRow

USER: Final = "user"
PASSWORD: Final = "password"
_LOGIN: Final = "login/"


class User(TokenFields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A user: what its tokens are, and the hash of its password."""

    password_hash: str = ""


class NewPassword(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A user's new password."""

    password: str = ""


class Userpass:
    """The method; see `LoginMethod`."""

    type: Final = "userpass"
    login_paths: Final = ("login/{name}",)

    def __init__(self, entries: EntryReader, passwords: PasswordHashes) -> None:
        self._entries = entries
        self._passwords = passwords
        self.kinds: Mapping[str, EntryKind[Any]] = {
            USER: EntryKind(
                name=USER,
                folder="users",
                document=User,
                sealed=frozenset({"password_hash"}),
                write_only={PASSWORD: str},
                aliases={
                    "policies": "token_policies",
                    "ttl": "token_ttl",
                    "max_ttl": "token_max_ttl",
                    "bound_cidrs": "token_bound_cidrs",
                },
                canonical=folded_name,
                prepare=self._prepare,
            )
        }
        self.actions: Mapping[str, Action[Any]] = {
            PASSWORD: Action(
                name=PASSWORD,
                verb=ActionVerb.UPDATE,
                path="users/{name}/password",
                run=self._change_password,
                fields=NewPassword,
                canonical=folded_name,
            )
        }

    def lockout_name(self, request: LoginRequest) -> str:
        """The user's name as it is stored: no other spelling has a count of its own."""
        return _name(request)

    async def login(self, request: LoginRequest) -> LoginResult:
        """The user of a name and its password; one text and one work for unknown and wrong."""
        password = request.fields.get(PASSWORD)
        if not isinstance(password, str) or not password:
            raise ValidationError("missing_password", "missing password", field=PASSWORD)
        name = _name(request)
        entry = await self._entries.get(request.mount.id, USER, name)
        user = User() if entry is None else msgspec.convert(entry.document, User)
        right = await self._passwords.is_match(
            user.password_hash, password, mount=request.mount.id, address=request.origin.ip
        )
        if entry is None or not right:
            raise LoginRefusedError("login_refused", "invalid username or password")
        if user.token_bound_cidrs and not is_within(request.origin.ip, user.token_bound_cidrs):
            raise LoginRefusedError("login_refused", "permission denied", vault_status=403)
        entry_id, hashed = entry.id, user.password_hash
        return LoginResult(
            alias=name,
            display_name=name,
            token=user.token_parameters,
            metadata={"username": name},
            role=name,
            renewal={"id": entry_id},
            is_person=True,
            claim=lambda tx: _require_unchanged(tx.get(USER, name), entry_id, hashed),
        )

    async def renew(self, mount: AuthMountRow, token: TokenRow) -> None:
        """While the user is there."""
        entry = await self._entries.get(mount.id, USER, token.role or "")
        renewal = token.renewal or {}
        if entry is None or entry.id != renewal.get("id"):
            raise LoginRefusedError("user_gone", "user no longer exists")

    async def _prepare(self, change: EntryChange[User]) -> User:
        document = checked_token_fields(change.new)
        password = change.given.get(PASSWORD)
        if "password_hash" in change.given:
            raise ValidationError(
                "password_hash_unsupported",
                "password_hash cannot be written: write the password",
                field="password_hash",
            )
        if password:
            hashed = await self._passwords.hash_password(password)
            return msgspec.structs.replace(document, password_hash=hashed)
        if change.old is None:
            raise ValidationError("missing_password", "missing password", field=PASSWORD)
        return document

    async def _change_password(self, request: ActionRequest[NewPassword]) -> None:
        hashed = await self._passwords.hash_password(request.fields.password)
        kind = self.kinds[USER]

        def change(tx: Any) -> None:
            entry = tx.get(kind.name, request.name)
            if entry is None:
                raise NotFoundError("entry_not_found", "username does not exist")
            tx.put(kind.name, request.name, {**entry.document, "password_hash": hashed})

        await self._entries.transact(request.mount.id, change)


def _name(request: LoginRequest) -> str:
    return folded_name(request.path.removeprefix(_LOGIN))


def _require_unchanged(entry: Any, entry_id: str, hashed: str) -> None:
    """A user that was removed, or has another password by now, does not come in."""
    if entry is None or entry.id != entry_id or entry.document.get("password_hash") != hashed:
        raise LoginRefusedError("login_refused", "invalid username or password")
