"""What a caller asks for, as the pipeline sees it."""

from typing import Any

from msgspec import Struct

from control.model.people import Role


class Origin(Struct, frozen=True):
    """Where a request came from."""

    ip: str = ""
    user_agent: str = ""


class Operation(Struct, frozen=True, kw_only=True):
    """One request: `role` is the least that the caller must be in `org`.

    `org` empty: of no organization, for the platform's super-admins alone; `anyone`: whoever is
    signed in; `public`: whoever comes. `detail` is recorded and holds no secret.
    """

    name: str
    request_id: str
    credential: str | None
    origin: Origin
    org: str = ""
    role: Role = Role.VIEWER
    anyone: bool = False
    public: bool = False
    target: str = ""
    mutates: bool = False
    detail: dict[str, Any] = {}
