"""An endpoint: one declaration says how it is decoded, who may call it, and how it is documented.

There is no other way to add a route, and no endpoint without a role: what is open to everybody
says `public`, and a test holds the list of those.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec import Struct

from control.api.control_plane import ControlPlane
from control.api.request_context import RequestContext
from control.model.operation import ResolvedCaller
from control.model.people import Caller, Role
from protocols.openapi import JSON

EndpointHandler = Callable[..., Awaitable[Any]]


DEFAULT_RESPONSE_BYTES: Final = 256 * 1024
"""Bytes of most answers at most: a page of a list."""
REPORT_RESPONSE_BYTES: Final = 48 * 1024 * 1024
"""Bytes of a compliance report and of what it is rendered to, but for the very largest."""


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """No body, no query."""


@dataclass(frozen=True, slots=True)
class FileResponse:
    """An answer that is not our JSON: its bytes, their type, a file's name, and what follows it.

    `next_link` is where the rest is to be had; empty for nothing.
    """

    body: bytes
    media_type: str
    filename: str
    next_link: str = ""


@dataclass(frozen=True, slots=True)
class EndpointCall:
    """What an endpoint's function gets first."""

    control_plane: ControlPlane
    caller: Caller
    request_id: str
    context: RequestContext
    resolved: ResolvedCaller


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """`name` is its operation in audit records; `unrecorded` are fields of the body to leave out.

    A path with `{org}` is for callers with `role` in that organization; one without it for the
    platform's super-admins, unless it says `anyone` (signed in) or `public`.
    """

    method: str
    template: str
    summary: str
    answer: EndpointHandler
    tag: str
    name: str
    role: Role = Role.VIEWER
    anyone: bool = False
    public: bool = False
    fresh: bool = False  # a person has to have shown lately who it is
    programs: bool = True  # whether an API token may ask for it
    mutates: bool = False
    hashes: bool = False  # a password: such requests take turns (`Passwords.hash_turn`)
    body: Any = Nothing
    unrecorded: tuple[str, ...] = ()
    query: type[Struct] = Nothing
    returns: Any = None
    status: int = 200
    also: tuple[int, ...] = ()  # further statuses with the same body
    errors: tuple[int, ...] = ()
    schema: Any = None
    media_type: str = JSON
    documents: tuple[str, ...] = ()  # media types that the answer can have beside JSON
    memory: int = (
        DEFAULT_RESPONSE_BYTES  # bytes that are reserved for an answer while it is made (`answers`)
    )

    @property
    def needs_body(self) -> bool:
        """Whether a request without a body is refused."""
        return any(field.required for field in msgspec.structs.fields(self.body))


class EndpointGroup:
    """The endpoints of one resource. `programs`: what each says of API tokens if it says nothing.

    People's matters are not for programs: there an endpoint that is says so itself.
    """

    def __init__(self, tag: str, about: str, *, programs: bool = True) -> None:
        self.tag = tag
        self.about = about
        self.programs = programs
        self.all: list[Endpoint] = []

    def route(
        self, method: str, template: str, summary: str, **declared: Any
    ) -> Callable[[EndpointHandler], EndpointHandler]:
        """Decorate an endpoint's function: `(call, *path values, body=, query=)`.

        What changes something says whether it takes a `fresh` proof: nothing is left to a default.
        """
        mutates = declared.setdefault("mutates", method != "GET")
        if mutates and "fresh" not in declared and not declared.get("public"):
            raise TypeError(f"{method} {template} changes something: say whether `fresh`")

        def register(answer: EndpointHandler) -> EndpointHandler:
            name = answer.__name__.rstrip("_")
            endpoint = Endpoint(
                method=method,
                template=template,
                summary=summary,
                answer=answer,
                tag=self.tag,
                name=f"{self.tag}.{name}",
                **{"programs": self.programs, **declared},
            )
            self.all.append(endpoint)
            return answer

        return register


FORM_MEDIA_TYPE: Final = "application/x-www-form-urlencoded"
NO_CONTENT: Final = 204
CREATED: Final = 201
SEE_OTHER: Final = 303
