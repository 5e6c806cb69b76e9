"""What an endpoint's declaration says, and what it takes from its function."""

from msgspec import Struct

from control.api.endpoint import EndpointCall, EndpointGroup, FileResponse, Nothing
from control.model.people import Role

Call = EndpointCall[str]


class Body(Struct, frozen=True):
    """A body."""

    name: str


class Query(Struct, frozen=True):
    """A query."""

    limit: int = 1


class Answer(Struct, frozen=True):
    """An answer."""

    text: str


def test_body_query_and_answer_are_those_of_the_function() -> None:
    """What is decoded, what the function gets and what the document says cannot differ."""
    things = EndpointGroup[str]("things", "Things.")

    @things.route("POST", "things", "Make one", role=Role.ADMIN, requires_recent_auth=True)
    async def create(call: Call, *, body: Body, query: Query) -> Answer:
        return Answer(call.services + body.name * query.limit)

    [made] = things.all
    assert (made.body, made.query, made.returns) == (Body, Query, Answer)
    assert (made.name, made.mutates, made.requires_recent_auth, made.allows_api_tokens) == (
        "things.create",
        True,
        True,
        True,
    )
    assert made.answer is create
    assert made.needs_body


def test_without_them_it_takes_and_answers_nothing() -> None:
    """Neither a body nor a query; a trailing underscore is no part of the operation's name."""
    things = EndpointGroup[str]("things", "Things.", allows_api_tokens=False)

    @things.route("GET", "things", "Look")
    async def list_(call: Call) -> None: ...

    [made] = things.all
    assert (made.body, made.query, made.returns) == (Nothing, Nothing, None)
    assert (made.name, made.mutates, made.allows_api_tokens) == ("things.list", False, False)


def test_a_file_has_the_type_of_its_json_beside_it() -> None:
    """The function answers with bytes; the document says what is in them."""
    things = EndpointGroup[str]("things", "Things.")

    @things.route("GET", "things/file", "A file", returns=list[Answer], documents=("text/csv",))
    async def file(call: Call) -> FileResponse:
        return FileResponse(call.services.encode(), "text/csv", "things.csv")

    assert things.all[0].returns == list[Answer]
