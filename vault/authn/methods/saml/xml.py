"""XML of others, read without what has made SAML unsafe elsewhere.

No document type (so no entities), no comments (which split texts), no CDATA, no processing
instructions, UTF-8 alone, bounded. None of these is in an answer or in metadata of any provider.
"""

import re
from typing import Any, Final

PROTOCOL: Final = "urn:oasis:names:tc:SAML:2.0:protocol"
ASSERTION: Final = "urn:oasis:names:tc:SAML:2.0:assertion"
METADATA: Final = "urn:oasis:names:tc:SAML:2.0:metadata"
SIGNATURE: Final = "http://www.w3.org/2000/09/xmldsig#"
MAX_ELEMENTS: Final = 10_000
_DECLARATION: Final = re.compile(
    rb"""\s*<\?xml\s+version=["']1\.0["'](?:\s+encoding=["'](?i:utf-8)["'])?"""
    rb"""(?:\s+standalone=["'](?:yes|no)["'])?\s*\?>"""
)
_BOM: Final = b"\xef\xbb\xbf"


class InvalidXmlError(Exception):
    """A document that is not taken. `reason` is one of our texts, and names nothing of it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def parse_xml(data: bytes, limit: int) -> Any:
    """The root of a document of at most `limit` bytes. Raises `InvalidXmlError`."""
    if len(data) > limit:
        raise InvalidXmlError(f"it is larger than {limit} bytes")
    text = data.removeprefix(_BOM)
    declared = _DECLARATION.match(text)
    body = text[declared.end() :] if declared else text
    try:
        body.decode()
    except UnicodeDecodeError:
        raise InvalidXmlError("it is not in UTF-8") from None
    # Neither can be in a text or an attribute: there, `<` is written as an entity.
    if b"<!" in body or b"<?" in body:
        raise InvalidXmlError("it has a document type, comments, CDATA or instructions")
    from lxml import etree

    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False,
        huge_tree=False, encoding="utf-8",
    )  # fmt: skip
    try:
        root = etree.fromstring(body, parser=parser)
    except (etree.LxmlError, ValueError):
        raise InvalidXmlError("it is not well-formed XML") from None
    info = root.getroottree().docinfo
    if info.doctype or info.internalDTD is not None:
        raise InvalidXmlError("it has a document type")
    for number, each in enumerate(root.iter()):
        if number >= MAX_ELEMENTS:
            raise InvalidXmlError(f"it has more than {MAX_ELEMENTS} elements")
        if not isinstance(each.tag, str):
            raise InvalidXmlError("it has comments, entities or instructions")
    return root


def local_name(element: Any) -> str:
    """The name of an element without its namespace."""
    return str(element.tag).rpartition("}")[2]


def children(parent: Any, namespace: str, name: str) -> list[Any]:
    """The direct children of a name."""
    found: list[Any] = parent.findall(f"{{{namespace}}}{name}")
    return found


def only_child(parent: Any, namespace: str, name: str) -> Any:
    """The one child of a name. Raises `InvalidXmlError`."""
    found = children(parent, namespace, name)
    if len(found) != 1:
        raise InvalidXmlError(f"it must have exactly one {name}")
    return found[0]


def text_of(element: Any) -> str:
    """The text of an element that holds nothing else. Raises `InvalidXmlError`."""
    if len(element):
        raise InvalidXmlError(f"{local_name(element)} must hold a text alone")
    return str(element.text or "").strip()
