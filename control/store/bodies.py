"""What the bundles of many agents have in common, stored once: their rules, by hash.

Each agent has a bundle of its own (version, predecessor, time), which is signed as a whole; but its
rules are those of everybody whom the same policies are for. So a row of `assignments` has the bytes
around the rules, and names the rules; together they are the very bytes that were signed.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import sqlalchemy as sa
from msgspec import Raw, Struct

from control.errors import UnavailableError
from control.model.policies import Assignment, Standing
from control.store.rows import Tx, add, among, delete_of
from control.store.tables import assignments, bundle_bodies
from protocols.link.bundle import hash_of
from protocols.link.fields import SIGNATURE_SIZE
from protocols.link.signing import sha256

SHARED_FROM: Final = 1024
"""Bytes of rules; less stays where it is, for a name and a second look cost as much."""
AT_ONCE: Final = 500  # names of one statement

_b = bundle_bodies.c
_KNOWN: Final = sa.select(_b.digest).where(_b.org == sa.bindparam("org"), among(_b.digest, "some"))
_DATA: Final = sa.select(_b.digest, _b.data).where(
    _b.org == sa.bindparam("org"), among(_b.digest, "some")
)
_EVERY: Final = sa.select(_b.org, _b.digest)
_USED: Final = (
    sa.select(assignments.c.org, assignments.c.body).where(assignments.c.body != "").distinct()
)
_REMOVE: Final = delete_of(bundle_bodies)


class Around(Standing, frozen=True):
    """A row of `assignments`: `bundle` without the bytes of `body`, which belong in at `cut`.

    `body` is "" where `bundle` is whole. It names rules of before where a process of an older
    version, which does not know of them, has put a whole bundle over a row that had them apart.
    """

    bundle: bytes
    body: str
    cut: int


class Body(Struct, frozen=True):
    """Rules as they lie in bundles; `digest` is their SHA-256 in hex."""

    org: str
    digest: str
    data: bytes


class _Outline(Struct):
    """Of a bundle, where its rules are."""

    rules: Raw


def parted(tx: Tx, rows: Sequence[Assignment]) -> list[Around]:
    """The rows as they are stored, once the rules that they name are."""
    seen: dict[bytes, str] = {}
    made = [_parted(row, seen) for row in rows]
    bodies = {(row.org, row.body) for row in made if row.body}
    data = {digest: rules for rules, digest in seen.items()}
    for org in sorted({org for org, _ in bodies}):
        digests = sorted(digest for of, digest in bodies if of == org)
        # Asked for, not only inserted when missing: to a serializable database this is a read,
        # so that `sweep` at another process cannot take them away in between.
        known = set(tx.execute(_KNOWN, {"org": org, "some": digests}).scalars())
        add(tx, bundle_bodies, *(Body(org, d, data[d]) for d in digests if d not in known))
    return made


def whole(tx: Tx, rows: Sequence[Around]) -> list[Assignment]:
    """The rows with their whole bundles. Raises `UnavailableError` for a damaged database."""
    found: dict[tuple[str, str], bytes] = {}
    for org in {row.org for row in rows if row.body}:
        digests = sorted({row.body for row in rows if row.org == org and row.body})
        for start in range(0, len(digests), AT_ONCE):
            given = {"org": org, "some": digests[start : start + AT_ONCE]}
            found.update(((org, digest), data) for digest, data in tx.execute(_DATA, given))
    return [_whole(row, found) for row in rows]


def sweep(tx: Tx) -> int:
    """Remove what no bundle has any more; how many."""
    used = {tuple(row) for row in tx.execute(_USED)}
    values = [
        {"of_org": org, "of_digest": digest}
        for org, digest in tx.execute(_EVERY)
        if (org, digest) not in used
    ]
    if values:
        tx.execute(_REMOVE, values)
    return len(values)


def _parted(row: Assignment, seen: dict[bytes, str]) -> Around:
    rules = _rules(row.bundle)
    if len(rules) < SHARED_FROM:
        return _around(row, row.bundle, "", 0)
    cut = row.bundle.index(rules, SIGNATURE_SIZE)
    digest = seen.get(rules) or seen.setdefault(rules, sha256(rules).hex())
    return _around(row, row.bundle[:cut] + row.bundle[cut + len(rules) :], digest, cut)


def _rules(bundle: bytes) -> bytes:
    try:
        return bytes(msgspec.msgpack.decode(bundle[SIGNATURE_SIZE:], type=_Outline).rules)
    except msgspec.MsgspecError:
        return b""


def _around(row: Assignment, bundle: bytes, body: str, cut: int) -> Around:
    standing = {name: getattr(row, name) for name in Standing.__struct_fields__}
    return Around(**standing, bundle=bundle, body=body, cut=cut)


def _whole(row: Around, found: dict[tuple[str, str], bytes]) -> Assignment:
    bundle = row.bundle
    if row.body and hash_of(bundle[SIGNATURE_SIZE:]) != row.digest:  # not secret: a bundle is not
        rules = found.get((row.org, row.body))
        if rules is None:
            raise UnavailableError(
                "store_damaged",
                f"the bundle of {row.vault} has lost its rules: restore the database from a backup",
            )
        bundle = bundle[: row.cut] + rules + bundle[row.cut :]
    standing = {name: getattr(row, name) for name in Standing.__struct_fields__}
    return Assignment(**standing, bundle=bundle)
