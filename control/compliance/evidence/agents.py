"""Agents: whether they are heard, their certificates, what holds their keys, what was cut off."""

from collections.abc import Iterable, Sequence
from typing import Final

from control.compliance.evidence.common import (
    Span,
    evidence,
    judged,
    lacking_of,
    plural,
    recorded,
)
from control.compliance.evidence.course import Course, course_of
from control.compliance.evidence.timeline import (
    HOUR,
    Stretch,
    Timeline,
    Times,
    joined,
    length,
    longest,
    proof,
    unknown,
    within,
    without,
)
from control.model.agents import Agent, Life, State
from control.model.compliance import Evidence, Proof, ReportedProof, Result
from control.model.history import HEARD, SILENT, Aspect
from control.store import compliance_reads as reads
from control.store.rows import Tx
from protocols.link.vocabulary import KeyHolder

DAY: Final = 24 * HOUR
SLACK: Final = HOUR // 4
"""Of a link without a certificate in force: an agent is heard until its silence is noticed."""
APART: Final = frozenset({KeyHolder.SHAMIR, KeyHolder.PKCS11, KeyHolder.CLOUD})
"""Holders that keep the root key off the agent's own disk."""


def collect(tx: Tx, span: Span) -> list[Evidence]:
    """All that there is about agents."""
    everybody = reads.agents_of(tx, span.org)
    active = [agent for agent in everybody if agent.life is Life.ACTIVE]
    course = course_of(tx, span)
    return [
        _presence(span, course, active),
        _certificates(span, course),
        _keys(active),
        _releases(active),
        _revocations(tx, span, course),
    ]


def _said(agent: Agent, name: str) -> ReportedProof:
    value = str(agent.facts.get(name, ""))
    return ReportedProof(vault=agent.vault, name=name, value=value, at=agent.changed_at)


