"""Rules that many bundles have in common, stored once."""

import sqlalchemy as sa

from control.core import Core
from control.model.policies import Assignment, Outcome
from control.store import policies, shared_bodies
from control.store.rows import Tx
from control.store.tables import assignments, bundle_bodies
from protocols.link.bundle import ZERO_HASH, Bundle, PolicyKey, hash_of, sign_bundle
from protocols.link.fields import SIGNATURE_SIZE
from protocols.pki.keys import new_signing_key

KEY = PolicyKey(new_signing_key())
LARGE = (b'{"description":"' + b"x" * shared_bodies.MIN_SHARED_BYTES + b'"}', b"{}")


def row(vault: str, rules: tuple[bytes, ...], version: int = 1) -> Assignment:
    """A bundle that an agent would take."""
    bundle = Bundle(
        org="acme", vault=vault, version=version, prev_hash=ZERO_HASH, not_before=1, expires=2,
        rules=rules,
    )  # fmt: skip
    signed = sign_bundle(bundle, KEY)
    digest = hash_of(signed[SIGNATURE_SIZE:])
    return Assignment(
        "acme", vault, version, {"p": version}, digest, Outcome.WANTED, "", 0, version, signed
    )


def sizes(tx: Tx) -> tuple[list[int], list[int]]:
    """Bytes of what each agent has for itself, and of what they share."""
    own = sa.select(sa.func.length(assignments.c.bundle)).order_by(assignments.c.vault)
    shared = sa.select(sa.func.length(bundle_bodies.c.data))
    return list(tx.execute(own).scalars()), list(tx.execute(shared).scalars())


async def test_agents_with_the_same_rules_share_them(core: Core) -> None:
    """To the byte that was signed, however long the names and numbers around them are."""
    rows = [row(vault, LARGE, version) for vault, version in (("a", 1), ("b" * 40, 70_000))]
    await core.store.write(lambda tx: policies.put_assignments(tx, *rows))
    for each in rows:
        found = await core.store.read(
            lambda tx, vault=each.vault: policies.get_assignment(tx, "acme", vault)
        )
        assert found == each
    own, shared = await core.store.read(sizes)
    assert max(own) < 300
    assert len(shared) == 1
    assert own[0] + shared[0] == len(rows[0].bundle)


async def test_little_is_not_shared(core: Core) -> None:
    """And what is no bundle is stored as it is."""
    small = row("a", (b"{}",))
    odd = Assignment("acme", "b", 1, {}, b"d", Outcome.WANTED, "", 0, 1, b"\xc1" * 5000)
    await core.store.write(lambda tx: policies.put_assignments(tx, small, odd))
    assert (await core.store.read(sizes))[1] == []
    for each in (small, odd):
        found = await core.store.read(
            lambda tx, vault=each.vault: policies.get_assignment(tx, "acme", vault)
        )
        assert found == each


async def test_what_nobody_has_any_more_is_removed(core: Core) -> None:
    """Once the last agent has other rules, and not before."""
    other = (b"{}", *LARGE)

    await core.store.write(
        lambda tx: policies.put_assignments(tx, row("a", LARGE), row("b", LARGE))
    )
    for vault, left in (("a", 2), ("b", 1)):
        await core.store.write(
            lambda tx, vault=vault: policies.put_assignments(tx, row(vault, other, 2))
        )
        assert await core.store.write(shared_bodies.delete_unused_bodies) == 2 - left
        assert len((await core.store.read(sizes))[1]) == left
    found = await core.store.read(lambda tx: policies.get_assignment(tx, "acme", "a"))
    assert found == row("a", other, 2)


async def test_a_bundle_of_a_process_of_before_is_given_as_it_is(core: Core) -> None:
    """It knows of no rules apart: its upsert leaves their name and place in the row."""
    new = row("a", (b"{}", *LARGE), 2)
    await core.store.write(lambda tx: policies.put_assignments(tx, row("a", LARGE)))
    changed = assignments.update().values(
        version=new.version, contents=new.contents, digest=new.digest, bundle=new.bundle,
        changed_at=new.changed_at,
    )  # fmt: skip
    await core.store.write(lambda tx: tx.execute(changed))
    assert await core.store.read(lambda tx: policies.get_assignment(tx, "acme", "a")) == new
