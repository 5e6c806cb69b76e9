"""One combination of policies and key permissions, and the decisions that are known of it."""

from typing import TypeAlias

from msgspec import Struct

from vault.authz.access import AccessRequest, Decision
from vault.authz.compile import Grant, RuleSet, is_mixed_folder
from vault.authz.evaluate import evaluate
from vault.model.memo import BoundedMemo
from vault.model.operation import Capability

DecisionKey: TypeAlias = tuple[int, Capability, str, bool]
"""Whose, for what, and where: a path, or a folder for all that lies in it (True)."""


class CompiledPolicies(Struct, frozen=True):
    """What decides for one combination of policies and key permissions."""

    rules: RuleSet
    grants: tuple[Grant, ...]
    number: int  # which of the snapshot's it is
    decisions: BoundedMemo[DecisionKey, Decision]  # known ones, of all of the snapshot's

    def decide(self, access: AccessRequest) -> Decision:
        """Evaluate, or return what is known: where no rule has a condition, the path says it all.

        What is known goes with the snapshot, so it never outlives a change of any policy.
        """
        table = self.rules.tables.get(access.capability)
        if table is None or table.conditional:
            return evaluate(self.rules, self.grants, access)
        folder = access.path[: access.path.rfind("/") + 1]
        known = self.decisions.get((self.number, access.capability, folder, True))
        if known is not None:
            return known
        lists = access.capability is Capability.LIST  # folders, which patterns cover in two forms
        alike = not lists and not is_mixed_folder(table, self.grants, folder)
        place = folder if alike else access.path
        question: DecisionKey = (self.number, access.capability, place, alike)
        known = self.decisions.get(question)
        if known is None:
            known = evaluate(self.rules, self.grants, access)
            self.decisions.put(question, known)
        return known

    @property
    def weight(self) -> int:
        """How much is kept for it, in filed patterns."""
        tables = {id(table): table for table in self.rules.tables.values()}
        filed = sum(table.index.size for table in tables.values())
        return 1 + filed + sum(grant.index.size for grant in self.grants)
