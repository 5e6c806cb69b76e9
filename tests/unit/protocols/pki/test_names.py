from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.pki.errors import PkiNameError
from protocols.pki.names import CONTROL_PLANE, AgentName

SLUGS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?", fullmatch=True)

HOSTILE = (
    "freehold://acme/vaults/prod/",
    "freehold://acme./vaults/prod",
    "freehold://acme/vaults/prod.",
    "freehold://ACME/vaults/prod",
    "FREEHOLD://acme/vaults/prod",
    "freehold://acme:443/vaults/prod",
    "freehold://user@acme/vaults/prod",
    "freehold://acme/vaults/prod?x",
    "freehold://acme/vaults/prod#x",
    "freehold://acme/vaults/%70rod",
    "freehold://acme/vaults/../vaults/prod",
    "freehold://acme//vaults/prod",
    "freehold://acme/vaults/prod\n",
    "freehold://acme/vaults/prod\0",
    " freehold://acme/vaults/prod",
    "freehold://acme/vaults/pr\N{CYRILLIC SMALL LETTER O}d",
    "freehold://acme/vaults/prod\N{ZERO WIDTH SPACE}",
    "freehold://acme/vaults/-prod",
    "freehold://acme/vaults/prod-",
    "freehold://acme/vaults/" + "a" * 65,
    "freehold://acme/vaults/\N{ARABIC-INDIC DIGIT ONE}",
    "freehold://acme/vaults/",
    "freehold:///vaults/prod",
    "spiffe://acme/vaults/prod",
    CONTROL_PLANE,
    "",
)


@given(SLUGS, SLUGS)
def test_a_name_is_read_as_it_was_written(org: str, vault: str) -> None:
    """One spelling, both ways."""
    name = AgentName.from_slugs(org, vault)
    assert AgentName.from_uri(name.uri) == name == (org, vault)


@pytest.mark.parametrize("uri", HOSTILE)
def test_any_other_spelling_is_refused(uri: str) -> None:
    """Case, dots, ports, escapes and look-alikes are not made equal to anything."""
    with pytest.raises(PkiNameError):
        AgentName.from_uri(uri)


@given(st.text())
def test_whatever_is_parsed_is_what_would_be_written(text: str) -> None:
    """No text is read as a name that is spelled otherwise."""
    with suppress(PkiNameError):
        assert AgentName.from_uri(text).uri == text


@pytest.mark.parametrize(
    ("org", "vault", "field"), [("A", "b", "organization"), ("a", "", "vault")]
)
def test_the_error_says_which_part_is_wrong(org: str, vault: str, field: str) -> None:
    """For whoever typed it."""
    with pytest.raises(PkiNameError, match=field):
        AgentName.from_slugs(org, vault)
