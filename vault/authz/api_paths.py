"""What an access is in the terms of the Vault-compatible API, where it did not come by that.

So that policies in Vault's language hold for the native API, its lists and dry runs, too: a secret
of a version 2 mount that is read is `secret/data/app/db` to them.
"""

from collections.abc import Mapping
from typing import Final

from vault.model.acl.access import USUAL_FORM, AclCapability, ApiAccess, ApiForm
from vault.model.mounts import MountTable
from vault.model.operation import Capability
from vault.model.records import MountRow

_C, _A = Capability, AclCapability
_OPERATIONS: Final[Mapping[Capability, AclCapability]] = {
    _C.CREATE: _A.CREATE,
    _C.READ: _A.READ,
    _C.READ_METADATA: _A.READ,
    _C.UPDATE: _A.UPDATE,
    _C.DELETE: _A.DELETE,
    _C.DESTROY: _A.DELETE,
    _C.LIST: _A.LIST,
    _C.SUDO: _A.UPDATE,
}
_VERSION_2: Final[Mapping[Capability, tuple[str, AclCapability]]] = {
    _C.CREATE: ("data/", _A.CREATE),
    _C.READ: ("data/", _A.READ),
    _C.READ_METADATA: ("metadata/", _A.READ),
    _C.UPDATE: ("data/", _A.UPDATE),
    _C.DELETE: ("data/", _A.DELETE),
    _C.DESTROY: ("destroy/", _A.UPDATE),
    _C.LIST: ("metadata/", _A.LIST),
    _C.SUDO: ("data/", _A.SUDO),
}
FOLDERS: Final = ("data/", "metadata/", "destroy/")
"""Where a version 2 mount has what the native API has in one place."""


def nearest_api_access(
    capability: Capability, path: str, mounts: MountTable, form: ApiForm = USUAL_FORM
) -> ApiAccess:
    """The request of the Vault-compatible API that comes nearest to an access."""
    folder = path if not path or path.endswith("/") else f"{path}/"
    place = folder if capability is _C.LIST else path
    mount = mounts.find_for_path(folder)
    if mount is None or not _is_version_2(mount):
        return _system_access(capability, place)
    prefix, operation = _VERSION_2[capability]
    below = place[len(mount.path) :]
    return ApiAccess(
        path=f"{mount.path}{form.tree or prefix}{below}", operation=form.operation or operation
    )


_POLICIES: Final = "sys/policies/"
_ACL_POLICIES: Final = "sys/policies/acl/"
_MOUNTS: Final = "sys/mounts/"
_TUNE: Final = "/tune"
_ACCESSORS: Final = "auth/token/accessors"
_LEASES: Final = ("sys/leases/lookup", "sys/leases/renew", "sys/leases/revoke")
"""The lease is a field of these, and the end of the path in the native API."""

_IDENTITY: Final = {
    "sys/entities": "identity/entity",
    "sys/aliases": "identity/entity-alias",
    "sys/groups": "identity/group",
    "sys/group-aliases": "identity/group-alias",
}
"""Their things are at `…/id/ID`."""
_BESIDE_IDS: Final = ("name/", "lookup", "merge", "batch-delete")

_AUDIT: Final = frozenset({"sys/audit", "sys/policies-replay"})
"""Who reads these learns of everybody: in OpenBao `sys/audit` takes `sudo`."""


def _system_access(capability: Capability, place: str) -> ApiAccess:
    """Of what lies in no mount of version 2, such as the agent's own paths."""
    operation = _OPERATIONS[capability]
    if place.startswith(_POLICIES):
        place = f"{_ACL_POLICIES}{place[len(_POLICIES) :]}"
    elif (identity := _identity_path(place)) is not None:
        place = identity
        operation = _A.UPDATE if capability is _C.CREATE else operation
    elif (factors := _mfa_path(place, capability)) is not None:
        return ApiAccess(path=factors, operation=_factor_operation(place, operation))
    elif place == _ACCESSORS and capability is _C.SUDO:
        return ApiAccess(path=f"{place}/", operation=_A.LIST, needs_sudo=True)
    elif place.startswith(_MOUNTS) and capability is _C.CREATE:
        operation = _A.UPDATE
    elif place.startswith(_MOUNTS) and capability is _C.UPDATE:
        place = f"{place}{_TUNE}"
    elif capability is _C.UPDATE:
        place = next((one for one in _LEASES if place.startswith(f"{one}/")), place)
    needs_sudo = capability is _C.SUDO or place in _AUDIT
    return ApiAccess(path=place, operation=operation, needs_sudo=needs_sudo)


