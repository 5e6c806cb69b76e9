"""tests/vectors and tools/make_vectors.py."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
SPEC = importlib.util.spec_from_file_location("make_vectors", ROOT / "tools" / "make_vectors.py")
assert SPEC is not None
assert SPEC.loader is not None
MAKER = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(MAKER)


@pytest.mark.parametrize("file", sorted(MAKER.build()))
def test_the_files_are_those_of_the_generator(file: str) -> None:
    """A format does not change by accident: generator, file and code agree or a test fails."""
    assert (ROOT / "tests" / "vectors" / file).read_text() == MAKER.render(MAKER.build()[file])


def test_the_generator_uses_none_of_our_code() -> None:
    """It is a second implementation, and would prove nothing if it were the first."""
    source = (ROOT / "tools" / "make_vectors.py").read_text()
    assert not [
        line for line in source.splitlines() if "import vault" in line or "from vault" in line
    ]
