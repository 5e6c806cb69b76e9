"""vault.workers.reading: who says no in a worker. Acceptance tests run the path as it is."""

from typing import Any

import pytest

from vault.authz.access import Access, Decision
from vault.model.identity import ANONYMOUS, Identity
from vault.model.operation import Capability, Facts, Origin
from vault.model.path import ResourcePath
from vault.workers.elsewhere import Elsewhere
from vault.workers.known import THERE
from vault.workers.reading import Granting


class NoPolicies:
    """A book without any: nothing is allowed to anybody."""

    @property
    def snapshot(self) -> "NoPolicies":
        """Itself."""
        return self

    def compiled(self, _: Identity) -> "NoPolicies":
        """The same."""
        return self

    def decide(self, _: Access) -> Decision:
        """No."""
        return Decision(allowed=False)


def asked(facts: Facts) -> Access:
    """A question to update this secret."""
    return Access(
        capability=Capability.UPDATE, path=ResourcePath.parse("s/a"), identity=ANONYMOUS,
        origin=Origin(ip="10.0.0.1"), facts=facts, now=1,
    )  # fmt: skip


def test_a_no_is_not_made_from_memory() -> None:
    """The leader looks; a no to what was looked up here is one."""
    book: Any = NoPolicies()
    granting = Granting(book)
    assert not granting.decide(asked(Facts(exists=True))).allowed
    with pytest.raises(Elsewhere):
        granting.decide(asked(THERE))
