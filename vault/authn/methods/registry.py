"""Which login methods there are: one line each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from actors.world import World
from vault.authn.credential_scheme import CredentialScheme
from vault.authn.methods.approle import AppRole
from vault.authn.methods.cert import CertMethod
from vault.authn.methods.ldap.method import LdapMethod
from vault.authn.methods.method import EntryReader, LoginMethod
from vault.authn.methods.passwords import PasswordHashes
from vault.authn.methods.token_roles import TokenRoles
from vault.authn.methods.userpass import Userpass


@dataclass(frozen=True, kw_only=True)
class MethodParts:
    """What methods are made with. `random`: that many random bytes."""

    entries: EntryReader
    scheme: CredentialScheme
    world: World
    random: Callable[[int], bytes]


def make_login_methods(parts: MethodParts) -> Mapping[str, LoginMethod]:
    """The methods by the type of their mounts."""
    methods: list[LoginMethod] = [
        AppRole(parts.entries, parts.scheme, parts.world, parts.random),
        TokenRoles(parts.entries),
        Userpass(parts.entries, PasswordHashes(parts.world)),
        LdapMethod(parts.entries, parts.world),
        CertMethod(parts.entries, parts.world),
    ]
    return {method.type: method for method in methods}
