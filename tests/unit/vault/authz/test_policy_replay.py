"""Accesses on record, decided again."""

from typing import Any

import pytest
from msgspec.structs import replace

from vault.authz import policy_replay
from vault.authz.access import AccessRequest
from vault.authz.policy import validate_policy
from vault.authz.policy_replay import (
    DecisionFilter,
    DecisionPair,
    RecordedDecision,
    ReplayCounts,
    ReplayedAccess,
    recorded_path,
)
from vault.authz.policy_store import PolicySnapshot
from vault.model.audit_row import AuditRow
from vault.model.identity import Identity, Method
from vault.model.operation import NO_FACTS, Capability, Origin, SecretFacts
from vault.model.path import ResourcePath
from vault.model.policy_replay import ConditionFact, Undecided

NOW = 1_800_000_000 * 10**9  # Friday 2027-01-15 08:00 UTC
HOUR = 3600 * 10**9
ANN = Identity(id="ann", name="ann", method=Method.TOKEN, policies=("app",), credential="acc")
MUTATING = frozenset({"secret.write"})


def row(**changes: Any) -> AuditRow:
    """A read that was let in."""
    fields: dict[str, Any] = {
        "node": "n",
        "seq": 1, "time": NOW, "request_id": "r", "phase": "outcome",
        "operation": "secret.read", "path": "secret/a", "capability": "read", "actor_id": "ann",
        "actor_name": "ann", "method": "token", "credential": "acc", "ip": "10.0.0.1",
        "user_agent": "", "dialect": "native", "result": "ok",
    }  # fmt: skip
    return AuditRow(**fields | changes)


def snapshot(*conditions: dict[str, Any], effect: str = "allow", **rule: Any) -> PolicySnapshot:
    """One policy with one rule, and for a denial one that allows all beside it."""
    one = {"effect": effect, "paths": ["secret/*"], "capabilities": ["read"]} | rule
    rules = [one | {"conditions": list(conditions)}]
    if effect == "deny":
        rules.append({"effect": "allow", "paths": ["secret/*"], "capabilities": ["read"]})
    return PolicySnapshot([validate_policy({"name": "app", "rules": rules})])


def ask(
    found: AuditRow, policies: PolicySnapshot, facts: SecretFacts | None = NO_FACTS
) -> bool | None:
    """Under these policies; None: it cannot be said."""
    question = ReplayedAccess(found, ResourcePath.parse(found.path), ANN, facts)
    now, then = question.decide_both(policies, policies)
    assert now == then
    return None if now is None else now.allowed


def test_each_decision_counts_once() -> None:
    """A read by its outcome, a mutation by its intent or its refusal; nothing else is one."""
    read, missed = row(), row(result="failed", code="secret_not_found")
    denied = row(result="denied", code="permission_denied")
    intent = row(operation="secret.write", phase="intent", capability="update")
    done = row(operation="secret.write", capability="update")
    refused = row(
        operation="secret.write", capability="update", result="denied", code="permission_denied"
    )
    halfway = row(
        operation="secret.write", capability="update", result="denied", code="more_privileged"
    )
    nobody = row(capability="", result="denied", code="unauthenticated")
    rows = [read, missed, denied, done, intent, refused, halfway, nobody]
    assert list(DecisionFilter(MUTATING).filter_rows(rows)) == [
        RecordedDecision(read, allowed=True),
        RecordedDecision(missed, allowed=True),
        RecordedDecision(denied, allowed=False),
        RecordedDecision(intent, allowed=True),
        RecordedDecision(refused, allowed=False),
    ]


def test_the_decision_that_counted_is_the_last() -> None:
    """What was begun on a wrong guess counts as what it came to, also pages later."""
    intent = row(operation="secret.write", phase="intent", capability="create")
    done = row(operation="secret.write", capability="update")
    refused = row(
        operation="secret.write", capability="update", result="denied", code="permission_denied"
    )
    updated = row(operation="secret.write", phase="intent", capability="update")
    decisions = DecisionFilter(MUTATING)
    assert list(decisions.filter_rows([done])) == []
    assert list(decisions.filter_rows([intent])) == [RecordedDecision(updated, allowed=True)]
    assert list(decisions.filter_rows([refused])) == [RecordedDecision(refused, allowed=False)]
    assert list(decisions.filter_rows([intent])) == []
    other = row(operation="secret.write", phase="intent", capability="create", path="secret/b")
    assert list(decisions.filter_rows([done, other])) == [RecordedDecision(other, allowed=True)]


