"""Each source file has its test file where one looks for it."""

import ast
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from tools.house.tree import PRODUCT, Finding, Source, Tree

EXCEPTIONS: Final = {
    "vault/store/migrations/": "Alembic's scripts run only as a chain: tests/contract does that",
    "control/store/migrations/": "Alembic's scripts run only as a chain: tests/contract does that",
    "control/store/agents.py": "queries: tests/contract/control asks them of every database",
    "control/store/factors.py": "queries: tests/contract/control asks them of every database",
    "control/store/identities.py": "queries: tests/contract/control asks them of every database",
    "control/store/invitations.py": "queries: tests/contract/control asks them of every database",
    "control/store/members.py": "queries: tests/contract/control asks them of every database",
    "control/store/channels.py": "queries: tests/contract/control asks them of every database",
    "control/store/notices.py": "queries: tests/contract/control asks them of every database",
    "control/store/people.py": "queries: tests/contract/control asks them of every database",
    "control/store/policies.py": "queries: tests/contract/control asks them of every database",
    "control/store/records.py": "queries: tests/contract/control asks them of every database",
    "control/store/samples.py": "queries: tests/contract/control asks them of every database",
    "protocols/telemetry/families.py": "protocols: the encoders' tests give them what they ask for",
    "protocols/telemetry/plan.py": "tests/unit/protocols/settings/test_telemetry.py makes it",
    "protocols/telemetry/running.py": "tests/unit/protocols/telemetry/test_exporting.py runs it",
    "control/store/usage.py": "queries: tests/contract/control asks them of every database",
    "control/store/bases.py": "queries: tests/contract/control asks them of every database",
    "control/store/compliance.py": "queries: tests/contract/control asks them of every database",
    "control/store/compliance_reads.py": "queries: tests of control/compliance/evidence ask them",
    "control/store/growths.py": "queries: tests/contract/control asks them of every database",
    "control/store/holds.py": "conditions: tests/contract/control holds every deletion to them",
    "control/store/history.py": "queries: tests/contract/control asks them of every database",
    "control/store/retention.py": "queries: tests/contract/control asks them of every database",
    "control/store/ledger.py": "queries: tests/contract asks them of every database",
    "control/api/": "the wire: tests/acceptance/control asks every endpoint of the process",
    "control/app.py": "the process: tests/acceptance/control run it as the whole it is",
    "control/offline.py": "tests/acceptance/control/test_trail.py runs it as commands",
    "control/unit.py": "the wiring: every test of tests/unit/control is given what it opens",
    "control/services/telling.py": "the wiring: tests/unit/control/services/told.py opens it",
    "control/relay/redis.py": "the wire: tests/contract/control runs one suite on both",
    "control/relay/memory.py": "the double: tests/contract/control runs one suite on both",
    "control/store/marks.py": "marks: tests/contract/control puts them on every database",
    "control/store/lease.py": "locks: tests/contract/control takes and loses them on PostgreSQL",
    "control/store/columns.py": "columns: tests/contract/control stores every kind of them",
    "control/store/tables.py": "tables: tests/unit/control/store/test_migrate.py compares them",
    "control/store/rows.py": "rows: tests/contract/control stores and reads every struct",
    "control/store/store.py": "the store: tests/contract/control runs it on every database",
    "control/store/writer.py": "the writer: tests/contract/control runs it on every database",
    "ui/cli/control_user.py": "tests/acceptance/control/test_trail.py runs its commands",
    "ui/cli/control.py": "tests/acceptance/control starts the process by it",
    "vault/workers/reading.py": "the wiring: tests/acceptance/workers read by it",
    "vault/unit.py": "the wiring: tests/acceptance run it as the whole agent that it is",
    "tools/make_vectors_link.py": "what it writes is what the tests of protocols.link read",
    "tools/make_vectors.py": "what it writes is what the tests of vault.crypto read",
}
"""Path (or folder with its `/`) → why it has no unit test of its own."""


def check(tree: Tree) -> Iterator[Finding]:
    """`vault/audit/chain.py` is tested by `tests/unit/vault/audit/test_chain.py`.

    A module needs a test as soon as it has a function that does something: imports, constants,
    structs and protocols have nothing to test. Exceptions that except nothing are findings too.
    """
    used = set()
    for source in tree.python(*PRODUCT, "tools"):
        excepted = _exception(source.path)
        if excepted is not None:
            used.add(excepted)
        elif _is_bare(source):
            continue
        elif (wanted := mirror(source.path)) not in tree.files:
            yield Finding(source.path, 1, f"has no test; write {wanted}")
    for unused in EXCEPTIONS.keys() - used:
        yield Finding("tools/house/mirrors.py", 1, f"the exception {unused} excepts nothing")


def mirror(path: str) -> str:
    """The test file of a source file."""
    module = PurePosixPath(path)
    stem = module.stem.strip("_")
    return str("tests/unit" / module.with_name(f"test_{stem}.py"))


def _exception(path: str) -> str | None:
    for excepted in EXCEPTIONS:
        if path == excepted or (excepted.endswith("/") and path.startswith(excepted)):
            return excepted
    return None


def _is_bare(source: Source) -> bool:
    """Nothing to test: no function with a body."""
    return not any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _is_declaration(node)
        for node in ast.walk(source.module)
    )


def _is_declaration(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Only a docstring or `...`, as a protocol's methods."""
    return all(
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for node in function.body
    )
