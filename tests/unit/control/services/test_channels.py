"""Channels keep their secrets, and what people may say of them has bounds."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from control.errors import (
    ConflictError,
    ControlError,
    NotFoundError,
    RateLimitError,
    ValidationError,
)
from control.model.notices import ChannelTerms, Quiet, Server, Tls, Type
from control.services import channels
from control.services.channels import ChannelDraft, validate_quiet_hours
from control.services.hourly_limits import BURST
from protocols.errors import TamperedError
from tests.newest import place_control
from tests.unit.control.notify.receiving import is_genuine, mailbox, receiver, status
from tests.unit.control.services.told import Rig, bytes_of, rig

HOOK = ChannelDraft(
    "hook",
    Type.WEBHOOK,
    enabled=True,
    terms=ChannelTerms(),
    url="https://hooks.example/secret?t=token",
)
SERVER = Server("mail.example", 587, Tls.STARTTLS, "ann", "f@acme.example")
TO_A = ChannelTerms(to=("a@b.example",), server=SERVER)
MAIL = ChannelDraft("mail", Type.EMAIL, enabled=True, terms=TO_A, password="sesame")


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Rig]:
    """On SQLite."""
    async with rig(place_control(tmp_path)) as made:
        yield made


async def test_secrets_are_sealed_and_the_key_is_shown_once(there: Rig, tmp_path: Path) -> None:
    """Nothing in the row or the files tells address, password or key; of the address its host."""
    own = there.parts.channels
    held, key = await own.create_channel("acme", HOOK, "acme/ann")
    assert (held.channel.host, key[:6]) == ("hooks.example", "whsec_")
    mail, nothing = await own.create_channel("acme", MAIL, "acme/ann")
    assert (mail.channel.host, nothing) == ("mail.example", "")
    assert own.unseal_secrets(held.channel).url == HOOK.url
    assert own.unseal_secrets(mail.channel).password == "sesame"
    kept = bytes_of(tmp_path)
    assert b"hooks.example" in kept
    for secret in (b"sesame", b"/secret?t=token", own.unseal_secrets(held.channel).keys[0]):
        assert secret not in kept
    moved = replace(mail.channel, id=held.channel.id)
    with pytest.raises(TamperedError):
        own.unseal_secrets(moved)


async def test_what_is_left_out_stays(there: Rig) -> None:
    """Except for a password whose server changes: it would be given away."""
    own = there.parts.channels
    held, _ = await own.create_channel("acme", HOOK, "acme/ann")
    one = held.channel.id
    changed, _ = await own.change_channel(
        "acme", one, replace(HOOK, name="other", url=""), "acme/ann"
    )
    assert (changed.channel.name, changed.channel.host) == ("other", "hooks.example")
    assert own.unseal_secrets(changed.channel).url == HOOK.url
    mail, _ = await own.create_channel("acme", MAIL, "acme/ann")
    kept, _ = await own.change_channel(
        "acme", mail.channel.id, replace(MAIL, password=""), "acme/ann"
    )
    assert own.unseal_secrets(kept.channel).password == "sesame"
    theirs = replace(MAIL.terms, server=replace(SERVER, host="evil.example"))
    with pytest.raises(ValidationError, match="password"):
        await own.change_channel(
            "acme", mail.channel.id, replace(MAIL, terms=theirs, password=""), "acme/ann"
        )
    bare = replace(theirs, server=replace(SERVER, host="evil.example", username=""))
    moved, _ = await own.change_channel(
        "acme", mail.channel.id, replace(MAIL, terms=bare, password=""), "acme/ann"
    )
    assert own.unseal_secrets(moved.channel).password == ""


@pytest.mark.parametrize(
    ("draft", "code"),
    [
        (replace(HOOK, url=""), "url_missing"),
        (replace(HOOK, url="http://hooks.example/"), "url_invalid"),
        (replace(HOOK, password="x"), "not_mail"),
        (replace(HOOK, terms=ChannelTerms(to=("a@b.example",))), "not_mail"),
        (replace(HOOK, terms=ChannelTerms(quiet=Quiet("22:00", "22:00", "UTC"))), "quiet_invalid"),
        (replace(MAIL, url="https://a.example/"), "not_mail"),
        (replace(MAIL, terms=ChannelTerms(server=SERVER)), "to_missing"),
        (replace(MAIL, terms=ChannelTerms(to=("a@b.example",))), "server_missing"),
        (replace(MAIL, terms=ChannelTerms(to=("a b@c.example",), server=SERVER)), "email_invalid"),
        (replace(MAIL, password=""), "password_missing"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    tmp_path: Path, draft: ChannelDraft, code: str
) -> None:
    """Before anything is stored; as it is where nothing is in development."""
    async with rig(place_control(tmp_path)) as there:
        own = there.parts.channels
        own._reach = replace(own._reach, development=False)
        with pytest.raises(ValidationError) as caught:
            await own.create_channel("acme", draft, "acme/ann")
        assert caught.value.code == code
        assert not await own.list_channels("acme")


async def test_names_are_taken_once_and_types_stay(
    there: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one organization; another one has names of its own. There is a bound."""
    own = there.parts.channels
    held, _ = await own.create_channel("acme", HOOK, "acme/ann")
    await own.create_channel("beta", HOOK, "beta/bea")
    for attempt in (
        own.create_channel("acme", HOOK, "acme/ann"),
        own.create_channel("acme", replace(HOOK, type=Type.SLACK), "acme/ann"),
    ):
        with pytest.raises(ConflictError, match="name_taken"):
            await attempt
    with pytest.raises(ValidationError, match="type"):
        await own.change_channel(
            "acme", held.channel.id, replace(HOOK, type=Type.SLACK), "acme/ann"
        )
    monkeypatch.setattr(channels, "MAX_CHANNELS", 1)
    with pytest.raises(ConflictError, match="too_many"):
        await own.create_channel("acme", replace(HOOK, name="two"), "acme/ann")


