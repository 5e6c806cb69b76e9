"""What a caller may be shown of what he did not name himself."""

from vault.authz.access import Access
from vault.authz.authorizer import Authorizer
from vault.handlers.handler import Call
from vault.model.operation import NO_FACTS, Capability, Facts
from vault.model.path import ResourcePath
from vault.model.records import SecretRow

_USERS = ResourcePath.parse_folder("sys/users/")
_ACCESSORS = ResourcePath.parse("auth/token/accessors")


def facts_of(row: SecretRow) -> Facts:
    """What a policy condition may ask about this secret."""
    return Facts(exists=True, tags=frozenset(row.tags), metadata=row.metadata)


def _no_facts(_: SecretRow) -> Facts:
    """Where no rule asks for any."""
    return NO_FACTS


class Sight:
    """One caller's, at one moment: as his own requests for each would be decided."""

    def __init__(self, authorizer: Authorizer, call: Call, now: int) -> None:
        """It stays with the policies of now; make one for each answer."""
        self._standing = authorizer.standing(call.identity)
        self._call = call
        self._now = now
        self.shows = authorizer.visible(call.identity, call.op.origin, now)
        """Whether he may see a name in a list; of a thing with these facts, if he needs any."""
        self.needs_facts = self._standing.rules.needs_facts
        self._facts = facts_of if self.needs_facts else _no_facts

    def lists(self, row: SecretRow) -> bool:
        """Whether he may see its name in a list."""
        return self.shows(row.name, self._facts(row))

    def describes(self, row: SecretRow) -> bool:
        """Whether he would be shown its metadata if he asked for it."""
        path, facts = ResourcePath.parse(row.name), self._facts(row)
        return self._may(Capability.READ_METADATA, path, facts) or self._may(
            Capability.READ, path, facts
        )

    def users(self) -> bool:
        """Whether he may list the users."""
        return self._may(Capability.LIST, _USERS, NO_FACTS)

    def accessors(self) -> bool:
        """Whether he may list the accessors of tokens."""
        return self._may(Capability.SUDO, _ACCESSORS, NO_FACTS)

    def _may(self, capability: Capability, path: ResourcePath, facts: Facts) -> bool:
        access = Access(
            capability=capability,
            path=path,
            identity=self._call.identity,
            origin=self._call.op.origin,
            facts=facts,
            now=self._now,
        )
        return self._standing.decide(access).allowed
