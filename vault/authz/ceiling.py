"""The ceiling: how far a control plane's bundle may reach at most, as the vault's owner says.

A ceiling is an ordinary policy document. It grants nothing by itself: a bundle's allow rule counts
only where the ceiling allows the very same access; a bundle's denials always count for those who
hold its policy. Without a ceiling a bundle can take away and never give.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from protocols import json_text
from vault.authz.access import AccessRequest
from vault.authz.compile import CompiledCeiling, can_reach, compile_policies
from vault.authz.evaluate import evaluate
from vault.authz.pattern import SEGMENT, Pattern, parse_pattern
from vault.authz.policy import ANY_CAPABILITY, MAX_BYTES, Effect, Policy, Rule, validate_policy
from vault.errors import UnavailableError, ValidationError

NO_CEILING: Final = Policy(
    name="ceiling", description="Built in: a bundle may restrict, and grants nothing."
)


def read_ceiling(path: Path | None) -> Policy:
    """The ceiling in a file of the settings; it needs no name. Blocks.

    Raises `UnavailableError` (`ceiling_invalid`) for one that cannot be read or understood.
    """
    if path is None:
        return NO_CEILING
    try:
        with path.open("rb") as file:
            written = json_text.decode(file.read(MAX_BYTES + 1))
        ceiling = validate_policy(
            {"name": "ceiling", **written} if isinstance(written, dict) else written
        )
    except OSError as error:
        raise UnavailableError("ceiling_invalid", f"{path}: {error.strerror}") from None
    except (msgspec.DecodeError, ValidationError) as error:
        told = error.message if isinstance(error, ValidationError) else "is not JSON"
        raise UnavailableError("ceiling_invalid", f"{path} is no policy document: {told}") from None
    if ceiling.acl:  # its paths are of the Vault-compatible API, those of a bundle are not
        raise UnavailableError("ceiling_invalid", f"{path}: a ceiling has rules, and no acl")
    return ceiling


def compile_ceiling(ceiling: Policy) -> CompiledCeiling:
    """The ceiling as what holds a bundle's allow rules down."""
    rules = compile_policies([ceiling])

    def holds(access: AccessRequest) -> bool:
        return evaluate(rules, (), access).allowed

    return CompiledCeiling(
        check=holds,
        reaches=lambda folder: can_reach(rules, (), folder),
        needs_facts=rules.needs_facts,
    )


def count_narrowed(ceiling: Policy, policies: Iterable[Policy]) -> int:
    """How many of a bundle's allow rules the ceiling cuts, or may cut: those not surely inside it.

    For people, and on the safe side: conditions of the ceiling count as a cut. What decides is the
    check of each access.
    """
    rules = ceiling.rules if ceiling.enabled else ()
    allows = [r for r in rules if r.effect is Effect.ALLOW and not r.conditions]
    denials = [r for r in rules if r.effect is Effect.DENY]
    free = [] if ceiling.conditions else allows
    return sum(
        not _is_inside(rule, free, denials)
        for policy in policies
        if policy.enabled
        for rule in policy.rules
        if rule.effect is Effect.ALLOW
    )


def _is_inside(rule: Rule, allows: list[Rule], denials: list[Rule]) -> bool:
    for text in rule.paths:
        inner = parse_pattern(text, "paths")
        if any(
            _shares_capability(rule, denial) and _overlaps_rule(denial, inner) for denial in denials
        ):
            return False
        for capability in rule.capabilities:
            if not any(
                _has_capability(allow, capability) and _covers(allow, inner) for allow in allows
            ):
                return False
    return True


def _has_capability(rule: Rule, capability: str) -> bool:
    return ANY_CAPABILITY in rule.capabilities or capability in rule.capabilities


def _shares_capability(rule: Rule, other: Rule) -> bool:
    return ANY_CAPABILITY in rule.capabilities or any(
        _has_capability(other, c) for c in rule.capabilities
    )


def _covers(rule: Rule, inner: Pattern) -> bool:
    return any(_includes(parse_pattern(text, "paths"), inner) for text in rule.paths)


def _overlaps_rule(rule: Rule, inner: Pattern) -> bool:
    return any(_overlap(parse_pattern(text, "paths"), inner) for text in rule.paths)


def _includes(outer: Pattern, inner: Pattern) -> bool:
    """Whether every path of `inner` is surely one of `outer`; a no can be wrong, a yes cannot."""
    if outer == inner:
        return True
    if not outer.parts and outer.open_ended:
        known = inner.head if inner.parts else inner.text
        return known.startswith(outer.text)
    return not inner.parts and not inner.open_ended and outer.matches(inner.text)


def _overlap(one: Pattern, other: Pattern) -> bool:
    """Whether some path may be covered by both; a yes can be wrong, a no cannot."""
    mine, theirs = _parts(one), _parts(other)
    for place, (a, b) in enumerate(zip(mine, theirs, strict=False)):
        last_a = one.open_ended and place == len(mine) - 1
        last_b = other.open_ended and place == len(theirs) - 1
        if last_a and (b == SEGMENT or b.startswith(a) or (last_b and a.startswith(b))):
            return True
        if last_b and (a == SEGMENT or a.startswith(b)):
            return True
        if last_a or last_b or (a != b and SEGMENT not in (a, b)):
            return False
    return len(mine) == len(theirs)


def _parts(pattern: Pattern) -> tuple[str, ...]:
    return pattern.parts or tuple(pattern.text.split("/"))
