"""Which names of a list somebody may be shown."""

from vault.authz.access import AccessRequest
from vault.authz.compile import Grant, RuleSet, is_mixed_folder
from vault.authz.evaluate import is_listed
from vault.model.identity import Identity
from vault.model.operation import Capability, Origin, SecretFacts
from vault.model.path import ResourcePath


class ListFilter:
    """The filter of one list. What is decided for all of a folder is decided once for it.

    Names come in order, so those of a folder come together.
    """

    def __init__(
        self,
        rules: RuleSet,
        grants: tuple[Grant, ...],
        identity: Identity,
        origin: Origin,
        now: int,
    ) -> None:
        self._rules = rules
        self._grants = grants
        self._identity = identity
        self._origin = origin
        self._now = now
        self._table = rules.tables.get(Capability.LIST)
        self._folder: str | None = None  # whose things are all shown, or none of them
        self._all = False

    def __call__(self, name: str, facts: SecretFacts) -> bool:
        """Whether the thing of this name and these facts shows in its folder's list."""
        folder = name[: name.rfind("/") + 1]
        if folder == self._folder:
            return self._all
        shown = self._shows(name, facts)
        table = self._table
        if table and not table.conditional and not is_mixed_folder(table, self._grants, folder):
            self._folder, self._all = folder, shown
        return shown

    def _shows(self, name: str, facts: SecretFacts) -> bool:
        access = AccessRequest(
            capability=Capability.LIST,
            path=ResourcePath.parse(name),
            identity=self._identity,
            origin=self._origin,
            facts=facts,
            now=self._now,
        )
        return is_listed(self._rules, self._grants, access)
