"""What holds for the whole suite."""

import gc
import os
from collections.abc import Generator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest
from hypothesis import settings

from tests.run_order import run_order
from tests.scratch import use_memory
from tests.support.run_times import RunTimes, WorkerTimes
from tests.support.shared_servers import shared_servers

# A shared machine may pause a test for longer than any deadline worth setting.
settings.register_profile("freehold", deadline=None, print_blob=True)
settings.load_profile("freehold")
use_memory()
# No test trusts an authority of the machine's, and to read them takes longer than most tests.
os.environ.setdefault("SSL_CERT_FILE", os.devnull)


def pytest_configure(config: pytest.Config) -> None:
    """The process that runs pytest has the database servers; a worker of pytest-xdist asks it."""
    worker = getattr(config, "workerinput", {}).get("workerid", "")
    if not worker:
        config.pluginmanager.register(RunTimes())
    if worker or not config.getoption("numprocesses", None):
        config.pluginmanager.register(WorkerTimes(worker or "alone"))
    if not worker:
        servers = ExitStack()
        servers.enter_context(shared_servers(_run_server))
        config.add_cleanup(servers.close)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """All modules and tests stay to the end: the garbage collector looks at none of them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long begin first, and those that compute are among those that wait.

    Else the last of them would be alone at the end, and cores would idle before it.
    """
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.nodeid.partition("::")[0], []).append(item)
    items[:] = [item for file in run_order(list(files)) for item in files[file]]


def _run_server(kind: str, folder: Path) -> AbstractContextManager[object]:
    from tests.support.databases import run_server_in  # slow to import, and few runs need it

    return run_server_in(kind, folder)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return Path(__file__).parents[1]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """On CI a skipped test is a failed run: nobody looks at what was not proven."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter is not None else []
    if os.environ.get("CI") and skipped and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