def _presence(span: Span, course: Course, agents: Sequence[Agent]) -> Evidence:
    """Who is sealed, or refuses everything, is heard and of no use: that counts as it is now."""
    shut = {
        agent.vault: str(agent.state)
        for agent in agents
        if agent.state in (State.SEALED, State.REFUSING) and span.until >= span.now
    }
    wrong: dict[str, Timeline | None] = {}
    fine: dict[str, Timeline | None] = {}
    silence = 0
    for vault, active in course.active.items():
        line = course.presence.get(vault)
        silent = within(active, line.where(SILENT)) if line else []
        silence += length(silent)
        ends = bool(active and active[-1][1] == span.end and line and line.end == SILENT)
        bad = line is None or ends or longest(silent) > DAY or vault in shut
        (wrong if bad else fine)[vault] = line
    unsure = unknown(line for vault, line in course.presence.items() if vault in course.active)
    total = len(course.active)
    return evidence(
        "agents.presence",
        "Agents are heard",
        judged(len(fine), total, unsure),
        f"{len(fine)} of {plural(total, 'agent')} that were active in the period were heard all "
        "the time but for at most a day at a stretch, and at its end; "
        f"{plural(silence // HOUR, 'hour')} of silence in all."
        + f" {plural(len(shut), 'agent')} sealed or refusing every request now." * bool(shut),
        figures={"active": total, "silent": len(wrong) - len(shut.keys() & wrong.keys()),
                 "hours_silent": silence // HOUR, "unknown": len(unsure), "shut": len(shut)},
        wrong=[proof(Aspect.PRESENCE, s) for s in _worst(wrong.values())],
        fine=[proof(Aspect.PRESENCE, line.stretches[-1]) for line in fine.values() if line],
        exceptions=[f"{v}: {shut[v]}" if v in shut else v for v in wrong],
        lacking=lacking_of(unsure),
    )  # fmt: skip


def _worst(lines: Iterable[Timeline | None]) -> list[Stretch]:
    """Of each the longest silence."""
    found = []
    for line in lines:
        silent = [s for s in line.stretches if s.value == SILENT] if line else []
        found += [max(silent, key=lambda stretch: stretch.length)] if silent else []
    return found


def _certificates(span: Span, course: Course) -> Evidence:
    wrong: dict[str, list[Proof]] = {}
    fine: list[Proof] = []
    for vault, active in course.active.items():
        issued = course.certificates.get(vault, [])
        valid = joined((c.not_before, c.ends_at) for c in issued if c.is_short)
        line = course.presence.get(vault)
        needed = within(active, line.where(HEARD)) if line else active
        bare = length(without(needed, valid))
        ends = bool(active) and active[-1][1] == span.end
        if bare > SLACK or not issued or (ends and not _holds(valid, span.end)):
            wrong[vault] = [issued[-1].proof] if issued else []
        else:
            fine += [certificate.proof for certificate in issued[-1:]]
    unsure = unknown(line for vault, line in course.issuing.items() if vault in course.active)
    total = len(course.active)
    return evidence(
        "agents.certificates",
        "Agents and control plane know each other by certificates",
        judged(len(fine), total, unsure),
        f"{len(fine)} of {plural(total, 'agent')} that were active in the period had a valid, "
        "short-lived certificate whenever they were heard, and at its end. "
        f"{sum(map(len, course.certificates.values()))} were in use. The link is TLS 1.3 with "
        "certificates at both ends; nothing else is let in.",
        figures={"active": total, "valid": len(fine), "unknown": len(unsure)},
        wrong=[proof for found in wrong.values() for proof in found],
        fine=fine,
        exceptions=wrong,
        lacking=lacking_of(unsure),
    )  # fmt: skip


def _holds(times: Times, instant: int) -> bool:
    return any(since < instant <= until for since, until in times)


def _keys(active: list[Agent]) -> Evidence:
    told = [agent for agent in active if agent.facts.get("key_holder")]
    apart = [agent for agent in told if agent.facts["key_holder"] in APART]
    beside = [agent for agent in told if agent not in apart]
    result = Result.NOT_EVIDENCED
    if told:
        result = Result.MET if len(apart) == len(active) else Result.PARTLY
    silent = len(active) - len(told)
    return evidence(
        "agents.keys",
        "Secrets are encrypted, and the root key is kept apart",
        result,
        "Every value is sealed with AES-256-GCM under a key of its own, which the root key wraps. "
        f"{len(apart)} of {plural(len(active), 'agent')} keep the root key in shares, in "
        f"hardware or with a key service; {len(beside)} in a file on the agent's machine.",
        figures={"active": len(active), "apart": len(apart), "file": len(beside), "silent": silent},
        wrong=[_said(agent, "key_holder") for agent in beside],
        fine=[_said(agent, "key_holder") for agent in apart],
        exceptions=[agent.vault for agent in active if agent not in apart],
        lacking=f"{plural(silent, 'agent')} never said what holds the key." if silent else "",
    )  # fmt: skip


def _releases(active: list[Agent]) -> Evidence:
    told = [agent for agent in active if agent.facts.get("release")]
    releases = sorted({str(agent.facts["release"]) for agent in told})
    result = Result.NOT_EVIDENCED
    if told:
        result = Result.MET if len(releases) == 1 and len(told) == len(active) else Result.PARTLY
    return evidence(
        "agents.releases",
        "Agents run one known release",
        result,
        f"{plural(len(releases), 'release')} among {plural(len(told), 'agent')}: "
        f"{', '.join(releases[:10]) or 'none told'}.",
        figures={"active": len(active), "told": len(told), "releases": len(releases)},
        fine=[_said(agent, "release") for agent in told],
        lacking="Agents say their own release; the host it runs on is not looked at.",
    )


def _revocations(tx: Tx, span: Span, course: Course) -> Evidence:
    revoked = [
        certificate
        for issued in course.certificates.values()
        for certificate in issued
        if span.since <= certificate.revoked_at < span.until
    ]
    done, total = recorded(
        tx, span, "agents.lock", "agents.retire", "sessions.end", "tokens.revoke",
        phase="outcome", result="ok",
    )  # fmt: skip
    locked = [line.subject for line in course.life.values() if line.end == Life.LOCKED]
    return evidence(
        "agents.revocations",
        "Whoever is compromised is cut off",
        Result.MET if total or revoked else Result.NOT_EVIDENCED,
        f"{plural(total, 'cut')} on the trail and {plural(len(revoked), 'certificate')} revoked in "
        f"the period; {plural(len(locked), 'agent')} locked at its end.",
        figures={"cuts": total, "revoked": len(revoked), "locked": len(locked)},
        wrong=done,
        fine=[certificate.proof for certificate in revoked],
        total=total + len(revoked),
        lacking="" if total or revoked else "Nothing was cut off, so nothing shows that it works.",
    )  # fmt: skip
