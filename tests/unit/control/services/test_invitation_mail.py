"""Who was invited gets a mail with the link, if it still counts; the database has no link."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from control.authn.invitations import Invitations
from control.authn.passwords import Passwords
from control.model.notices import State
from control.model.people import Caller, Organization, Role
from control.store import people
from tests.newest import place_control
from tests.unit.control.notify.receiving import Mailbox, mailbox, text_of
from tests.unit.control.services.told import SEALER, URL, Rig, bytes_of, rig

ANN = Caller("acme", "ann", Role.OWNER, "t")


@pytest.fixture
def box() -> Iterator[Mailbox]:
    """Our mail server."""
    with mailbox() as made:
        yield made


@pytest.fixture
async def there(tmp_path: Path, box: Mailbox) -> AsyncIterator[Rig]:
    """With the organization `acme`, called Acme & Sons."""
    async with rig(place_control(tmp_path), box.port) as made:
        row = Organization("acme", "Acme & Sons", 1)
        await made.store.write(lambda tx: people.add_organization(tx, row))
        yield made


def invitations(there: Rig) -> Invitations:
    """That mail."""
    opening: object = None
    passwords = Passwords(there.world)
    return Invitations(there.store, passwords, SEALER, opening, there.world)  # type: ignore[arg-type]  # nobody signs in


async def test_the_link_arrives(there: Rig, box: Mailbox, tmp_path: Path) -> None:
    """At the address alone; it is the one that was shown, and nowhere in the database."""
    assert there.parts.mailer.can_mail
    secret, _ = await invitations(there).create_invitation(
        ANN, "acme", "bob@b.example", Role.VIEWER, mail=True
    )
    await there.turn()
    (mail,) = box.mails
    assert mail.rcpt_tos == ["bob@b.example"]
    assert f"{URL}/#invitation={secret}" in text_of(mail)
    assert "Acme & Sons" in text_of(mail)
    assert secret.encode() not in bytes_of(tmp_path)
    assert [row.state for row in await there.deliveries()] == [State.SENT]


async def test_one_that_counts_no_longer_is_not_sent(there: Rig, box: Mailbox) -> None:
    """It was taken back before its turn came."""
    own = invitations(there)
    _, made = await own.create_invitation(ANN, "acme", "bob@b.example", Role.VIEWER, mail=True)
    await own.revoke_invitation(ANN, "acme", made.id)
    await there.turn()
    assert not box.mails
    (row,) = await there.deliveries()
    assert (row.state, row.reason) == (
        State.DEAD,
        "the invitation does not count any more: invite again",
    )


async def test_only_if_it_is_asked_for(there: Rig, box: Mailbox) -> None:
    """Nobody gets mail where we do not know our own address."""
    await invitations(there).create_invitation(ANN, "acme", "bob@b.example", Role.VIEWER)
    await there.turn()
    assert not box.mails
    there.parts.mailer._url = ""
    assert not there.parts.mailer.can_mail
