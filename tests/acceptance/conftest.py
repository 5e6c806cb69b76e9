"""Agents for the acceptance tests: each the real process in a folder of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.agent import SEVERAL, Agent, dev_agent, own_folder, running, serving


@pytest.fixture(scope="module", params=[1, SEVERAL], ids=["1 worker", "2 workers"])
def workers(request: pytest.FixtureRequest) -> Iterator[int]:
    """With so many workers the agents of the tests that ask for this serve; each runs with either.

    What does not ask for it has `SEVERAL`, as on a machine of two cores a new agent has. A fixture
    of a module that makes agents has to ask for it as well: pytest would keep them for both.
    """
    with serving(request.param):
        yield request.param


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
