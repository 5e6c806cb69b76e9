"""One control plane for all tests of a module."""

from collections.abc import Iterator

import pytest

from tests.acceptance.agent import own_folder, running
from tests.acceptance.control.plane import Plane, dev_plane


@pytest.fixture(scope="module")
def plane() -> Iterator[Plane]:
    """Two organizations, with things in the second that the first must not see."""
    with own_folder() as path:
        made = dev_plane(path)
        with running(made):
            made.sign_in()
            made.organization("acme", "admin", "operator", "viewer")
            made.organization("other", "viewer")
            yield made
