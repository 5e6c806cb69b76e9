"""A request as the Vault-compatible API names it: a path under `/v1/` and one of Vault's verbs."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final, TypeAlias

from msgspec import Struct


class AclCapability(StrEnum):
    """The verbs of policies in Vault's language. `deny` beats all others of its path."""

    CREATE = "create"
    READ = "read"
    UPDATE = "update"
    PATCH = "patch"
    DELETE = "delete"
    LIST = "list"
    SCAN = "scan"
    SUDO = "sudo"
    DENY = "deny"


ReadParameters: TypeAlias = Callable[[], Mapping[str, object]]


class ApiAccess(Struct, frozen=True, kw_only=True):
    """What policies in Vault's language decide on.

    `parameters`: the fields of the request; None: not known, so that no limit on them holds.
    `wrapping_ttl`: ns, of an answer that is to be wrapped; 0: it is not.
    """

    path: str
    operation: AclCapability
    needs_sudo: bool = False
    parameters: ReadParameters | None = None
    wrapping_ttl: int = 0


class ApiForm(Struct, frozen=True):
    """How the Vault-compatible API has an operation on a secret of a version 2 mount.

    `tree`: where, such as `metadata/`; empty: where it has the capability. `operation`: its verb.
    """

    tree: str = ""
    operation: AclCapability | None = None


USUAL_FORM: Final = ApiForm()
