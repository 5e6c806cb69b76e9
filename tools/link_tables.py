"""Write docs/spec/link-messages.md: every field, bound and word of the link, from the code.

Run it from the repository's root (`python -m tools.link_tables`) after a change of a message. One
test holds the page against the code, another one decides the vectors by the page.
"""

import ast
import inspect
import sys
import typing
from collections.abc import Iterable, Iterator
from enum import EnumMeta, StrEnum
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, Final

from msgspec import Meta, Raw, Struct
from msgspec.structs import fields as fields_of

from protocols.link import bundle as bundles
from protocols.link import fields, vocabulary
from protocols.link.bundle import Bundle
from protocols.link.envelope import Envelope
from protocols.link.messages import MESSAGE_SPECS, Delivery, Direction, MessageSpec, MessageType
from protocols.pki import messages as pki

TARGET: Final = Path(__file__).parent.parent / "docs" / "spec" / "link-messages.md"

HEAD: Final = """\
# The link's messages

<!-- Made by `python -m tools.link_tables` from protocols/link and protocols/pki. -->

What every message of the link consists of. How messages are framed, in which order a receiver
checks them and what they do is in [link.md](link.md).

## How to read the tables

Every field is always there, and no other, unless a table says that it may be left out. A type is
one of

| written | is |
|---|---|
| a kind, as `Number` | what [Kinds](#kinds) says |
| a list, as `Platform` | a string: one of the words of that list ([Words](#words)) |
| a map, as `Cursor` | a map with the fields of that table ([Maps](#maps-in-messages)) |
| `array of X, a to b` | an array of a to b items of type X |
| `integer, a to b` | an integer from a to b, both included |
| `byte string, a to b bytes`, `string, a to b characters` | of that length, both included |

Characters are Unicode code points. A pattern is a regular expression for the whole string; its
classes are of ASCII, `\\n` is the newline. What does not fit is `malformed`.
"""


def main() -> None:
    """Write the page."""
    TARGET.write_text(render())


