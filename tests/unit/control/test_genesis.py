"""The first account is made once."""

from control.api.plane import Plane
from control.genesis import first_admin


async def test_once(plane: Plane) -> None:
    """Its password signs a super-admin in, and a second start makes none."""
    password = await first_admin(plane)
    assert password is not None
    secret, _ = await plane.accounts.login("platform", "admin", password)
    assert (await plane.sessions.authenticate(secret)).is_platform
    assert await first_admin(plane) is None
