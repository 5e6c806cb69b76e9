"""Policy documents are checked for obvious faults."""

import msgspec
import pytest

from control.errors import ValidationError
from control.model.policy_documents import Document, Rule, validate_document


def test_the_document_takes_the_policys_name() -> None:
    """Another name is a mistake."""
    assert validate_document(Document(), "p").name == "p"
    with pytest.raises(ValidationError):
        validate_document(Document(name="q"), "p")


def test_its_size_is_bounded() -> None:
    """The link could not carry it."""
    rule = Rule(effect="allow", paths=tuple("x" * 1024 for _ in range(70)), capabilities=("read",))
    with pytest.raises(ValidationError, match="at most"):
        validate_document(Document(rules=(rule,)), "p")


@pytest.mark.parametrize(
    "text",
    [b'{"rulse":[]}', b'{"rules":[{"effect":"maybe","paths":["a"],"capabilities":["b"]}]}',
     b'{"rules":[{"effect":"deny","paths":[],"capabilities":["b"]}]}'],
)  # fmt: skip
def test_faults_of_shape(text: bytes) -> None:
    """Unknown fields, effects, empty lists."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Document)
