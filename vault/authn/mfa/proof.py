"""What somebody shows of a second factor, and what of it counts.

Nothing that is shown counts twice: a code by its step, a recovery code by its row, a passkey by its
challenge. Each stands for one method, however many enforcements need that one. All of it is checked
and used up in one transaction, whichever process or agent it is in.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import Struct

from protocols.instant import SECOND
from vault.authn.credential_scheme import CredentialScheme
from vault.authn.lockout import DURATION, FAILURES, counted_failure
from vault.authn.methods.method import EntryTx
from vault.authn.mfa import recovery
from vault.authn.mfa.enforcement import TOTP, WEBAUTHN
from vault.authn.mfa.entries import CHALLENGE, FACTOR, RECOVERY, own_name
from vault.authn.mfa.entries import FAILURES as FAILURE_KIND
from vault.authn.mfa.totp import TotpParameters, matching_step

LOGIN: Final = "login"
OWN: Final = "own"
"""What wrong codes are counted for: whoever knows a password does not lock the owner's sessions."""


class Factor(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A factor of an entity, as it is stored. `secret` is sealed.

    `method`: the id of the method that it is of. Of a passkey `credential` and `public_key` are
    base64url.
    """

    type: str
    method: str
    name: str = ""
    created_at: int = 0
    used_at: int = 0
    secret: str = ""
    algorithm: str = "SHA1"
    digits: int = 6
    period: int = 30
    skew: int = 1
    last_step: int = 0
    credential: str = ""
    public_key: str = ""
    sign_count: int = 0
    transports: tuple[str, ...] = ()

    @property
    def parameters(self) -> TotpParameters:
        """How its codes are made."""
        return TotpParameters(
            algorithm=self.algorithm, digits=self.digits, period=self.period, skew=self.skew
        )

    def __repr__(self) -> str:
        return f"Factor(type={self.type!r}, method={self.method!r})"


class SignedChallenge(Struct, frozen=True, kw_only=True):
    """What a passkey has signed, verified: its factor, the challenge, and its counter.

    `purpose` is the name of the challenge, `challenge` what was signed, in hexadecimal.
    """

    factor: str
    public_key: str
    purpose: str
    challenge: str
    sign_count: int


class Proof(Struct, frozen=True, kw_only=True):
    """What is shown. `codes`: by the id of a method; `passcode`: for whichever it is of."""

    codes: Mapping[str, tuple[str, ...]] = {}
    passcode: str = ""
    signed: SignedChallenge | None = None

    def code_for(self, method: str) -> str:
        """The one code for a method; empty where there is none, or more than one."""
        given = self.codes.get(method, ())
        if len(given) == 1:
            return given[0].removeprefix("passcode=").strip()
        return "" if given else self.passcode.strip()

    def __repr__(self) -> str:
        return "Proof()"


class Shown(Struct, frozen=True):
    """The methods that a proof is right for, and what uses it up."""

    methods: frozenset[str]
    uses: tuple[Callable[[], None], ...]

    def use_up(self) -> None:
        """So that it does not count again."""
        for use in self.uses:
            use()


def read_factor(entries: EntryTx, kind: str, name: str) -> Factor | None:
    """A factor within a transaction."""
    held = entries.get(kind, name)
    return None if held is None else msgspec.convert(held.document, Factor)


def write_factor(entries: EntryTx, name: str, factor: Factor) -> None:
    """Store a factor."""
    entries.put(FACTOR, name, msgspec.to_builtins(factor))


class Proofs:
    """Checks what is shown. Everything here is a part of a transaction over `MFA_MOUNT`."""

    def __init__(self, scheme: CredentialScheme) -> None:
        self._scheme = scheme

    def check(
        self,
        entries: EntryTx,
        entity_id: str,
        needed: Iterable[Collection[str]],
        proof: Proof,
    ) -> Shown:
        """What of a proof is right for an entity. Nothing is used up yet.

        `needed`: by enforcement, methods of which one is needed. A recovery code stands for one
        method: that which satisfies most of those that nothing else does.
        """
        groups = list(needed)
        uses: dict[str, Callable[[], None]] = {}
        recovered: dict[str, list[str]] = {}  # by the name of a code: what it may stand for
        for method in dict.fromkeys(method for group in groups for method in group):
            code = proof.code_for(method)
            found = _check_code(entries, entity_id, method, code)
            if found is None and proof.signed is not None and method == WEBAUTHN:
                found = _check_signed(entries, entity_id, proof.signed)
            if found is not None:
                uses[method] = found
            elif name := self._recovery_code(entries, entity_id, method, code):
                recovered.setdefault(name, []).append(method)
        for name, methods in recovered.items():
            open_groups = [group for group in groups if uses.keys().isdisjoint(group)]
            method = max(methods, key=lambda one: sum(one in group for group in open_groups))
            uses[method] = partial(_spend, entries, name)
        return Shown(frozenset(uses), tuple(uses.values()))

    def _recovery_code(self, entries: EntryTx, entity_id: str, method: str, code: str) -> str:
        """The name of a recovery code that may stand for a method; empty: it is none."""
        if not entity_id or not recovery.looks_like_code(code):
            return ""
        name = own_name(entity_id, recovery.code_hash(self._scheme, code))
        is_one = entries.get(RECOVERY, name) is not None
        return name if is_one and _has_factor(entries, entity_id, method) else ""


def _check_code(
    entries: EntryTx, entity_id: str, method: str, code: str
) -> Callable[[], None] | None:
    """What uses up a code of an authenticator app; None: it is not right."""
    if not code or not entity_id:
        return None
    name = own_name(entity_id, method)
    factor = read_factor(entries, FACTOR, name)
    if factor is None or factor.type != TOTP:
        return None
    step = matching_step(
        factor.secret,
        factor.parameters,
        code,
        now=entries.now,
        last_step=factor.last_step,
    )
    if step is None:
        return None
    used = msgspec.structs.replace(factor, last_step=step, used_at=entries.now)
    return lambda: write_factor(entries, name, used)


def is_locked(entries: EntryTx, purpose: str, entity_id: str, threshold: int = FAILURES) -> bool:
    """Whether so many wrong codes of an entity were shown that none counts now.

    A lock that a clock ahead has dated begins anew: it neither ends when the clock is put right nor
    lasts until then. That is written, so the transaction has to return and not to raise.
    """
    name = f"{purpose}/{entity_id}"
    held = entries.get(FAILURE_KIND, name)
    if held is None or int(held.document["failures"]) < threshold:
        return False
    if held.updated_at - entries.now >= DURATION:
        _write_failures(entries, name, int(held.document["failures"]))
        return True
    return entries.now - held.updated_at < DURATION


def count_failure(entries: EntryTx, purpose: str, entity_id: str) -> int:
    """Count a wrong code; returns how many there are."""
    name = f"{purpose}/{entity_id}"
    held = entries.get(FAILURE_KIND, name)
    now = entries.now
    last = 0 if held is None else min(held.updated_at, now)  # a clock ahead ends no counting
    count = counted_failure(0 if held is None else int(held.document["failures"]), last, now)
    _write_failures(entries, name, count)
    return count


def _write_failures(entries: EntryTx, name: str, count: int) -> None:
    expires_at = entries.now + DURATION + SECOND
    entries.put(FAILURE_KIND, name, {"failures": count}, expires_at=expires_at)


def forget_failures(entries: EntryTx, entity_id: str, *purposes: str) -> None:
    """Counting begins anew."""
    for purpose in purposes:
        entries.delete(FAILURE_KIND, f"{purpose}/{entity_id}")


def _has_factor(entries: EntryTx, entity_id: str, method: str) -> bool:
    """A recovery code stands for a factor that is there, and for no other."""
    if method == WEBAUTHN:
        return bool(entries.list_names(FACTOR, own_name(entity_id, f"{WEBAUTHN}-"), limit=1))
    return entries.get(FACTOR, own_name(entity_id, method)) is not None


def _spend(entries: EntryTx, name: str) -> None:
    if not entries.spend(RECOVERY, name):
        raise AssertionError("a recovery code that was there is not")


def _check_signed(
    entries: EntryTx, entity_id: str, signed: SignedChallenge
) -> Callable[[], None] | None:
    name = own_name(entity_id, signed.factor)
    factor = read_factor(entries, FACTOR, name)
    challenge = entries.get(CHALLENGE, signed.purpose)
    if (
        factor is None
        or factor.type != WEBAUTHN
        or factor.public_key != signed.public_key
        or challenge is None
        or challenge.document["challenge"] != signed.challenge  # not secret; it may be a new one
        or entries.now >= challenge.expires_at
    ):
        return None
    # A counter that does not grow is of a copy (WebAuthn, 7.2 step 22); 0: it does not count.
    if (signed.sign_count or factor.sign_count) and signed.sign_count <= factor.sign_count:
        return None
    used = msgspec.structs.replace(factor, sign_count=signed.sign_count, used_at=entries.now)

    def use() -> None:
        entries.delete(CHALLENGE, signed.purpose)
        write_factor(entries, name, used)

    return use


def factor_document(factor: Factor) -> dict[str, Any]:
    """As entries keep it."""
    document: dict[str, Any] = msgspec.to_builtins(factor)
    return document
