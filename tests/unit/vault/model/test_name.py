"""Names of policies and roles have one spelling."""

import pytest

from vault.errors import ValidationError
from vault.model.name import canonical_name


def test_canonical() -> None:
    """ASCII capitals fold; what is canonical stays."""
    assert [canonical_name(n, "f") for n in ("app-read", "App.Read_1", "9")] == [
        "app-read",
        "app.read_1",
        "9",
    ]


@pytest.mark.parametrize(
    "name",
    ["", " a", "a ", "a/b", "a*", "+", "a,b", ".a", "-a", "a\n", "\u212a", "a\u017f", "\uff41",
     "x" * 129],
)  # fmt: skip
def test_refused(name: str) -> None:
    """Anything else is refused, with its field; letters that fold into ASCII are no exception."""
    with pytest.raises(ValidationError) as caught:
        canonical_name(name, "policies[2]")
    assert caught.value.details["field"] == "policies[2]"
