"""The first account is made once."""

from pathlib import Path

import pytest

from control.bootstrap import (
    create_admin,
    create_organization,
    is_initialized,
    read_or_create_password,
    require_uninitialized,
)
from control.core import Core
from control.errors import ConflictError
from protocols.pki.errors import PkiKeyError


async def test_the_first_account_may_do_everything_and_is_on_record(core: Core) -> None:
    """Its password signs a super-admin in, and there is no second first account."""
    await require_uninitialized(core)
    await create_organization(core, "newco", "New")
    await create_admin(core, "correct horse battery")
    secret, _ = await core.people.accounts.login("platform", "admin", "correct horse battery")
    assert (await core.people.sessions.authenticate(secret)).is_platform
    assert await is_initialized(core)
    with pytest.raises(ConflictError, match="already_initialized"):
        await require_uninitialized(core)
    [event] = await core.audit.log.newest_events("platform", 0, 10)
    assert (event.operation, event.target) == ("users.create_user", "admin")
    [event] = await core.audit.log.newest_events("newco", 0, 10)
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
