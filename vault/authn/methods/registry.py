"""Which login methods there are: one line each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from actors.world import World
from vault.authn.credential_scheme import CredentialScheme
from vault.authn.jwt.source_client import SourceClient
from vault.authn.methods.approle import AppRole
from vault.authn.methods.cert import CertMethod
from vault.authn.methods.json_web_token import JwtMethod
from vault.authn.methods.jwt_mounts import JwtMounts
from vault.authn.methods.kubernetes import KubernetesMethod
from vault.authn.methods.ldap.method import LdapMethod
from vault.authn.methods.method import EntryReader, LoginMethod
from vault.authn.methods.ocsp import OcspChecker
from vault.authn.methods.passwords import PasswordHashes
from vault.authn.methods.saml.method import SamlMethod
from vault.authn.methods.token_roles import TokenRoles
from vault.authn.methods.userpass import Userpass
from vault.model.identity import Method


@dataclass(frozen=True, kw_only=True)
class MethodParts:
    """What methods are made with. `random`: that many random bytes. `sources`: asks by HTTP."""

    entries: EntryReader
    scheme: CredentialScheme
    world: World
    random: Callable[[int], bytes]
    sources: SourceClient | None = None


def make_login_methods(parts: MethodParts) -> Mapping[str, LoginMethod]:
    """The methods by the type of their mounts."""
    sources = parts.sources or SourceClient(parts.world)
    jwt_mounts = JwtMounts(parts.entries, sources, parts.world)

    def new_secret() -> str:
        return parts.random(32).hex()

    methods: list[LoginMethod] = [
        AppRole(parts.entries, parts.scheme, parts.world, parts.random),
        TokenRoles(parts.entries),
        Userpass(parts.entries, PasswordHashes(parts.world)),
        LdapMethod(parts.entries, parts.world),
        CertMethod(parts.entries, parts.world, OcspChecker(sources, parts.world, parts.random)),
        JwtMethod(Method.JWT, jwt_mounts, new_secret),
        JwtMethod(Method.OIDC, jwt_mounts, new_secret),
        KubernetesMethod(parts.entries, sources, parts.world),
        SamlMethod(parts.entries, parts.world, new_secret),
    ]
    return {method.type: method for method in methods}