async def test_a_foreign_channel_is_not_found(there: Rig) -> None:
    """Whatever one wants of it."""
    own = there.parts.channels
    held, _ = await own.create_channel("acme", HOOK, "acme/ann")
    one = held.channel.id
    for attempt in (
        own.get_channel("beta", one), own.change_channel("beta", one, HOOK, "acme/ann"),
        own.adopt("beta", one, "acme/ann"), own.remove_channel("beta", one),
        own.rotate_key("beta", one), own.send_test("beta", one, "x"),
        there.parts.deliveries.retry_dead_letters("beta", one),
    ):  # fmt: skip
        with pytest.raises(NotFoundError):
            await attempt
    assert len(await own.list_channels("acme")) == 1


async def test_a_key_is_renewed_with_a_day_of_both(there: Rig) -> None:
    """Receivers have time to change; other types have no key."""
    own = there.parts.channels
    with receiver() as hook:
        held, old = await own.create_channel("acme", replace(HOOK, url=hook.url()), "acme/ann")
        renewed, new = await own.rotate_key("acme", held.channel.id)
        assert new != old
        secrets = own.unseal_secrets(renewed.channel)
        assert (len(secrets.keys), secrets.until) == (2, there.world.now() + channels.KEY_OVERLAP)
        await own.send_test("acme", held.channel.id, "acme/ann")
        _, headers, body = hook.requests[0]
        assert is_genuine(old, headers, body)
        assert is_genuine(new, headers, body)
        there.world.advance(86_400)
        await own.send_test("acme", held.channel.id, "acme/ann")
        _, headers, body = hook.requests[1]
        assert (is_genuine(old, headers, body), is_genuine(new, headers, body)) == (False, True)
    mail, _ = await own.create_channel("acme", MAIL, "acme/ann")
    with pytest.raises(ConflictError):
        await own.rotate_key("acme", mail.channel.id)


