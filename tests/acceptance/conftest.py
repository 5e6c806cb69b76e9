"""Agents for the acceptance tests: each the real process in a folder of its own."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.agent import SEVERAL, Agent, Form, dev_agent, own_folder, running
from tests.support.databases import Server, run_server, shared_server


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    """A PostgreSQL server of this process alone, which a test may stop."""
    with run_server("postgresql") as server:
        yield server


@pytest.fixture(scope="session")
def mysql_server() -> Iterator[Server]:
    """A MariaDB server of this process alone, which a test may stop."""
    with run_server("mysql") as server:
        yield server


@pytest.fixture(scope="session")
def postgresql() -> Callable[[], str]:
    """Makes URLs of empty databases of the PostgreSQL server that the whole run shares."""
    return shared_server("postgresql").empty


@pytest.fixture(scope="session")
def mysql() -> Callable[[], str]:
    """Makes URLs of empty databases of the MariaDB server that the whole run shares."""
    return shared_server("mysql").empty


_ONLY = os.environ.get("FREEHOLD_TEST_DATABASE")
FORMS = [_ONLY] if _ONLY else [1, SEVERAL]


@pytest.fixture(scope="module", params=FORMS, ids=[_ONLY] if _ONLY else ["1 worker", "2 workers"])
def workers(request: pytest.FixtureRequest) -> Iterator[int]:
    """With so many workers the agents of the tests that ask for this serve; each runs with either.

    A module with the mark `ON_EVERY_DATABASE` runs with one worker on each kind of server, too;
    with FREEHOLD_TEST_DATABASE set to one of them all others run on that alone.

    What does not ask for it has `SEVERAL`, as on a machine of two cores a new agent has. A fixture
    of a module that makes agents has to ask for it as well: pytest would keep them for both.
    """
    form = Form.of(request)
    with form.serving():
        yield form.workers


@pytest.fixture
def folder() -> Iterator[Path]:
    """A new folder that is gone after the test."""
    with own_folder() as path:
        yield path


@pytest.fixture
def agent(folder: Path, workers: int) -> Iterator[Agent]:
    """An open development agent of this test alone, with one worker and with several."""
    with running(dev_agent(folder, workers=workers)) as started:
        yield started


@pytest.fixture(scope="module")
def shared_agent(workers: int) -> Iterator[Agent]:
    """As `agent`, for all tests of a module, which must not break it."""
    with own_folder() as path, running(dev_agent(path, workers=workers)) as started:
        yield started
