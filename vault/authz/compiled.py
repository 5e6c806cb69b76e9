"""One combination of policies and key permissions, and the decisions that are known of it."""

from typing import TypeAlias

from msgspec import Struct

from vault.authz.access import Access, Decision
from vault.authz.compile import Grant, RuleSet
from vault.authz.evaluate import evaluate
from vault.model.memo import Memo
from vault.model.operation import Capability

Question: TypeAlias = tuple[int, Capability, str]  # whose, for what, and where


class Compiled(Struct, frozen=True):
    """What decides for one combination of policies and key permissions."""

    rules: RuleSet
    grants: tuple[Grant, ...]
    number: int  # which of the snapshot's it is
    decisions: Memo[Question, Decision]  # known ones, of all of the snapshot's

    def decide(self, access: Access) -> Decision:
        """Evaluate, or return what is known: where no rule has a condition, the path says it all.

        What is known goes with the snapshot, so it never outlives a change of any policy.
        """
        table = self.rules.tables.get(access.capability)
        if table is None or table.conditional:
            return evaluate(self.rules, self.grants, access)
        question: Question = (self.number, access.capability, access.path)
        known = self.decisions.get(question)
        if known is None:
            known = evaluate(self.rules, self.grants, access)
            self.decisions.keep(question, known)
        return known

    @property
    def weight(self) -> int:
        """How much is kept for it, in filed patterns."""
        return 1 + sum(len(rule.patterns) * len(rule.capabilities) for rule in self.rules.rules)
