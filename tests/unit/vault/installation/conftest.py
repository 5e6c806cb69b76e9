import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scratch import open_folder
from tests.unit.vault.installation.place import Place, make_place


@pytest.fixture
def place() -> Iterator[Place]:
    """In a folder that the agent's user may enter, whoever that is."""
    with tempfile.TemporaryDirectory(dir=open_folder()) as folder:
        yield make_place(Path(folder), 0)
