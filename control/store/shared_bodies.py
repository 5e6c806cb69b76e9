"""Rules that the bundles of many agents share, stored once, by hash.

Each agent has a bundle of its own (version, predecessor, time), which is signed as a whole; its
rules are those of all agents with the same policies. A row of `assignments` has the bytes around
the rules, and names the rules; together they are the very bytes that were signed.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import sqlalchemy as sa
from msgspec import Raw, Struct

from control.errors import UnavailableError
from control.model.policies import Assignment, AssignmentState
from control.store.rows import Tx, delete_statement, insert_row, is_one_of
from control.store.tables import assignments, bundle_bodies
from protocols.link.bundle import hash_of
from protocols.link.fields import SIGNATURE_SIZE
from protocols.link.signing import sha256

MIN_SHARED_BYTES: Final = 1024
"""Bytes of rules; less stays where it is, for a name and a second look cost as much."""
BODIES_PER_STATEMENT: Final = 500  # names of one statement

_b = bundle_bodies.c
_KNOWN: Final = sa.select(_b.digest).where(
    _b.org == sa.bindparam("org"), is_one_of(_b.digest, "some")
)
_DATA: Final = sa.select(_b.digest, _b.data).where(
    _b.org == sa.bindparam("org"), is_one_of(_b.digest, "some")
)
_EVERY: Final = sa.select(_b.org, _b.digest)
_USED: Final = (
    sa.select(assignments.c.org, assignments.c.body).where(assignments.c.body != "").distinct()
)
_REMOVE: Final = delete_statement(bundle_bodies)


class SplitAssignment(AssignmentState, frozen=True):
    """A row of `assignments`: `bundle` without the bytes of `body`, which belong in at `cut`.

    `body` is "" where `bundle` is whole. It names rules of before where a process of an older
    version, which does not know of them, has put a whole bundle over a row that had them apart.
    """

    bundle: bytes
    body: str
    cut: int


class BundleBody(Struct, frozen=True):
    """Rules as they lie in bundles; `digest` is their SHA-256 in hex."""

    org: str
    digest: str
    data: bytes


class _BundleOutline(Struct):
    """Of a bundle, where its rules are."""

    rules: Raw


def split_bundles(tx: Tx, rows: Sequence[Assignment]) -> list[SplitAssignment]:
    """The rows as they are stored, once the rules that they name are."""
    seen: dict[bytes, str] = {}
    made = [_split_bundle(row, seen) for row in rows]
    bodies = {(row.org, row.body) for row in made if row.body}
    data = {digest: rules for rules, digest in seen.items()}
    for org in sorted({org for org, _ in bodies}):
        digests = sorted(digest for of, digest in bodies if of == org)
        # Asked for, not only inserted when missing: to a serializable database this is a read,
        # so that `delete_unused_bodies` at another process cannot take them away in between.
        known = set(tx.execute(_KNOWN, {"org": org, "some": digests}).scalars())
        insert_row(
            tx, bundle_bodies, *(BundleBody(org, d, data[d]) for d in digests if d not in known)
        )
    return made


def join_bundles(tx: Tx, rows: Sequence[SplitAssignment]) -> list[Assignment]:
    """The rows with their whole bundles. Raises `UnavailableError` for a damaged database."""
    found: dict[tuple[str, str], bytes] = {}
    for org in {row.org for row in rows if row.body}:
        digests = sorted({row.body for row in rows if row.org == org and row.body})
        for start in range(0, len(digests), BODIES_PER_STATEMENT):
            given = {"org": org, "some": digests[start : start + BODIES_PER_STATEMENT]}
            found.update(((org, digest), data) for digest, data in tx.execute(_DATA, given))
    return [_join_bundle(row, found) for row in rows]


def delete_unused_bodies(tx: Tx) -> int:
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


def _split_bundle(row: Assignment, seen: dict[bytes, str]) -> SplitAssignment:
    rules = _rules(row.bundle)
    if len(rules) < MIN_SHARED_BYTES:
        return _split_row(row, row.bundle, "", 0)
    cut = row.bundle.index(rules, SIGNATURE_SIZE)
    digest = seen.get(rules) or seen.setdefault(rules, sha256(rules).hex())
    return _split_row(row, row.bundle[:cut] + row.bundle[cut + len(rules) :], digest, cut)


def _rules(bundle: bytes) -> bytes:
    try:
        return bytes(msgspec.msgpack.decode(bundle[SIGNATURE_SIZE:], type=_BundleOutline).rules)
    except msgspec.MsgspecError:
        return b""


def _split_row(row: Assignment, bundle: bytes, body: str, cut: int) -> SplitAssignment:
    standing = {name: getattr(row, name) for name in AssignmentState.__struct_fields__}
    return SplitAssignment(**standing, bundle=bundle, body=body, cut=cut)


def _join_bundle(row: SplitAssignment, found: dict[tuple[str, str], bytes]) -> Assignment:
    bundle = row.bundle
    if row.body and hash_of(bundle[SIGNATURE_SIZE:]) != row.digest:  # not secret: a bundle is not
        rules = found.get((row.org, row.body))
        if rules is None:
            raise UnavailableError(
                "store_damaged",
                f"the bundle of {row.vault} has lost its rules: restore the database from a backup",
            )
        bundle = bundle[: row.cut] + rules + bundle[row.cut :]
    standing = {name: getattr(row, name) for name in AssignmentState.__struct_fields__}
    return Assignment(**standing, bundle=bundle)
