"""Mails invitations. The link is made when the mail is sent, and stored nowhere."""

from collections.abc import Callable

from actors import World
from control.model.identity import Invitation, invitation_url
from control.model.notices import Delivery
from control.notify.errors import PermanentDeliveryError
from control.notify.mail import InvitationMail
from control.notify.sender import NotificationSender
from control.store import invitations, people
from control.store.rows import Tx
from control.store.store import Store


class InvitationMailer:
    """`secret`: the secret of an invitation's link; `url`: where the dashboard is."""

    def __init__(
        self,
        store: Store,
        sender: NotificationSender,
        secret: Callable[[str, str], str],
        url: str,
        world: World,
    ) -> None:
        self._store = store
        self._sender = sender
        self._secret = secret
        self._url = url
        self._world = world

    @property
    def can_mail(self) -> bool:
        """Whether invitations are mailed: needs a mail server, and our address in the settings.

        The address of a request would not do: the link has to lead here, whatever a client sent.
        """
        return self._sender.can_mail and bool(self._url)

    async def send_invitation(self, delivery: Delivery) -> str:
        """Send the mail.

        Raises `DeliveryError`, also for an invitation that is not valid any more.
        """
        identifier = delivery.notices[0].subject

        def query(tx: Tx) -> tuple[Invitation | None, str]:
            organization = people.get_organization(tx, delivery.org)
            title = delivery.org if organization is None else organization.title
            return invitations.get_invitation(tx, delivery.org, identifier), title

        row, title = await self._store.read(query)
        if row is None or row.used_at or row.expires_at <= self._world.now():
            raise PermanentDeliveryError("the invitation does not count any more: invite again")
        link = invitation_url(self._url, self._secret(row.org, row.id))
        told = InvitationMail(
            id=delivery.id,
            email=row.email,
            organization=title or row.org,
            role=str(row.role),
            by=row.created_by,
            link=link,
            at=delivery.created_at,
            expires_at=row.expires_at,
        )
        return await self._sender.send_invitation(told)
