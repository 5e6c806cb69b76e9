"""Evidence about people: second factors, roles, sessions, logins, changes of accounts."""

from collections import Counter
from typing import Final

from control.authn import attempts
from control.authn.sessions import SessionLimits
from control.compliance.evidence.assessment import (
    Period,
    audit_proofs,
    describe_unknown,
    make_evidence,
    plural,
    read_timelines,
)
from control.compliance.evidence.timeline import Timeline, state_proof, unknown_periods
from control.model.compliance import Evidence, Result, SettingProof
from control.model.history import Aspect
from control.model.people import Role
from control.store.compliance_queries import PersonRow, list_persons
from control.store.rows import Tx
from protocols.instant import DAY, HOUR, MINUTE

DORMANT_AFTER: Final = 90 * DAY
MAX_IDLE: Final = 15 * MINUTE
MIN_LOCKOUT: Final = 30 * MINUTE
STRONG: Final = frozenset(str(role) for role in Role if role.covers(Role.ADMIN))
MAX_OWNERS: Final = 5
"""Owners and admins that no organization has to explain."""


def collect_people(tx: Tx, span: Period, rules: SessionLimits) -> list[Evidence]:
    """All evidence about people."""
    found = list_persons(tx, span.org)
    return [
        _second_factor(tx, span, found),
        _roles(read_timelines(tx, span, Aspect.ROLE)),
        _dormant(span, found),
        *_sessions(rules),
        *_sign_ins(tx, span),
        _changes(tx, span),
        _refusals(tx, span),
    ]


def _second_factor(tx: Tx, span: Period, found: list[PersonRow]) -> Evidence:
    lines = read_timelines(tx, span, Aspect.SECOND_FACTOR)
    stretches = [stretch for line in lines for stretch in line.intervals]
    demanded = bool(stretches) and stretches[-1].value == "true"
    hours = sum(s.length for s in stretches if s.value != "true") // HOUR
    always = demanded and not hours
    unsure = unknown_periods(lines)
    without = [p.name for p in found if not p.guarded]
    having = len(found) - len(without)
    some = demanded or (found and not without)
    rule = "demands" if demanded else "does not demand"
    how_long = _how_long(hours, demanded=demanded)
    fine, total = audit_proofs(tx, span, "organizations.change", "second-factors.", phase="outcome")
    told = [state_proof(Aspect.SECOND_FACTOR, stretch) for stretch in stretches]
    return make_evidence(
        "people.second-factor",
        "A second factor is demanded",
        Result.MET if always and not unsure else (Result.PARTLY if some else Result.GAP),
        f"The organization {rule} a second factor at the end of the period, and {how_long}; "
        f"{having} of {plural(len(found), 'person', 'people')} "
        "have one now. Whoever has none is let into nothing but its enrolment while it is "
        "demanded.",
        figures={"demanded": int(demanded), "hours_without": hours, "people": len(found),
                 "having": having},
        wrong=told,
        fine=fine,
        total=total + len(told),
        exceptions=without,
        lacking=f"{describe_unknown(unsure)} Whether an identity provider asks for a factor of its "
        "own is not known here.".strip(),
    )  # fmt: skip


def _how_long(hours: int, *, demanded: bool) -> str:
    if hours:
        return f"did not for {plural(hours, 'hour')} of it"
    return "did so throughout" if demanded else "did not for less than an hour of it"


def _roles(lines: list[Timeline]) -> Evidence:
    """Assessed at the worst moment: a day as owner is enough to use the role."""
    moments = sorted({stretch.since for line in lines for stretch in line.intervals})
    counted = [Counter(filter(None, (line.value_at(now) for line in lines))) for now in moments]
    bad = [counts for counts in counted if not _few(counts)]
    last = counted[-1] if counted else Counter[str]()
    strong = [s for line in lines for s in line.intervals if s.value in STRONG]
    unsure = unknown_periods(lines)
    said = ", ".join(plural(last[role], role) for role in Role)
    return make_evidence(
        "people.roles",
        "Few people may do much",
        Result.PARTLY if bad or unsure or not counted else Result.MET,
        f"{said} at the end of the period. Looked at after each change ({len(moments)}): "
        f"{'always' if not bad else f'all but {len(bad)} times'} an owner, and at most "
        f"{MAX_OWNERS} owners and admins or a quarter of all."
        if moments
        else "Nothing is known of who could do what.",
        figures={**{str(role): last[role] for role in Role}, "people": last.total(),
                 "changes": len(moments), "wrong": len(bad), "unknown": len(unsure)},
        exceptions={s.change.subject for s in strong} if bad else (),
        fine=[state_proof(Aspect.ROLE, stretch) for stretch in strong],
        lacking=describe_unknown(unsure),
    )  # fmt: skip


