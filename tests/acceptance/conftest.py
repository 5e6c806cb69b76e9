"""Agents for the acceptance tests: each the real process in a folder of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.agent import Agent, dev_agent, own_folder, running


@pytest.fixture
def folder() -> Iterator[Path]:
    """A new folder that is gone after the test."""
    with own_folder() as path:
        yield path


@pytest.fixture
def agent(folder: Path) -> Iterator[Agent]:
    """An open development agent of this test alone."""
    with running(dev_agent(folder)) as started:
        yield started


@pytest.fixture(scope="module")
def shared_agent() -> Iterator[Agent]:
    """An open development agent for all tests of a module, which must not break it."""
    with own_folder() as path, running(dev_agent(path)) as started:
        yield started