def render() -> str:
    """The whole page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield HEAD
    yield "## Kinds\n"
    yield "| kind | is | pattern | |"
    yield "|---|---|---|---|"
    for name, kind in _kinds().items():
        is_, pattern = _plain(kind)
        yield f"| `{name}` | {is_} | {pattern} | {_cell(_meta(kind).description or '')} |"
    yield "\n## Envelope\n"
    yield from _struct(Envelope)
    yield "\n## Messages\n"
    yield "| message | way | class | since |"
    yield "|---|---|---|---|"
    for kind in MESSAGE_SPECS.values():
        yield f"| `{kind.name}` | {_way(kind)} | {_class(kind)} | {kind.since} |"
    for kind in MESSAGE_SPECS.values():
        yield f"\n### `{kind.name}`\n"
        yield from _struct(kind.shape)
    yield "\n## Maps in messages\n"
    for shape in _parts([kind.shape for kind in MESSAGE_SPECS.values()]):
        yield f"### `{shape.__name__}`\n"
        yield from _struct(shape)
        yield ""
    yield "## Policy bundle\n"
    yield "What is signed and goes into `policy_update` ([link.md](link.md#policy-bundle)).\n"
    yield from _struct(Bundle)
    yield "\n## Words\n"
    for words in _words():
        yield f"### `{words.__name__}`\n"
        yield f"{_doc(words)}\n"
        yield ", ".join(f"`{word}`" for word in words) + "\n"
    yield "## Classes of numbers\n"
    yield "| where | upper bounds; one class more counts what is above |"
    yield "|---|---|"
    yield f"| `counts` of `HistogramValue`, in µs | {_numbers(vocabulary.BUCKETS_US)} |"
    yield f"| `idle`, `age`, `expires` of `Secrets`, in days | {_numbers(vocabulary.USAGE_DAYS)} |"
    yield "\n## Requests for certificates\n"
    yield "JSON over HTTPS ([pki.md](pki.md)), bytes in base64 (RFC 4648 section 4, padded).\n"
    yield "Unknown fields are refused in a request, and ignored in an answer.\n"
    for request in (pki.EnrolRequest, pki.JoinRequest, pki.RenewRequest, pki.RejoinRequest):
        yield f"### `{request.__name__}`\n"
        yield from _struct(request)
        yield ""
    for answer in (pki.Grant, pki.Pending):
        yield f"### `{answer.__name__}`\n"
        yield from _struct(answer)
        yield ""


def _struct(shape: type[Struct]) -> Iterator[str]:
    yield f"{_doc(shape)}"
    rule = getattr(shape, "__post_init__", None)
    if rule is not None:
        yield f"\n`malformed` is also {_sentence(rule)}"
    told = _fields(shape)
    if not told:
        yield "\nIt has no fields: the empty map."
        return
    yield "\n| field | type | |"
    yield "|---|---|---|"
    if (tag := shape.__struct_config__.tag) is not None:
        yield f"| `{shape.__struct_config__.tag_field}` | the string `{tag}` | |"
    optional = {field.name for field in fields_of(shape) if not field.required}
    for name, annotation in _hints(shape).items():
        left_out = ", may be left out" if name in optional else ""
        yield f"| `{name}` | {_type(annotation)}{left_out} | {_cell(told[name])} |"


def _hints(shape: type[Struct]) -> dict[str, Any]:
    hints = typing.get_type_hints(shape, include_extras=True)
    return {name: hints[name] for name in shape.__struct_fields__}


def _type(annotation: Any) -> str:
    """As a cell has it; the inverse is the reader of tests/architecture."""
    if annotation == pki.Slug:
        annotation = fields.Slug
    for name, kind in _kinds().items():
        if annotation == kind:
            return f"`{name}`"
    metas, inner = _unwrapped(annotation)
    if isinstance(inner, EnumMeta) or (isinstance(inner, type) and issubclass(inner, Struct)):
        return f"`{inner.__name__}`"
    if inner is Raw:
        return "one value"
    if typing.get_origin(inner) in {tuple, list}:
        meta = next(meta for meta in metas if meta.max_length is not None)
        item = typing.get_args(inner)[0]
        return f"array of {_type(item)}, {meta.min_length or 0} to {meta.max_length}"
    if NoneType in typing.get_args(inner):
        return f"{_type(typing.get_args(inner)[0])}, or null"
    is_, pattern = _plain(annotation)
    return f"{is_}, {pattern}" if pattern else is_


def _plain(annotation: Any) -> tuple[str, str]:
    """Bounds and pattern of a number, a string or bytes."""
    metas, inner = _unwrapped(annotation)
    meta = metas[0] if metas else Meta()
    if inner is int:
        if meta.ge is None:
            return "an integer", ""
        bound = f"from {meta.ge} on" if meta.le is None else f"{meta.ge} to {meta.le}"
        return f"integer, {bound}", ""
    pattern = "" if meta.pattern is None else _code(_whole(meta.pattern))
    noun = {str: "characters", bytes: "bytes"}[inner]
    low, high = meta.min_length or 0, meta.max_length
    kind = {str: "string", bytes: "byte string"}[inner]
    if high is None:
        return kind, pattern
    size = f"{low}" if low == high else f"{low} to {high}"
    return f"{kind}, {size} {noun}", pattern


def _whole(pattern: str) -> str:
    """For a whole string, without what Python needs to say so."""
    plain = pattern.replace(r"\A", "").replace(r"\Z", "")
    return plain.removeprefix("^").removesuffix("$")


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"


def _unwrapped(annotation: Any) -> tuple[list[Meta], Any]:
    metas: list[Meta] = []
    while typing.get_origin(annotation) is typing.Annotated:
        metas = [*(one for one in annotation.__metadata__ if isinstance(one, Meta)), *metas]
        annotation = annotation.__origin__
    return metas, annotation


def _meta(annotation: Any) -> Meta:
    metas, _ = _unwrapped(annotation)
    return metas[0]


@cache
def _kinds() -> dict[str, Any]:
    """Named kinds of fields: of the link, then of the requests for certificates."""
    found = {name: value for name, value in vars(fields).items() if _is_kind(value)}
    del found["Rules"]
    found["Target"] = bundles.Target
    known = list(found.values())
    for name, value in vars(pki).items():
        if _is_kind(value) and value not in known and name not in found:
            found[name] = value
    return found


def _is_kind(value: Any) -> bool:
    return typing.get_origin(value) is typing.Annotated and bool(_unwrapped(value)[0])


def _parts(shapes: Iterable[type[Struct]]) -> list[type[Struct]]:
    """The structs within these, each once, in the order in which they are met."""
    found: dict[type[Struct], None] = {}
    for shape in shapes:
        for annotation in _hints(shape).values():
            found |= dict.fromkeys(_structs(annotation))
    return list(found)


def _structs(annotation: Any) -> Iterator[type[Struct]]:
    _, inner = _unwrapped(annotation)
    if isinstance(inner, type) and issubclass(inner, Struct):
        yield inner
        for part in _hints(inner).values():
            yield from _structs(part)
    for part in typing.get_args(inner):
        yield from _structs(part)


def _words() -> list[type[StrEnum]]:
    every = vars(vocabulary).values()
    found = [each for each in every if isinstance(each, EnumMeta) and each is not StrEnum]
    return [MessageType, *typing.cast("list[type[StrEnum]]", found)]


def _way(kind: MessageSpec) -> str:
    if len(kind.directions) > 1:
        return "both"
    return "agent" if Direction.TO_CONTROL in kind.directions else "control"


def _class(kind: MessageSpec) -> str:
    if kind.name is MessageType.SKIPPED:
        return "evidence, in no outbox"
    return kind.delivery.name.lower() if kind.delivery is not Delivery.EPHEMERAL else "ephemeral"


def _fields(shape: type[Struct]) -> dict[str, str]:
    """Each field of a struct, and what its docstring says of it."""
    found = dict.fromkeys(shape.__struct_fields__, "")
    tree = ast.parse(inspect.getsource(sys.modules[shape.__module__]))
    node = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == shape.__name__)
    for field, told in zip(node.body, node.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(told, ast.Expr):
            name = typing.cast("ast.Name", field.target).id
            found[name] = str(ast.literal_eval(told.value))
    return found


def _doc(thing: object) -> str:
    return " ".join((inspect.getdoc(thing) or "").split())


def _sentence(rule: object) -> str:
    return _doc(rule).partition(" (")[0].removeprefix("Refuse ") + "."


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _numbers(of: Iterable[int]) -> str:
    return ", ".join(str(number) for number in of)


if __name__ == "__main__":
    main()
