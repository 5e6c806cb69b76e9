"""Reach: may somebody do anything at all below a folder? Asked before he is told what lies there.

It looks at where rules allow, not at what and when: conditions and denials are not held against it,
so the answer is good for saying that a mount exists, and for nothing more.
"""

from vault.authz.compile import Grant, RuleSet
from vault.authz.pattern import SEGMENT, Pattern


def reaches(rules: RuleSet, grants: tuple[Grant, ...], folder: str) -> bool:
    """Say whether an allow rule meets `folder` (closing slash and all), and one of any grants."""
    allowed = rules.root or any(
        meets(pattern, folder)
        for rule in rules.rules
        if not rule.deny and (rule.bound is None or rule.bound.reaches(folder))
        for pattern in rule.patterns
    )
    return allowed and (
        not grants or any(meets(pattern, folder) for grant in grants for pattern in grant.patterns)
    )


def meets(pattern: Pattern, folder: str) -> bool:
    """Say whether the pattern covers any path that begins with `folder`."""
    parts = pattern.parts or tuple(pattern.text.split("/"))
    segments = folder.split("/")[:-1]
    last = len(parts) - 1
    for place, have in enumerate(segments):
        if place == last:
            return pattern.open_ended and have.startswith(parts[last])
        if parts[place] not in {have, SEGMENT}:
            return False
    return True
