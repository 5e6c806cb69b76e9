"""What an attacker can read of an API: every operation, every text that a body may hold.

It is taken from the served document, so that no endpoint and no field can be forgotten.
"""

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

JSON = "application/json"

Leaf = tuple[str, ...]
"""Where a text stands in a body; `[]` is a list's first."""


class Operation(NamedTuple):
    """One of the document. `template` is below `/api/v1/`; `texts` are those of its body.

    `query`: what may be asked, and the words that it may be if these are a closed list.
    """

    id: str
    method: str
    template: str
    public: bool
    texts: tuple[Leaf, ...]
    query: dict[str, list[str]]
    answers: tuple[str, ...]

    @property
    def name(self) -> str:
        """As the trail has it."""
        return self.id.replace("_", ".", 1)

    @property
    def mutates(self) -> bool:
        """Whether it may change something."""
        return self.method != "GET"

    def path(self, org: str, things: dict[str, str]) -> str:
        """With these ids."""
        return self.template.replace("{org}", org).format(**things)


def declared(document: Any) -> list[Operation]:
    """Every one that an OpenAPI document has."""
    return [
        _operation(document, path.removeprefix("/api/v1/"), method, said)
        for path, methods in document["paths"].items()
        for method, said in methods.items()
    ]


def _operation(document: Any, template: str, method: str, said: Any) -> Operation:
    body = said.get("requestBody", {}).get("content", {}).get(JSON, {}).get("schema", {})
    return Operation(
        said["operationId"],
        method.upper(),
        template,
        said.get("security") == [],
        tuple(dict.fromkeys(_texts(document, body))),
        {
            each["name"]: each["schema"].get("enum", [])
            for each in said.get("parameters", [])
            if each["in"] == "query"
        },
        tuple(said["responses"].get("200", {}).get("content", {})),
    )


def _texts(document: Any, schema: Any, at: Leaf = ()) -> Iterator[Leaf]:
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for each in [*schema.get("anyOf", []), *schema.get("oneOf", [])]:
        yield from _texts(document, each, at)
    kind = schema.get("type")
    if at and (kind == "string" or schema == {}):
        yield at
    for name, each in schema.get("properties", {}).items():
        yield from _texts(document, each, (*at, name))
    for name, each in (("[]", schema.get("items")), ("*", schema.get("additionalProperties"))):
        if isinstance(each, dict) and each:
            yield from _texts(document, each, (*at, name))


def planted(body: Any, leaf: Leaf, text: str) -> Any:
    """The body with this text at that place."""
    if not leaf:
        return text
    made, (name, *rest) = copy.deepcopy(body), leaf
    if name == "[]":
        kept = made if isinstance(made, list) and made else [{} if rest else ""]
        return [planted(kept[0], tuple(rest), text), *kept[1:]]
    made = made if isinstance(made, dict) else {}
    return {**made, name: planted(made.get(name), tuple(rest), text)}


def hostile(number: int) -> str:
    """A formula to a spreadsheet, a script to a page that trusts it; it says which it is.

    Of 32 characters at most and without a space, so that no shape but a narrow one keeps it out.
    """
    return f"=<img/src=x/onerror=alert({number})>"
