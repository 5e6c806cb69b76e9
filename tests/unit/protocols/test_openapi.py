"""The document says what the declaration says; both APIs' own are tested with them."""

from dataclasses import dataclass
from typing import Any

from msgspec import Struct
from openapi_spec_validator import validate

from protocols.openapi import JSON, ApiInfo, build_document


class Nothing(Struct):
    """No fields."""


class Thing(Struct):
    """A body."""

    size: int


async def make() -> None:
    """An answer."""


@dataclass
class Endpoint:
    """One declaration."""

    method: str = "POST"
    template: str = "things/{name}"
    summary: str = "Make"
    tag: str = "things"
    answer: Any = make
    body: Any = Thing
    schema: Any = None
    media_type: str = JSON
    query: type[Struct] = Nothing
    returns: Any = Thing
    status: int = 201
    also: tuple[int, ...] = (207,)
    public: bool = False
    errors: tuple[int, ...] = (409,)
    needs_body: bool = True
    documents: tuple[str, ...] = ("text/csv",)


@dataclass
class Things:
    """A resource."""

    all: list[Endpoint]
    tag: str = "things"
    about: str = "Things."


def test_a_declaration_is_described() -> None:
    """Valid 3.1; statuses, body, path, documents; what is public needs no credential."""
    texts = dict.fromkeys((400, 401, 403, 404, 409, 413, 429, 500, 503), "why")
    about = ApiInfo(
        title="T", description="D", version="1", prefix="/x/", credential="C", errors=texts
    )
    open_one = Endpoint(method="GET", template="open", body=Nothing, public=True, status=204)
    open_one.answer = test_a_declaration_is_described
    found = build_document([Things([Endpoint(), open_one])], about)
    validate(found)
    made = found["paths"]["/x/things/{name}"]["post"]
    assert {"201", "401", "404", "409", "503"} <= set(made["responses"])
    assert set(made["responses"]["201"]["content"]) == {JSON, "text/csv"}
    assert made["responses"]["207"]["content"] == made["responses"]["201"]["content"]
    assert made["requestBody"]["required"]
    asked = found["paths"]["/x/open"]["get"]
    assert asked["security"] == []
    assert "requestBody" not in asked
    assert "content" not in asked["responses"]["204"]
