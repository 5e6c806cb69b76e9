"""One spelling of each name."""

import pytest

from control.errors import ValidationError
from control.model.names import is_slug, slug, tags


@pytest.mark.parametrize("text", ["a", "a-b", "0" * 64])
def test_slugs(text: str) -> None:
    """Come back as they are."""
    assert slug(text, "x") == text


@pytest.mark.parametrize("text", ["", "-a", "a-", "A", "a_b", "a\n", "a b", "é", "0" * 65, "a/b"])
def test_what_is_none(text: str) -> None:
    """The error names the field."""
    assert not is_slug(text)
    with pytest.raises(ValidationError, match="field-x"):
        slug(text, "field-x")


def test_tags_are_sorted_once_each() -> None:
    """And refused as slugs are."""
    assert tags(("b", "a=1", "b")) == ("a=1", "b")
    with pytest.raises(ValidationError):
        tags(("a\n",))
