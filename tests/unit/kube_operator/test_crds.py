"""The custom resource definitions are those of the types that read the resources."""

from pathlib import Path

from tools.crds import definitions


def test_the_definitions_are_as_they_are_made(root: Path) -> None:
    """Else run `python -m tools.crds`."""
    folder = root / "deploy/helm/freehold-operator/crds"
    assert {file.name: file.read_text() for file in folder.iterdir()} == definitions()
