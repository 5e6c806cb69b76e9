"""An account is let in again, with its record, or nothing happens."""

import pytest
from argon2 import PasswordHasher

from actors.testing import FakeWorld
from control.authn.passwords import Passwords
from control.core import Core
from control.errors import AuthenticationError, NotFoundError, ValidationError
from control.model.conditions import CREDENTIALS_RESET
from control.model.notices import ChannelTerms, Type
from control.model.people import Caller, Role, TokenKind
from control.offline import restore_account
from control.services.channels import ChannelDraft
from tests.unit.control.authn.test_second_factors import armed
from tests.unit.control.conftest import PASSWORD, ROOT

NEW = "another long password"


async def test_it_is_let_in_again(core: Core, world: FakeWorld) -> None:
    """Locked, disabled, its authenticator lost: the new password is enough, the old ends."""
    await armed(core, world)
    await core.people.users.create_user(None, "acme", "other", ROOT.role, PASSWORD)
    for _ in range(6):
        with pytest.raises(AuthenticationError):
            await core.people.accounts.login("acme", "ann", "wrong")
    await core.people.users.change_user(ROOT, "acme", "ann", role=None, disabled=True)
    cheap = Passwords(world, PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    await restore_account(core.store, cheap, "acme", "ann", NEW)
    with pytest.raises(AuthenticationError):
        await core.people.accounts.login("acme", "ann", PASSWORD)
    _, token = await core.people.accounts.login("acme", "ann", NEW)
    assert token.kind is TokenKind.SESSION
    [event] = await core.audit.log.newest_events("acme", 0, 1)
    assert (event.operation, event.target, event.ip, event.actor) == (
        "users.rescue", "ann", "local", "",
    )  # fmt: skip


async def test_what_the_account_set_up_is_listed(core: Core, world: FakeWorld) -> None:
    """To whoever recovers it; invitations that nobody has used are withdrawn."""
    ann = Caller("acme", "ann", Role.OWNER, "t")
    await core.invitations.invitations.create_invitation(ann, "acme", "m@b.example", Role.OWNER)
    draft = ChannelDraft(
        "hook", Type.WEBHOOK, enabled=True, terms=ChannelTerms(), url="https://h.example/x"
    )
    await core.notifications.channels.create_channel("acme", draft, "acme/ann")
    cheap = Passwords(world, PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    found = await restore_account(core.store, cheap, "acme", "ann", NEW)
    assert found.organizations == ["acme"]
    assert found.withdrawn == {"acme": ["invitation of m@b.example"]}
    assert found.active == {"acme": ["channel hook (h.example)"]}
    assert await core.invitations.invitations.list_invitations("acme") == []
    [alert] = await core.agents.alerts.list_alerts("acme", vault="", before=0, limit=9)
    assert alert.code == CREDENTIALS_RESET


async def test_nothing_happens_else(core: Core, world: FakeWorld) -> None:
    """Nobody of the name; a password that would not do."""
    cheap = Passwords(world, PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    with pytest.raises(NotFoundError):
        await restore_account(core.store, cheap, "acme", "nobody", NEW)
    with pytest.raises(ValidationError):
        await restore_account(core.store, cheap, "acme", "ann", "short")
    assert await core.audit.log.newest_events("acme", 0, 1) == []
