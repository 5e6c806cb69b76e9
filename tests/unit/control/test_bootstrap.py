"""The first account is made once."""

from pathlib import Path

import pytest

from control.api.control_plane import ControlPlane
from control.bootstrap import (
    create_admin,
    create_organization,
    is_initialized,
    read_or_create_password,
    require_uninitialized,
)
from control.errors import ConflictError
from protocols.pki.errors import PkiKeyError


async def test_the_first_account_may_do_everything_and_is_on_record(plane: ControlPlane) -> None:
    """Its password signs a super-admin in, and there is no second first account."""
    await require_uninitialized(plane)
    await create_organization(plane, "newco", "New")
    await create_admin(plane, "correct horse battery")
    secret, _ = await plane.accounts.login("platform", "admin", "correct horse battery")
    assert (await plane.sessions.authenticate(secret)).is_platform
    assert await is_initialized(plane)
    with pytest.raises(ConflictError, match="already_initialized"):
        await require_uninitialized(plane)
    [event] = await plane.audit_log.newest_events("platform", 0, 10)
    assert (event.operation, event.target) == ("users.create_user", "admin")
    [event] = await plane.audit_log.newest_events("newco", 0, 10)
    assert (event.operation, event.target) == ("organizations.create", "newco")


def test_a_password_is_kept_for_its_owner(tmp_path: Path) -> None:
    """Made once; one that others may read is refused."""
    file = tmp_path / "password"
    made = read_or_create_password(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_or_create_password(file) == made
    file.chmod(0o644)
    with pytest.raises(PkiKeyError):
        read_or_create_password(file)