_MFA: Final = {
    "sys/mfa/methods": "identity/mfa/method/totp",
    "sys/mfa/enforcements": "identity/mfa/login-enforcement",
}
_MFA_ENTITIES: Final = "sys/mfa/entities/"
_MFA_OWN: Final = "sys/mfa/generate"


def _mfa_path(place: str, capability: Capability) -> str | None:
    """The Vault API path for a path below `sys/mfa/`; None for `own` factors and other paths."""
    if place.startswith(_MFA_ENTITIES):
        verb = "admin-destroy" if capability is _C.DELETE else "admin-generate"
        return f"identity/mfa/method/totp/{verb}"
    if place == _MFA_OWN:
        return "identity/mfa/method/totp/generate"
    for resource, path in _MFA.items():
        if place.removesuffix("/") == resource or place.startswith(f"{resource}/"):
            return path + place[len(resource) :]
    return None


def _factor_operation(place: str, operation: AclCapability) -> AclCapability:
    """Factors of entities are generated and destroyed by an update there."""
    return _A.UPDATE if place.startswith(_MFA_ENTITIES) else operation


def _identity_path(place: str) -> str | None:
    """The path of an entity, a group or an alias; None for all others."""
    resource = next((one for one in _IDENTITY if place == one or place.startswith(f"{one}/")), None)
    if resource is None:
        return None
    name = place[len(resource) + 1 :]
    if not name:
        return f"{_IDENTITY[resource]}/id/" if place.endswith("/") else _IDENTITY[resource]
    return f"{_IDENTITY[resource]}/{name if name.startswith(_BESIDE_IDS) else f'id/{name}'}"


def api_folders(folder: str, mounts: MountTable) -> tuple[str, ...]:
    """The folders of the API in which things of `folder` (with its closing slash) are."""
    mount = mounts.find_for_path(folder)
    if mount is None or not _is_version_2(mount) or folder == mount.path:
        return (folder,)
    return tuple(f"{mount.path}{prefix}{folder[len(mount.path) :]}" for prefix in FOLDERS)


def _is_version_2(mount: MountRow) -> bool:
    return mount.type == "kv" and mount.version == 2  # noqa: PLR2004  # as its name


_NATIVE: Final[Mapping[AclCapability, Capability]] = {
    _A.CREATE: _C.CREATE,
    _A.READ: _C.READ,
    _A.UPDATE: _C.UPDATE,
    _A.PATCH: _C.UPDATE,
    _A.DELETE: _C.DELETE,
    _A.LIST: _C.LIST,
    _A.SCAN: _C.LIST,
    _A.SUDO: _C.SUDO,
}
_NATIVE_VERSION_2: Final[Mapping[tuple[str, AclCapability], Capability]] = {
    ("metadata", _A.READ): _C.READ_METADATA,
    ("metadata", _A.DELETE): _C.DESTROY,
    ("subkeys", _A.READ): _C.READ,
    ("delete", _A.UPDATE): _C.DELETE,
    ("undelete", _A.UPDATE): _C.DELETE,
    ("destroy", _A.UPDATE): _C.DESTROY,
}


def native_access(
    operation: AclCapability, path: str, mounts: MountTable
) -> tuple[Capability, str]:
    """The other way round: what a request of the Vault-compatible API is in native policies."""
    capability = _NATIVE[operation]
    mount = mounts.find_for_path(f"{path}/")
    if mount is None or not _is_version_2(mount):
        return capability, path
    tree, _, below = path[len(mount.path) :].partition("/")
    capability = _NATIVE_VERSION_2.get((tree, operation), capability)
    return capability, f"{mount.path}{below}" if below else mount.path