async def test_another_address_has_another_key(there: Rig) -> None:
    """Neither receiver can pass off to the other what was signed for it; the same address keeps it.

    Also while two keys sign: nothing of them goes to the new address.
    """
    own = there.parts.channels
    with receiver() as first, receiver() as second:
        held, _ = await own.create_channel("acme", replace(HOOK, url=first.url()), "acme/ann")
        one = held.channel.id
        _, old = await own.rotate_key("acme", one)
        for same in (first.url(), ""):
            _, nothing = await own.change_channel("acme", one, replace(HOOK, url=same), "acme/ann")
            assert nothing == ""
        moved, new = await own.change_channel(
            "acme", one, replace(HOOK, url=second.url()), "acme/ann"
        )
        assert new not in {"", old}
        secrets = own.unseal_secrets(moved.channel)
        assert (len(secrets.keys), secrets.until) == (1, 0)
        await own.send_test("acme", one, "acme/ann")
        _, headers, body = second.requests[0]
        assert (is_genuine(old, headers, body), is_genuine(new, headers, body)) == (False, True)
    slack, _ = await own.create_channel(
        "acme", replace(HOOK, name="slack", type=Type.SLACK), "acme/ann"
    )
    other = replace(HOOK, name="slack", type=Type.SLACK, url="https://hooks.example/other")
    assert (await own.change_channel("acme", slack.channel.id, other, "acme/ann"))[1] == ""


async def test_a_test_is_a_real_message(there: Rig) -> None:
    """What the other side says is told; often is refused."""
    own = there.parts.channels
    with receiver() as hook:
        held, _ = await own.create_channel("acme", replace(HOOK, url=hook.url()), "acme/ann")
        one = held.channel.id
        assert await own.send_test("acme", one, "acme/ann") == (True, "")
        assert b"a test, sent by acme/ann" in hook.requests[0][2]
        hook.answers = [status(500)]
        assert await own.send_test("acme", one, "acme/ann") == (False, "it answered 500")
        for _ in range(BURST - 2):
            await own.send_test("acme", one, "acme/ann")
        with pytest.raises(RateLimitError):
            await own.send_test("acme", one, "acme/ann")
    assert not await there.deliveries()


async def test_mail_by_the_own_server(tmp_path: Path) -> None:
    """Where the settings have one, a channel needs none; a password would be nobody's."""
    with mailbox() as box:
        async with rig(place_control(tmp_path), box.port) as there:
            own = there.parts.channels
            terms = ChannelTerms(to=("a@b.example",))
            held, _ = await own.create_channel(
                "acme", replace(MAIL, terms=terms, password=""), "acme/ann"
            )
            assert await own.send_test("acme", held.channel.id, "acme/ann") == (True, "")
            with pytest.raises(ControlError):
                await own.create_channel("acme", replace(MAIL, name="two", terms=terms), "acme/ann")
        assert box.mails[0].rcpt_tos == ["a@b.example"]


@pytest.mark.parametrize(
    "zone", ["Mars/Phobos", "Europe", "../etc/passwd", "/etc/passwd", "x" * 400]
)
def test_zones_that_nobody_knows(zone: str) -> None:
    """Refused, whatever is at that path."""
    with pytest.raises(ValidationError):
        validate_quiet_hours(Quiet("22:00", "07:00", zone))


async def test_who_changes_what_has_changed_is_told(
    there: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two people at once: the second one looks again, instead of undoing the first."""
    own = there.parts.channels
    held, _ = await own.create_channel("acme", HOOK, "acme/ann")
    seen = await own.get_channel("acme", held.channel.id)
    there.world.advance(1)
    await own.change_channel("acme", held.channel.id, replace(HOOK, name="first"), "acme/ann")

    async def stale(org: str, identifier: str) -> object:
        return seen

    monkeypatch.setattr(own, "get_channel", stale)
    with pytest.raises(ConflictError, match="changed"):
        await own.change_channel("acme", held.channel.id, replace(HOOK, name="second"), "acme/ann")
