"""The check for an order of all requests, true to real time, that explains each answer.

A secret is a register whose writes are numbered. So the order of its writes is known, and a read
belongs after the write of the version that it returned. Such a history is linearizable exactly if
no request that was answered before another one was sent has a higher version than that one (for a
write: an equal one, too). That is one pass over the requests in the order of time.

A write of unknown outcome may be stored or not. It has a version once somebody has read it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, Literal

from loadtests.consistency.history import NEVER, Operation

Violation = Literal[
    "stale", "inversion", "reordered", "lost", "doubled", "gap", "unwritten", "refused", "token"
]
VIOLATIONS: Final[dict[Violation, str]] = {
    "stale": "a read misses a write that was acknowledged before it was sent",
    "inversion": "a read misses what an earlier read returned",
    "reordered": "a write has no higher version than what was there before it was sent",
    "lost": "an acknowledged write is not there",
    "doubled": "a value is there twice",
    "gap": "a version is missing",
    "unwritten": "there is something that nobody had written by then",
    "refused": "what was refused is there",
    "token": "a revoked token is accepted, or a valid one refused",
}
Versions = Mapping[str, Mapping[int, str]]
"""Secret → version → value."""


@dataclass(frozen=True)
class Finding:
    """A violation, and what shows it."""

    violation: Violation
    text: str

    def __str__(self) -> str:
        return f"{self.violation}: {self.text}"


def check_history(history: Iterable[Operation], stored: Versions | None = None) -> list[Finding]:
    """What is wrong. `stored`: every version of every secret, read when all was over."""
    secrets: dict[str, list[Operation]] = defaultdict(list)
    tokens: dict[str, list[Operation]] = defaultdict(list)
    folders: dict[str, list[Operation]] = defaultdict(list)
    for operation in history:
        match operation.kind:
            case "write" | "read" | "metadata":
                secrets[operation.key].append(operation)
            case "issue" | "revoke" | "use":
                tokens[operation.key].append(operation)
            case "create" | "erase":
                folders[operation.key.rpartition("/")[0]].append(operation)
            case _:
                folders[operation.key].append(operation)
    found: list[Finding] = []
    for key, operations in secrets.items():
        found += _check_secret(operations, None if stored is None else stored.get(key, {}))
    for operations in folders.values():
        found += _check_folder(operations)
    for operations in tokens.values():
        found += _check_token(operations)
    return found


def count_violations(found: Iterable[Finding]) -> Counter[str]:
    """How many there are of each."""
    return Counter(finding.violation for finding in found)


# --- A secret -------------------------------------------------------------------------------------


def _check_secret(
    operations: Sequence[Operation], stored: Mapping[int, str] | None
) -> Iterator[Finding]:
    writes = {one.value: one for one in operations if one.kind == "write"}
    reads = [one for one in operations if one.kind == "read" and one.state == "ok"]
    seen: dict[int, set[str]] = defaultdict(set)  # version → values
    for write in writes.values():
        if write.state == "ok":
            seen[write.version].add(write.value)
    for read in reads:
        if read.version:
            seen[read.version].add(read.value)
            yield from _check_source(read, writes.get(read.value))
    for version, value in (stored or {}).items():
        seen[version].add(value)
        if value not in writes:
            yield Finding("unwritten", f"version {version} holds {value!r}")
        elif writes[value].state == "refused":
            yield Finding("refused", f"version {version} holds what {writes[value]} wrote")
    yield from _check_values(operations[0].key, seen, writes)
    yield from _check_versions(operations, seen, stored)
    for version, values in seen.items():  # those that nobody was told of
        for value in values & writes.keys():
            if writes[value].state == "unknown":
                writes[value].version = version
    yield from _check_order(operations)


def _check_source(read: Operation, write: Operation | None) -> Iterator[Finding]:
    """A read returns what somebody has begun to write."""
    if write is None or write.invoked > read.answered:
        yield Finding("unwritten", f"{read}")
    elif write.state == "refused":
        yield Finding("refused", f"{read} returns what was refused: {write}")


def _check_values(
    key: str, seen: Mapping[int, set[str]], writes: Mapping[str, Operation]
) -> Iterator[Finding]:
    """A version has one value, and a value one version."""
    versions: dict[str, list[int]] = defaultdict(list)
    for version, values in seen.items():
        for value in values:
            versions[value].append(version)
        if len(values) > 1:
            gone = [str(writes[value]) for value in sorted(values) if value in writes]
            yield Finding("lost", f"{key} version {version} had several values: {gone}")
    for value, where in versions.items():
        if len(where) > 1:
            yield Finding("doubled", f"{key}: {value!r} is in the versions {sorted(where)}")


def _check_versions(
    operations: Sequence[Operation],
    seen: Mapping[int, set[str]],
    stored: Mapping[int, str] | None,
) -> Iterator[Finding]:
    """The versions are 1 to n. Without `stored`, writes of unknown outcome fill gaps."""
    key = operations[0].key
    if stored is not None:
        if missing := set(range(1, max([*stored, *seen], default=0) + 1)) - set(stored):
            told = sorted(missing)[:10]
            acknowledged = [
                one
                for one in operations
                if one.kind == "write" and one.state == "ok" and one.version in missing
            ]
            for write in acknowledged:
                yield Finding("lost", f"{write}")
            yield Finding("gap", f"{key} has no version {told}")
        return
    found = {value for values in seen.values() for value in values}
    unknown = sum(
        one.kind == "write" and one.state == "unknown" and one.value not in found
        for one in operations
    )
    missing = set(range(1, max(seen, default=0) + 1)) - set(seen)
    if len(missing) > unknown:
        yield Finding("gap", f"{key}: nobody wrote {sorted(missing)[:10]}, {unknown} are unknown")


def _check_order(operations: Sequence[Operation]) -> Iterator[Finding]:
    """No request was answered with less than was known before it was sent."""
    answered = sorted((one for one in operations if one.state == "ok"), key=attrgetter("answered"))
    written = read = 0  # the highest versions known
    before = iter(answered)
    following = next(before, None)
    for one in sorted(operations, key=attrgetter("invoked")):
        if one.state != "ok" and not (one.state == "unknown" and one.version):
            continue
        while following is not None and following.answered < one.invoked:
            if following.kind == "write":
                written = max(written, following.version)
            else:
                read = max(read, following.version)
            following = next(before, None)
        known = max(written, read)
        if one.kind == "write":
            if one.version <= known:
                yield Finding("reordered", f"{one}, after version {known}")
            if one.expected is not None and one.version != one.expected + 1:
                yield Finding("reordered", f"{one} was to follow version {one.expected}")
        elif one.version < known:
            kind: Violation = "stale" if one.version < written else "inversion"
            yield Finding(kind, f"{one}, after version {known}")


# --- Names that are there or not ------------------------------------------------------------------


def _check_folder(operations: Sequence[Operation]) -> Iterator[Finding]:
    """A name is created once and erased once; lists show it from the one to the other."""
    creates = {one.key.rpartition("/")[2]: one for one in operations if one.kind == "create"}
    erases = {one.key.rpartition("/")[2]: one for one in operations if one.kind == "erase"}
    lists = sorted(
        (one for one in operations if one.kind == "list" and one.state == "ok"),
        key=attrgetter("answered"),
    )
    for name in {name for one in lists for name in one.names} - creates.keys():
        yield Finding("unwritten", f"a list has {name!r}")
    for name, create in creates.items():
        erase = erases.get(name)
        begun = NEVER if erase is None or erase.state == "refused" else erase.invoked
        there = create.answered if create.state == "ok" else NEVER  # since then, surely
        gone = NEVER
        if erase is not None and erase.state == "ok":
            # What may be created after the erasure is not gone.
            known = create.state == "ok" or any(
                name in one.names and one.answered < erase.invoked for one in lists
            )
            gone = erase.answered if known else NEVER
        for one in lists:
            shown = name in one.names
            if shown and (one.answered < create.invoked or create.state == "refused"):
                yield Finding("unwritten", f"{one} has {name!r}, {create}")
            elif shown and gone < one.invoked:
                yield Finding("stale", f"{one} has {name!r}, gone before: {create}; {erase}")
            elif not shown and there < one.invoked and begun > one.answered:
                yield Finding("stale", f"{one} has no {name!r}, which was there before")
            elif shown:
                there = min(there, one.answered)
            elif there < one.invoked:
                gone = min(gone, one.answered)


# --- A token --------------------------------------------------------------------------------------


def _check_token(operations: Sequence[Operation]) -> Iterator[Finding]:
    """It is accepted from its issue on, and refused from its revocation on."""
    issued = min((one.answered for one in operations if one.kind == "issue"), default=NEVER)
    revoked = [one for one in operations if one.kind == "revoke"]
    begun = min((one.invoked for one in revoked), default=NEVER)
    done = min((one.answered for one in revoked if one.state == "ok"), default=NEVER)
    uses = (one for one in operations if one.kind == "use" and one.state == "ok")
    for use in sorted(uses, key=attrgetter("answered")):
        if use.accepted and done < use.invoked:
            yield Finding("token", f"{use} is accepted, and was refused before or is revoked")
        elif not use.accepted and issued < use.invoked and use.answered < begun:
            yield Finding("token", f"{use} is refused, and is not revoked")
        elif not use.accepted:
            done = min(done, use.answered)
