"""docs/concepts/architecture.md names every package, and nothing that is not there."""

import re
from pathlib import Path

PAGE = "docs/concepts/architecture.md"


def test_every_package_is_on_the_page(root: Path) -> None:
    """A newcomer finds each folder of the program, whenever one is added."""
    text = (root / PAGE).read_text()
    packages = {
        str(init.parent.relative_to(root))
        for top in ("protocols", "vault", "control", "kube_operator", "ui")
        for init in (root / top).rglob("__init__.py")
        if not {"node_modules", "migrations"} & set(init.parts)
    }
    missing = {name for name in packages if "/" in name and f"`{name}`" not in text}
    assert not missing
    assert len(packages) > 30


def test_the_page_names_what_there_is(root: Path) -> None:
    """A path on it that moved is found."""
    text = (root / PAGE).read_text()
    tops = "actors|protocols|vault|control|kube_operator|ui|tests|tools|loadtests|docs|deploy"
    named = set(re.findall(rf"(?<![\w./])(?:{tops})/[\w./-]*\w", text))
    assert len(named) > 40
    for path in named:
        assert (root / path).exists() or (root / f"{path}.py").exists(), path