def test_an_outcome_is_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is that of what never had an intent: the oldest goes first."""
    monkeypatch.setattr(policy_replay, "MAX_OUTCOMES", 2)
    decisions = DecisionFilter(MUTATING)
    ends = [row(operation="secret.write", capability="update", request_id=f"{n}") for n in range(3)]
    assert list(decisions.filter_rows(ends)) == []
    intents = [
        row(operation="secret.write", phase="intent", capability="create", request_id=f"{n}")
        for n in range(3)
    ]
    found = [recorded.row.capability for recorded in decisions.filter_rows(intents)]
    assert found == ["create", "update", "update"]


def test_conditions_are_asked_as_at_that_time() -> None:
    """The record's time and address count, and how its caller had proven who he was."""
    morning = {"type": "time_window", "from": "08:00", "to": "09:00"}
    assert ask(row(), snapshot(morning))
    assert not ask(row(time=NOW + HOUR), snapshot(morning))
    inside = {"type": "source_network", "networks": ["10.0.0.0/8"]}
    assert ask(row(), snapshot(inside))
    assert not ask(row(ip="192.0.2.1"), snapshot(inside))
    assert not ask(row(ip=""), snapshot(inside))  # undecidable when it happened, too
    assert ask(row(), snapshot({"type": "auth_method", "methods": ["token"]}))
    assert not ask(row(), snapshot({"type": "auth_method", "methods": ["jwt"]}))


@pytest.mark.parametrize(
    "condition", [{"type": "tags", "any": ["open"]}, {"type": "metadata", "key": "k", "in": ["v"]}]
)
@pytest.mark.parametrize("negated", [False, True])
def test_unknown_facts_are_never_guessed(condition: dict[str, Any], negated: bool) -> None:
    """Where the secret's tags have a say and are not known, there is no answer but a sure yes."""
    asked = {**condition, "not": negated}
    assert ask(row(), snapshot(asked), None) is None
    assert ask(row(), snapshot(asked, effect="deny"), None) is None
    assert ask(row(), snapshot(asked, paths=["other/*"]), None) is False  # nobody asked
    assert ask(row(), snapshot(asked, {"type": "mfa_present"}), None) is None
    assert ask(row(), snapshot({"type": "mfa_present"}, asked), None) is False


def test_a_yes_stands_whatever_the_facts() -> None:
    """Another rule allows it, and no rule denies it."""
    rules = [
        {"effect": "allow", "paths": ["*"], "capabilities": ["read"], "conditions": conditions}
        for conditions in ([{"type": "tags", "any": ["open"]}], [])
    ]
    assert (
        ask(row(), PolicySnapshot([validate_policy({"name": "app", "rules": rules})]), None) is True
    )


def test_it_is_the_evaluation_of_live_requests() -> None:
    """What is known is decided as `CompiledPolicies.decide` decides a request."""
    policies = snapshot({"type": "tags", "any": ["open"]})
    for tags in ({"open"}, {"shut"}):
        facts = SecretFacts(exists=True, tags=frozenset(tags))
        live = policies.compiled_for(ANN).decide(
            AccessRequest(
                capability=Capability.READ, path=ResourcePath.parse("secret/a"), identity=ANN,
                origin=Origin(ip="10.0.0.1"), facts=facts, now=NOW,
            )
        )  # fmt: skip
        question = ReplayedAccess(row(), ResourcePath.parse("secret/a"), ANN, facts)
        assert question.decide_both(policies, policies) == (live, live)


@pytest.mark.parametrize("path", ["", "secret/", "secret/a"])
def test_paths_are_those_of_requests(path: str) -> None:
    """Folders too."""
    assert recorded_path(row(path=path)) == path


def test_a_path_that_is_none_is_not_guessed() -> None:
    """Cut to what a key column holds, say."""
    assert recorded_path(row(path="secret//a")) is None
    assert recorded_path(row(path="a" * 600)) is None


