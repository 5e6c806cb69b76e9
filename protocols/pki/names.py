"""The names that certificates carry, as one SAN URI each.

    freehold://<org>/vaults/<vault>     an agent
    freehold://control-plane            the control plane

Org and vault are slugs: lower-case letters, digits and inner hyphens, 1 to 64 characters, in ASCII.
A name has one spelling, so two that differ are two names: what is not exactly that spelling is
refused, never normalised (case, trailing dots, ports, percent signs and look-alikes included).
No organization's slug can be mistaken for the control plane: its URI has no path.
"""

import re
from typing import Final, NamedTuple, Self

from protocols.pki.errors import PkiNameError

SLUG: Final = r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?"
SLUG_MAX: Final = 64

CONTROL_PLANE: Final = "freehold://control-plane"
"""The control plane's URI."""

_SLUG = re.compile(SLUG, re.ASCII)
_AGENT = re.compile(rf"freehold://({SLUG})/vaults/({SLUG})", re.ASCII)


class AgentName(NamedTuple):
    """Who an agent is. Make one with `from_slugs` or `from_uri`: both refuse what is no name."""

    org: str
    vault: str

    @classmethod
    def from_slugs(cls, org: str, vault: str) -> Self:
        """The name of these two slugs. Raises `PkiNameError`, which says which of them is none."""
        return cls(check_slug(org, "organization"), check_slug(vault, "vault"))

    @classmethod
    def from_uri(cls, uri: str) -> Self:
        """The name in an agent's SAN URI. Raises `PkiNameError` for any other text."""
        match = _AGENT.fullmatch(uri)
        if match is None:
            raise PkiNameError("not the URI of an agent: freehold://<org>/vaults/<vault>")
        return cls(*match.groups())

    @property
    def uri(self) -> str:
        """The SAN URI."""
        return f"freehold://{self.org}/vaults/{self.vault}"


def check_slug(text: str, field: str) -> str:
    """`text` when it is a slug. Raises `PkiNameError`, which names `field` and not the text."""
    if _SLUG.fullmatch(text) is None:
        raise PkiNameError(
            f"{field} must be 1 to {SLUG_MAX} lower-case letters, digits and hyphens, "
            "with no hyphen at either end"
        )
    return text
