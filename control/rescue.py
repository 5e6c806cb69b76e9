"""An account that nobody gets into any more, let in again from the machine itself."""

from typing import Final

from msgspec.structs import replace

from control.authn.attempts import forget
from control.authn.passwords import Passwords
from control.authn.users import found_user
from control.model.operation import Operation, Origin
from control.services.trail import append, event_of
from control.store import factors, people
from control.store.rows import Tx
from control.store.store import Store

LOCAL: Final = "local"
"""Where its record says that it came from."""


async def rescue(store: Store, passwords: Passwords, org: str, name: str, password: str) -> None:
    """A new password, no second factor, no other credential; with its record, or not at all.

    Raises `ValidationError` for the password, `NotFoundError`.
    """
    hashed, world = await passwords.hash(password), passwords.world
    now = world.now()
    op = Operation(
        name="users.rescue",
        request_id=world.new_id(),
        credential=None,
        origin=Origin(ip=LOCAL),
        org=org,
        target=name,
    )

    def change(tx: Tx) -> None:
        user = found_user(tx, org, name)
        changed_at = max(now, user.changed_at + 1)
        people.put_user(tx, replace(user, password=hashed, disabled=False, changed_at=changed_at))
        forget(tx, org, name)
        factors.drop_factor(tx, org, name)
        people.drop_tokens_of(tx, org, name)
        append(tx, event_of(op, None, "outcome", "ok", now=now))

    await store.write(change)
