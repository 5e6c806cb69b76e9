"""What an access is in the terms of the Vault-compatible API."""

import pytest

from vault.authz.api_paths import nearest_api_access
from vault.model.acl.access import AclCapability, ApiForm
from vault.model.mounts import MountTable
from vault.model.operation import Capability
from vault.model.records import MountRow


def mounts() -> MountTable:
    """`secret/` of version 2, `old/` of version 1."""
    return MountTable(
        MountRow(path=f"{name}/", id=name, accessor=name, version=version, created_at=1)
        for name, version in (("secret", 2), ("old", 1))
    )


@pytest.mark.parametrize(
    ("capability", "path", "expected"),
    [
        ("read", "secret/a", "read secret/data/a"),
        ("list", "secret/a", "list secret/metadata/a/"),
        ("destroy", "secret/a", "update secret/destroy/a"),
        ("read", "old/a", "read old/a"),
        ("read", "sys/policies/p", "read sys/policies/acl/p"),
        ("list", "sys/policies/", "list sys/policies/acl/"),
        ("create", "sys/mounts/a", "update sys/mounts/a"),
        ("update", "sys/mounts/a", "update sys/mounts/a/tune"),
        ("destroy", "sys/mounts/a", "delete sys/mounts/a"),
        ("sudo", "sys/seal", "update sys/seal, sudo"),
        ("sudo", "auth/token/accessors", "list auth/token/accessors/, sudo"),
        ("read", "sys/audit", "read sys/audit, sudo"),
        ("read", "sys/policies-replay", "read sys/policies-replay, sudo"),
        ("update", "sys/leases/lookup/database/creds/app/1", "update sys/leases/lookup"),
        ("sudo", "sys/leases/revoke-prefix/a", "update sys/leases/revoke-prefix/a, sudo"),
        ("read", "sys/users/u", "read sys/users/u"),
    ],
)
def test_the_nearest_request(capability: str, path: str, expected: str) -> None:
    """Where OpenBao has the same thing, it is the same right."""
    found = nearest_api_access(Capability(capability), path, mounts())
    assert f"{found.operation} {found.path}{', sudo' * found.needs_sudo}" == expected


def test_an_operation_may_have_a_form_of_its_own() -> None:
    """Of secrets in a version 2 mount."""
    form = ApiForm("undelete/", AclCapability.UPDATE)
    found = nearest_api_access(Capability.DELETE, "secret/a", mounts(), form)
    assert (found.operation, found.path) == ("update", "secret/undelete/a")
    found = nearest_api_access(Capability.DELETE, "old/a", mounts(), form)
    assert (found.operation, found.path) == ("delete", "old/a")
