"""Nobody edits the credentials of someone more privileged.

Whoever may write users, roles or keys could otherwise give himself, through another's credential,
what no policy gave him. So an edit takes every policy of the one who is edited, before and after.
Policies are compared by name: who may write a policy can put anything in it, and is to be trusted
with everything (docs/policies.md).
"""

from collections.abc import Iterable

from vault.errors import AuthorizationError
from vault.model.identity import DEFAULT_POLICY, ROOT_POLICY, Identity, Permission


def require_covers(caller: Identity, policies: Iterable[str]) -> None:
    """Raise `AuthorizationError` unless the caller holds all of these policies himself.

    A caller whose key is cut down by permissions holds no policy whole.
    """
    if caller.permissions:
        raise _refusal("an API key with permissions cannot edit users, roles or tokens")
    _require_held(caller, policies)


def require_covers_key(
    caller: Identity, policies: Iterable[str], permissions: tuple[Permission, ...]
) -> None:
    """As `require_covers`, for a key with these permissions.

    A caller that is cut down may make a key for what he is cut down to, or less.
    """
    _require_held(caller, policies)
    if caller.permissions and not (
        permissions and all(_within(wanted, caller.permissions) for wanted in permissions)
    ):
        raise _refusal("the key's permissions must lie within those of the key that makes it")


def _require_held(caller: Identity, policies: Iterable[str]) -> None:
    held = {*caller.policies, DEFAULT_POLICY}
    if ROOT_POLICY not in held and not held.issuperset(policies):
        raise _refusal("this takes every policy of the user or role that is edited")


def _within(wanted: Permission, held: tuple[Permission, ...]) -> bool:
    return any(
        set(wanted.capabilities) <= set(have.capabilities) and set(wanted.paths) <= set(have.paths)
        for have in held
    )


def _refusal(why: str) -> AuthorizationError:
    return AuthorizationError("more_privileged", why)
