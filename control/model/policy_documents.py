"""The shape of a policy document, as far as the control plane checks it.

The agent has the last word (`policies.md`): it knows every condition and has a ceiling of its
own, and what it refuses comes back as that agent's failure. Here an obvious fault is found before
anything is rolled out.
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from control.errors import ValidationError

MAX_BYTES: Final = 64 * 1024
"""Of one document: the link carries 192 KiB of bundle."""

WordList = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=1024)], ...],
    Meta(min_length=1, max_length=100),
]
Conditions = Annotated[tuple[dict[str, Any], ...], Meta(max_length=64)]


class Rule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Capabilities on paths, allowed or denied."""

    effect: Literal["allow", "deny"]
    paths: WordList
    capabilities: WordList
    conditions: Conditions = ()


class Document(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A policy."""

    name: str = ""
    description: Annotated[str, Meta(max_length=1024)] = ""
    enabled: bool = True
    priority: Annotated[int, Meta(ge=-1_000_000, le=1_000_000)] = 100
    rules: Annotated[tuple[Rule, ...], Meta(max_length=200)] = ()
    conditions: Conditions = ()
    actions: Annotated[tuple[dict[str, Any], ...], Meta(max_length=1)] = ()


def validate_document(document: Document, name: str) -> Document:
    """The document under this name. Raises `ValidationError`."""
    if document.name not in ("", name):
        raise ValidationError("document_invalid", "the document has another name", field="name")
    named = msgspec.structs.replace(document, name=name)
    if len(msgspec.json.encode(named)) > MAX_BYTES:
        raise ValidationError("document_invalid", f"a document has at most {MAX_BYTES} bytes")
    return named
