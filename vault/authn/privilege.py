"""A caller cannot edit the credentials of a more privileged user, or lift their own denials.

A caller who may write users, roles or keys could otherwise gain, through another user's credential,
what no policy allows or what a policy denies. So the edited user must, before and after, lie within
the caller's authority:

- the caller holds each policy of the user, but for those that only deny;
- the user has each policy that denies the caller something.

Policies are compared by name, and a policy counts as denying while it has a rule that denies,
disabled or not. All is read in the transaction of the change (docs/reference/policies.md).
"""

from collections.abc import Collection, Iterable
from typing import Final

import msgspec
from msgspec import Struct

from protocols import json_text
from vault.authn.credential_validity import RowLookup
from vault.errors import AuthorizationError
from vault.model.acl.policy import parse_acl_policy
from vault.model.identity import DEFAULT_POLICY, ROOT_POLICY, Identity, Permission
from vault.model.records import BUNDLE_ROW
from vault.store.tables import POLICIES

MOST_NAMED: Final = 3  # policies in an error
DENY: Final = "deny"  # `effect` of a rule, as it is stored
ALLOW: Final = "allow"


def require_authority_over(get: RowLookup, caller: Identity, policies: Collection[str]) -> None:
    """Raise `AuthorizationError` unless these policies of a user lie within the caller's authority.

    A caller whose key is cut down by permissions holds no policy whole.
    """
    _require_whole(caller)
    _require_within(get, caller, policies)


def require_authority_over_key(
    get: RowLookup,
    caller: Identity,
    policies: Collection[str],
    permissions: tuple[Permission, ...],
) -> None:
    """As `require_authority_over`, for a key with these permissions.

    A caller with permissions may make a key for the same permissions, or fewer.
    """
    if caller.ceiling or caller.is_transient:
        _require_whole(caller)
    _require_within(get, caller, policies)
    if caller.permissions and not (
        permissions and all(_within(wanted, caller.permissions) for wanted in permissions)
    ):
        raise _refusal("the key's permissions must lie within those of the key that makes it")


def require_authority_over_role(
    get: RowLookup, caller: Identity, before: Collection[str], after: Collection[str] | None
) -> None:
    """Raise `AuthorizationError` unless the caller may make this of a role; None: delete it.

    What denies the caller something must be in the new role, and must not go with the old one:
    whoever has the role would have more than the caller.
    """
    _require_whole(caller)
    effects = _PolicyEffects(get)
    _require_held(effects, caller, {*before, *(after or ())})
    binding = effects.names_that_deny(caller.binding_policies)
    if after is not None:
        _require_bound(binding, after)
    elif lifted := sorted(binding.intersection(before)):
        raise AuthorizationError(
            "denial_lifted",
            f"the role holds {_names(lifted)}, which denies you something: only somebody "
            "who is not bound by it can delete the role",
        )


def require_none_denies(get: RowLookup, caller: Identity, policies: Collection[str]) -> None:
    """Raise `AuthorizationError` where one of these policies denies the caller something.

    For what is forgotten of somebody who can log in again, and would come back without them.
    """
    binding = _PolicyEffects(get).names_that_deny(caller.binding_policies)
    if lifted := sorted(binding.intersection(policies)):
        raise AuthorizationError(
            "denial_lifted",
            f"{_names(lifted)} denies you something, and would no longer bind whoever logs in "
            "anew: only somebody who is not bound by it can do this",
        )


def _require_within(get: RowLookup, caller: Identity, policies: Collection[str]) -> None:
    effects = _PolicyEffects(get)
    _require_held(effects, caller, policies)
    _require_bound(effects.names_that_deny(caller.binding_policies), policies)


def _require_whole(caller: Identity) -> None:
    if caller.permissions:
        raise _refusal("an API key with permissions cannot edit users, roles or tokens")
    if caller.ceiling:
        raise _refusal("a token of another issuer cannot edit users, roles, keys or tokens")
    if caller.is_transient:
        raise _refusal(
            "a login that goes with a request cannot edit users, roles, keys or tokens: log in at "
            "the auth mount first"
        )


def _require_held(effects: "_PolicyEffects", caller: Identity, policies: Iterable[str]) -> None:
    held = {*caller.policies, DEFAULT_POLICY}
    if ROOT_POLICY in held:
        return
    if not all(name in held or effects.only_denies(name) for name in policies):
        raise _refusal("this takes every policy of the user or role that is edited")


def _require_bound(binding: frozenset[str], policies: Iterable[str]) -> None:
    if missing := sorted(binding.difference(policies, (DEFAULT_POLICY,))):
        raise AuthorizationError(
            "denial_lifted",
            f"{_names(missing)} denies you something: the user or role that you edit "
            "must have it too, before and after",
        )


def _within(wanted: Permission, held: tuple[Permission, ...]) -> bool:
    return any(
        set(wanted.capabilities) <= set(have.capabilities) and set(wanted.paths) <= set(have.paths)
        for have in held
    )


def _refusal(why: str) -> AuthorizationError:
    return AuthorizationError("more_privileged", why)


def _names(names: list[str]) -> str:
    shown = ", ".join(f'"{name}"' for name in names[:MOST_NAMED])
    more = len(names) - MOST_NAMED
    return f"policy {shown}" + (f" and {more} more" if more > 0 else "")


class _Rule(Struct, frozen=True):
    effect: str


class _Document(Struct, frozen=True):
    name: str
    rules: list[_Rule] = []
    acl: str = ""

    @property
    def effects(self) -> list[str]:
        """The effect of each rule; of a text in Vault's language, which effects it has."""
        found = [rule.effect for rule in self.rules]
        if self.acl:
            acl = parse_acl_policy(self.name, self.acl)
            found += [DENY] * bool(acl.denials) + [ALLOW] * acl.allows
        return found


class _PolicyEffects:
    """What the stored policies do, local ones and those of a control plane's bundle."""

    def __init__(self, get: RowLookup) -> None:
        self._get = get
        self._bundle: dict[str, list[str]] | None = None

    def names_that_deny(self, names: Iterable[str]) -> frozenset[str]:
        """Return those of the names whose policies have a rule that denies."""
        return frozenset(name for name in names if DENY in self._effects(name))

    def only_denies(self, name: str) -> bool:
        """Say whether the policy has rules, and none that allows."""
        return set(self._effects(name)) == {DENY}

    def _effects(self, name: str) -> list[str]:
        if self._bundle is None:
            row = self._get(POLICIES, BUNDLE_ROW)
            texts = [] if row is None else row.document["rules"]
            found = [json_text.decode(text, type=_Document) for text in texts]
            self._bundle = {policy.name: policy.effects for policy in found}
        row = self._get(POLICIES, name)
        local = [] if row is None else msgspec.convert(row.document, _Document).effects
        return local + self._bundle.get(name, [])
