"""An endpoint: one declaration says how it is decoded, who may call it, and how it is documented.

The types of body, query and answer are those of the endpoint function's annotations. There is no
other way to add a route, and no endpoint without a role: what is open to everybody says `public`,
and a test holds the list of those.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Concatenate, Final, Generic, ParamSpec, TypeVar

import msgspec
from msgspec import Struct

from actors import World
from control.api.html_page import HtmlPage
from control.api.request_context import RequestContext
from control.model.operation import ResolvedCaller
from control.model.people import Caller, Role
from protocols.openapi import JSON

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")

DEFAULT_RESPONSE_BYTES: Final = 256 * 1024
"""Largest size of most answers: a page of a list."""
REPORT_RESPONSE_BYTES: Final = 48 * 1024 * 1024
"""Largest size of nearly every compliance report and of its renderings."""


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """No body, no query."""


@dataclass(frozen=True, slots=True)
class FileResponse:
    """An answer other than the API's JSON. `next_link`: the address of the rest, empty for none."""

    body: bytes
    media_type: str
    filename: str
    next_link: str = ""


@dataclass(frozen=True, slots=True)
class EndpointCall(Generic[S]):
    """First argument of an endpoint's function. `services`: those of its resource."""

    services: S
    world: World
    caller: Caller
    request_id: str
    context: RequestContext
    resolved: ResolvedCaller


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One route.

    `name`: its operation in audit records. `unrecorded`: fields of the body that are left out of
    these. A path with `{org}` takes `role` in that organization. One without it is for the
    platform's super-admins, unless it is open to everybody who is signed in (`any_authenticated`)
    or `public`.
    """

    method: str
    template: str
    summary: str
    answer: Callable[..., Awaitable[object]]
    tag: str
    name: str
    role: Role
    any_authenticated: bool
    public: bool
    requires_recent_auth: bool
    """A person has to have confirmed their identity lately."""
    allows_api_tokens: bool
    """API tokens may call it."""
    mutates: bool
    hashes_password: bool
    """It hashes a password: such requests take turns (`Passwords.hash_turn`)."""
    body: type[Struct]
    unrecorded: tuple[str, ...]
    query: type[Struct]
    returns: Any  # a type or a union of types, which has no type of its own
    status: int
    errors: tuple[int, ...]
    media_type: str
    documents: tuple[str, ...]
    """Media types that the answer can have beside JSON."""
    memory: int
    """Bytes that are reserved for the answer while it is made (`http.response_budget`)."""
    also: tuple[int, ...] = ()
    schema: None = None

    @property
    def needs_body(self) -> bool:
        """Whether a request without a body is refused."""
        return any(field.required for field in msgspec.structs.fields(self.body))


class EndpointGroup(Generic[S]):
    """The endpoints of one resource, which are given the services `S`.

    `allows_api_tokens`: whether API tokens may call them, where an endpoint does not say so itself.
    """

    def __init__(self, tag: str, about: str, *, allows_api_tokens: bool = True) -> None:
        self.tag = tag
        self.about = about
        self.allows_api_tokens = allows_api_tokens
        self.all: list[Endpoint] = []

    def route(
        self,
        method: str,
        template: str,
        summary: str,
        *,
        role: Role = Role.VIEWER,
        any_authenticated: bool = False,
        public: bool = False,
        requires_recent_auth: bool | None = None,
        allows_api_tokens: bool | None = None,
        mutates: bool | None = None,
        hashes_password: bool = False,
        unrecorded: tuple[str, ...] = (),
        returns: Any = None,
        status: int = 200,
        errors: tuple[int, ...] = (),
        media_type: str = JSON,
        documents: tuple[str, ...] = (),
        memory: int = DEFAULT_RESPONSE_BYTES,
    ) -> Callable[
        [Callable[Concatenate[EndpointCall[S], P], Awaitable[R]]],
        Callable[Concatenate[EndpointCall[S], P], Awaitable[R]],
    ]:
        """Decorate an endpoint's function: `(call, *path values, body=, query=)`.

        `returns`: the type of the JSON answer of a function that can answer with a file. Raises
        `TypeError` for an endpoint that changes something and does not set `requires_recent_auth`.
        """
        changes = method != "GET" if mutates is None else mutates
        if changes and requires_recent_auth is None and not public:
            raise TypeError(f"{method} {template} changes something: set `requires_recent_auth`")

        def register(
            answer: Callable[Concatenate[EndpointCall[S], P], Awaitable[R]],
        ) -> Callable[Concatenate[EndpointCall[S], P], Awaitable[R]]:
            name = answer.__name__.rstrip("_")
            types = answer.__annotations__
            json = types["return"] not in (FileResponse, HtmlPage, msgspec.Raw)
            endpoint = Endpoint(
                method=method,
                template=template,
                summary=summary,
                answer=answer,
                tag=self.tag,
                name=f"{self.tag}.{name}",
                role=role,
                any_authenticated=any_authenticated,
                public=public,
                requires_recent_auth=bool(requires_recent_auth),
                allows_api_tokens=self.allows_api_tokens
                if allows_api_tokens is None
                else allows_api_tokens,
                mutates=changes,
                hashes_password=hashes_password,
                body=types.get("body", Nothing),
                unrecorded=unrecorded,
                query=types.get("query", Nothing),
                returns=types["return"] if json else returns,
                status=status,
                errors=errors,
                media_type=media_type,
                documents=documents,
                memory=memory,
            )
            self.all.append(endpoint)
            return answer

        return register


FORM_MEDIA_TYPE: Final = "application/x-www-form-urlencoded"
NO_CONTENT: Final = 204
CREATED: Final = 201
SEE_OTHER: Final = 303