def _few(counts: Counter[str]) -> bool:
    strong = sum(counts[role] for role in STRONG)
    return counts[Role.OWNER] > 0 and (strong <= MAX_OWNERS or 4 * strong <= counts.total())


def _dormant(span: Period, found: list[PersonRow]) -> Evidence:
    unused = [p.name for p in found if span.now - p.last > DORMANT_AFTER]
    result = Result.PARTLY if unused else Result.MET
    return make_evidence(
        "people.dormant",
        "Accounts are in use",
        result if found else Result.NOT_EVIDENCED,
        f"{len(unused)} of {plural(len(found), 'account')} that may sign in were not "
        "used for 90 days.",
        figures={"accounts": len(found), "unused": len(unused)},
        exceptions=unused,
    )  # fmt: skip


def _sessions(rules: SessionLimits) -> list[Evidence]:
    idle, absolute = rules.idle // MINUTE, rules.absolute // MINUTE
    said = f"A session ends after {idle} minutes without use and after {absolute} in any case."
    setting = [
        SettingProof("sessions.idle", f"{idle}m"),
        SettingProof("sessions.absolute", f"{absolute}m"),
    ]
    figures = {"idle_minutes": idle, "absolute_minutes": absolute}
    strict = Result.MET if rules.idle <= MAX_IDLE else Result.GAP
    return [
        make_evidence(
            "people.sessions", "Sessions end", Result.MET, said, figures=figures, fine=setting
        ),
        make_evidence(
            "people.idle",
            "Idle sessions end after 15 minutes",
            strict,
            f"{said} Asked for: 15 minutes (`sessions.idle` in control.yaml).",
            figures=figures,
            fine=setting,
        ),
    ]  # fmt: skip


def _sign_ins(tx: Tx, span: Period) -> list[Evidence]:
    good, signed_in = audit_proofs(tx, span, "sessions.login", result="ok")
    bad, failed = audit_proofs(tx, span, "sessions.login", result="denied")
    minutes = attempts.LOCKOUT_DURATION // MINUTE
    rule = (
        f"After {attempts.MAX_FAILURES} wrong passwords in a row an account is locked for "
        f"{minutes} minutes."
    )
    figures = {"signed_in": signed_in, "refused": failed, "attempts": attempts.MAX_FAILURES}
    lock = SettingProof("lockout", f"{attempts.MAX_FAILURES} attempts, {minutes} minutes")
    long = attempts.LOCKOUT_DURATION >= MIN_LOCKOUT
    return [
        make_evidence(
            "people.sign-ins",
            "Sign-ins are recorded, and guessing is stopped",
            Result.MET,
            f"{plural(signed_in, 'sign-in')} and {plural(failed, 'refusal')} on the trail. {rule}",
            figures=figures,
            wrong=[lock, *bad],
            fine=good,
            total=signed_in + failed + 1,
        ),
        make_evidence(
            "people.lock-time",
            "Locked for half an hour",
            Result.MET if long else Result.GAP,
            f"{rule} Asked for: half an hour.",
            figures={"minutes": minutes},
            fine=[lock],
        ),
    ]  # fmt: skip


_ABOUT_PEOPLE: Final = ("users.", "members.", "invitations.", "tokens.")


def _changes(tx: Tx, span: Period) -> Evidence:
    fine, total = audit_proofs(tx, span, *_ABOUT_PEOPLE, phase="outcome", result="ok")
    return make_evidence(
        "people.changes",
        "Accounts are made and changed by name",
        Result.MET,
        f"{plural(total, 'change')} of accounts, roles, invitations and tokens in the period, "
        "each on the trail with who made it.",
        figures={"changes": total},
        fine=fine,
        total=total,
    )


def _refusals(tx: Tx, span: Period) -> Evidence:
    fine, total = audit_proofs(tx, span, "", result="denied")
    return make_evidence(
        "people.refusals",
        "What nobody allowed is refused",
        Result.MET,
        f"{plural(total, 'request')} refused in the period. "
        "Every operation asks for a role; without one it is refused, and that is on the trail.",
        figures={"refused": total},
        fine=fine,
        total=total,
    )