def test_counts_by_kind() -> None:
    """Changes are told apart by who, what, where and the rule; the most frequent come first."""
    allow, nothing = snapshot(), PolicySnapshot()
    counts = ReplayCounts()
    for found, recorded in ((row(seq=9), True), (row(seq=8), False), (row(path="secret/b"), True)):
        question = ReplayedAccess(found, ResourcePath.parse(found.path), ANN, NO_FACTS)
        counts.add_decided(RecordedDecision(found, recorded), question.decide_both(allow, nothing))
    same = ReplayedAccess(row(), ResourcePath.parse("secret/a"), ANN, NO_FACTS)
    counts.add_decided(RecordedDecision(row(), allowed=True), same.decide_both(allow, allow))
    counts.add_decided(RecordedDecision(row(), allowed=False), same.decide_both(nothing, allow))
    counts.add_decided(RecordedDecision(row(), allowed=True), DecisionPair(None, None))
    counts.add_undecidable(Undecided.CREDENTIAL_GONE)
    assert (counts.accesses, counts.denied, counts.allowed, counts.unchanged) == (7, 3, 1, 1)
    assert counts.drifted == 1
    assert counts.undecided == {
        Undecided.SECRET_CHANGED: 1,
        Undecided.CREDENTIAL_GONE: 1,
    }
    first, *others = counts.changes()
    assert (first.count, first.last_seq, first.path, first.allowed) == (2, 9, "secret/a", False)
    assert (first.rule, first.rule_now) == ("", "app/rules[0]")
    assert {(one.path, one.allowed) for one in others} == {("secret/b", False), ("secret/a", True)}


def test_kinds_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound they are only counted."""
    monkeypatch.setattr("vault.authz.policy_replay.MAX_KINDS", 1)
    counts = ReplayCounts()
    for path in ("secret/a", "secret/b", "secret/a"):
        found = row(path=path)
        question = ReplayedAccess(found, ResourcePath.parse(path), ANN, NO_FACTS)
        counts.add_decided(
            RecordedDecision(found, allowed=True),
            question.decide_both(snapshot(), PolicySnapshot()),
        )
    assert (counts.denied, counts.uncounted) == (3, 1)
    assert [one.count for one in counts.changes()] == [2]


CONDITIONS = {
    ConditionFact.TAGS: {"type": "tags", "any": ["open"]},
    ConditionFact.METADATA: {"type": "metadata", "key": "k", "equals": "v"},
    ConditionFact.NETWORKS: {"type": "source_network", "networks": ["10.0.0.0/8"]},
}
FACTS = SecretFacts(exists=True, tags=frozenset({"open"}), metadata={"k": "v"})


@pytest.mark.parametrize("fact", list(ConditionFact))
@pytest.mark.parametrize("negated", [False, True])
@pytest.mark.parametrize("effect", ["allow", "deny"])
def test_no_condition_tells_what_is_hidden(fact: ConditionFact, effect: str, negated: bool) -> None:
    """Whatever is guessed, the answer is the same; what is not hidden is decided."""
    policies = snapshot({**CONDITIONS[fact], "not": negated}, effect=effect)
    answers = set()
    for facts, ip in ((FACTS, "10.0.0.1"), (SecretFacts(exists=True), "192.0.2.1")):
        question = ReplayedAccess(
            row(ip=ip),
            ResourcePath.parse("secret/a"),
            ANN,
            facts,
            frozenset(ConditionFact) - {fact},
        )
        answers.add(question.decide_both(policies, policies))
        whole = replace(question, known=frozenset({fact})).decide_both(policies, policies)
        assert whole.current is not None
    assert answers == {(None, None)}


def test_what_is_about_no_secret_hides_nothing_of_one() -> None:
    """There, conditions on tags are decided as for a request: it has none."""
    policies = snapshot(CONDITIONS[ConditionFact.TAGS])
    question = ReplayedAccess(row(), ResourcePath.parse("secret/a"), ANN, NO_FACTS, frozenset())
    now, _ = question.decide_both(policies, policies)
    assert now is not None
    assert not now.allowed
