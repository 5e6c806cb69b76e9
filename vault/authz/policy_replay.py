"""An access on record, decided again: pure. The decision itself is live authorization's.

The record says who did what, where, when and from which address; what it does not hold is a
secret's tags and metadata at that time. A condition that asks for unknown ones cannot be decided,
which refuses. So a yes stands whatever they were, and a no does not count as one.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple, NoReturn, cast

from msgspec import Struct
from msgspec.structs import replace

from vault.authz.access import AccessRequest, Decision
from vault.authz.conditions import UndecidableError
from vault.authz.policy_store import PolicySnapshot
from vault.errors import ValidationError
from vault.model.audit_row import AuditRow
from vault.model.identity import Identity
from vault.model.operation import NO_FACTS, Capability, Origin, SecretFacts
from vault.model.path import ResourcePath
from vault.model.policy_replay import ConditionFact, DecisionChange, Undecided

MAX_KINDS: Final = 10_000  # of changes that are told apart; more are only counted
MAX_OUTCOMES: Final = 10_000  # outcomes that are kept until their intents come; 9 MB
REFUSED: Final = "permission_denied"  # the code of what policies refuse
_CAPABILITIES: Final = frozenset(map(str, Capability))


class RecordedDecision(NamedTuple):
    """One decision of the policies, as the log has it."""

    row: AuditRow
    allowed: bool


class DecisionPair(NamedTuple):
    """One access under the policies in force and under the candidate; None: it depends."""

    current: Decision | None
    candidate: Decision | None


class DecisionFilter:
    """Which of the records a decision of policies stands behind, each decision once.

    Of a mutation that was let in that is its intent, whatever became of it. But a worker may have
    decided on a guess: then the decision that counted is that of the outcome (decision 13).
    """

    def __init__(self, mutating: frozenset[str]) -> None:
        """`mutating`: the operations that have an intent."""
        self._mutating = mutating
        self._outcomes: dict[
            tuple[str, str], AuditRow
        ] = {}  # outcomes whose intents are still to come

    def filter_rows(self, rows: Iterable[AuditRow]) -> Iterator[RecordedDecision]:
        """Those of the next records, which come newest first: an outcome before its intent."""
        for row in rows:
            if row.capability not in _CAPABILITIES:
                continue  # refused before, or open to every caller
            if row.phase == "intent":
                end = self._outcomes.pop(_request(row), row)
                if not _is_refusal(end):  # that has counted
                    yield RecordedDecision(replace(row, capability=end.capability), allowed=True)
                continue
            if row.operation in self._mutating:
                self._keep(row)
            if _is_refusal(row):
                yield RecordedDecision(row, allowed=False)
            elif row.operation not in self._mutating:
                yield RecordedDecision(row, allowed=True)

    def _keep(self, row: AuditRow) -> None:
        self._outcomes[_request(row)] = row
        if len(self._outcomes) > MAX_OUTCOMES:
            del self._outcomes[next(iter(self._outcomes))]


def _request(row: AuditRow) -> tuple[str, str]:
    return row.request_id, row.path  # a batch has several paths


def _is_refusal(row: AuditRow) -> bool:
    return row.result == "denied" and row.code == REFUSED


class ReplayedAccess(Struct, frozen=True):
    """A recorded access, with the identity of its caller now. `facts` None: they are not known.

    `known`: what conditions may be decided by.
    """

    row: AuditRow
    path: ResourcePath
    identity: Identity
    facts: SecretFacts | None = None
    known: frozenset[ConditionFact] = frozenset(ConditionFact)

    def decide_both(self, current: PolicySnapshot, candidate: PolicySnapshot) -> DecisionPair:
        """Decide it twice, as a request at its time would be."""
        return DecisionPair(self._decide(current), self._decide(candidate))

    def _decide(self, snapshot: PolicySnapshot) -> Decision | None:
        seen = _TrackedFacts(self)
        access = AccessRequest(
            capability=Capability(self.row.capability),
            path=self.path,
            identity=self.identity,
            origin=cast("Origin", seen),
            facts=cast("SecretFacts", seen),
            now=self.row.time,
        )
        decision = snapshot.compiled_for(self.identity).decide(access)
        return decision if decision.allowed or not seen.asked else None


def recorded_path(row: AuditRow) -> ResourcePath | None:
    """What the access was about; None if the record does not hold it."""
    try:
        if row.path == "" or row.path.endswith("/"):
            return ResourcePath.parse_folder(row.path)
        return ResourcePath.parse(row.path)
    except ValidationError:
        return None


class _TrackedFacts:
    """Stands in for `SecretFacts` and `Origin`: remembers whether something hidden was asked for.

    What is about no secret (`NO_FACTS`) hides nothing of one.
    """

    __slots__ = ("_question", "asked")

    def __init__(self, question: ReplayedAccess) -> None:
        self._question = question
        self.asked = False

    @property
    def tags(self) -> frozenset[str]:
        """If they are known."""
        return self._facts(ConditionFact.TAGS).tags

    @property
    def metadata(self) -> Mapping[str, str]:
        """If it is known."""
        return self._facts(ConditionFact.METADATA).metadata

    @property
    def ip(self) -> str:
        """If it may be asked for."""
        if ConditionFact.NETWORKS not in self._question.known:
            self._hide(ConditionFact.NETWORKS)
        return self._question.row.ip

    def _facts(self, fact: ConditionFact) -> SecretFacts:
        facts = self._question.facts
        hidden = facts is not NO_FACTS and fact not in self._question.known
        if facts is None or hidden:
            self._hide(fact)
        return facts

    def _hide(self, fact: ConditionFact) -> NoReturn:
        self.asked = True
        raise UndecidableError(f"{fact}: not known")


class ReplayCounts:
    """Adds up pairs, newest first. Its size is bounded."""

    def __init__(self) -> None:
        self.accesses = self.unchanged = self.denied = self.allowed = self.drifted = 0
        self.undecided: dict[Undecided, int] = {}
        self.uncounted = 0
        """Accesses of kinds that were not told apart any more."""
        self._changes: dict[tuple[str, ...], list[int]] = {}
        self._first: dict[tuple[str, ...], tuple[AuditRow, DecisionPair]] = {}

    def add_undecidable(self, why: Undecided) -> None:
        """One that cannot be decided."""
        self.accesses += 1
        self.undecided[why] = self.undecided.get(why, 0) + 1

    def add_decided(self, recorded: RecordedDecision, pair: DecisionPair) -> None:
        """One that was decided, or depends on what nobody knows."""
        now, then = pair
        if now is None or then is None:
            self.add_undecidable(Undecided.SECRET_CHANGED)
            return
        self.accesses += 1
        self.drifted += now.allowed != recorded.allowed
        if now.allowed == then.allowed:
            self.unchanged += 1
            return
        self.denied += now.allowed
        self.allowed += then.allowed
        self._keep(recorded.row, pair, then)

    def changes(self) -> list[DecisionChange]:
        """One for each kind, the most frequent first."""
        found = [self._change(key, count) for key, (count,) in self._changes.items()]
        return sorted(found, key=lambda change: (-change.count, -change.last))

    def _keep(self, row: AuditRow, pair: DecisionPair, then: Decision) -> None:
        key = (row.actor_id, row.operation, row.path, row.capability, then.rule, str(then.allowed))
        if key in self._changes:
            self._changes[key][0] += 1
        elif len(self._changes) < MAX_KINDS:
            self._changes[key], self._first[key] = [1], (row, pair)
        else:
            self.uncounted += 1

    def _change(self, key: tuple[str, ...], count: int) -> DecisionChange:
        row, (now, then) = self._first[key]
        if now is None or then is None:
            raise AssertionError("only what was decided is kept")
        return DecisionChange(
            allowed=then.allowed,
            actor_id=row.actor_id,
            actor_name=row.actor_name,
            operation=row.operation,
            capability=row.capability,
            path=row.path,
            rule=then.rule,
            rule_now=now.rule,
            count=count,
            last=row.time,
            last_seq=row.seq,
            last_ip=row.ip,
        )
