"""The mail for somebody who was invited: its link is made when it is sent, and stored nowhere."""

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
    """`secret`: what an invitation's link ends with; `url`: where the dashboard is."""

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
        """Whether invitations are mailed: there is a server, and we know our own address.

        What a request calls us would not do: the link has to lead to us, whoever asked how.
        """
        return self._sender.can_mail and bool(self._url)

    async def send_invitation(self, delivery: Delivery) -> str:
        """Raises `DeliveryError`; also for an invitation that counts no longer."""
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
