"""An account that nobody gets into any more, let in again from the machine itself."""

from typing import Final

from msgspec.structs import replace

from control.authn.attempts import clear_attempts
from control.authn.passwords import Passwords
from control.authn.users import require_user
from control.model.operation import Operation, Origin
from control.services.audit_log import append_event, new_audit_event
from control.store import people, second_factors
from control.store.rows import Tx
from control.store.store import Store

LOCAL_SOURCE: Final = "local"
"""Where its record says that it came from."""


async def restore_account(
    store: Store, passwords: Passwords, org: str, name: str, password: str
) -> None:
    """A new password, no second factor, no other credential; with its record, or not at all.

    Raises `ValidationError` for the password, `NotFoundError`.
    """
    hashed, world = await passwords.hash_password(password), passwords.world
    now = world.now()
    op = Operation(
        name="users.rescue",
        request_id=world.new_id(),
        credential=None,
        origin=Origin(ip=LOCAL_SOURCE),
        org=org,
        target=name,
    )

    def change(tx: Tx) -> None:
        user = require_user(tx, org, name)
        changed_at = max(now, user.changed_at + 1)
        people.put_user(tx, replace(user, password=hashed, disabled=False, changed_at=changed_at))
        clear_attempts(tx, org, name)
        second_factors.delete_factor(tx, org, name)
        people.delete_tokens(tx, org, name)
        append_event(tx, new_audit_event(op, None, "outcome", "ok", now=now))

    await store.write(change)
