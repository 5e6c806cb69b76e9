"""Bills of materials in CycloneDX 1.6: Python packages, web libraries, bundled system libraries."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from tools.release.artefacts import ROOT

_ALGORITHMS: Final = {"sha512": HashAlgorithm.SHA_512, "sha256": HashAlgorithm.SHA_256}


def write_sbom(python: Path, file: Path, libraries: Iterable[Path] = ()) -> None:
    """Of what is installed for this interpreter, of the pages, and of bundled `libraries`.

    Raises `SystemExit` if the document is not valid.
    """
    command = [
        "environment", "--output-reproducible", "--mc-type", "application", "--spec-version", "1.6",
        "--pyproject", str(ROOT / "pyproject.toml"), "--output-format", "JSON", str(python),
    ]  # fmt: skip
    cyclonedx = Path(sys.executable).with_name("cyclonedx-py")
    done = subprocess.run([cyclonedx, *command], capture_output=True, text=True, check=True)
    document: dict[str, Any] = json.loads(done.stdout)
    bom = Bom.from_json(document)  # type: ignore[attr-defined]  # made by its decorator
    added = [*_web_libraries(), *_system_libraries(libraries)]
    bom.components.update(added)
    bom.register_dependency(bom.metadata.component, added)
    text = JsonV1Dot6(bom).output_as_string(indent=1)
    # Each run would have its own number and time.
    plain = json.loads(text)
    plain.pop("serialNumber", None)
    plain["metadata"].pop("timestamp", None)
    text = json.dumps(plain, indent=1, sort_keys=True) + "\n"
    if fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise SystemExit(f"{file.name}: not valid CycloneDX: {fault}")
    file.write_text(text)


def _web_libraries() -> list[Component]:
    """What the pages' scripts contain; the tools that build them are not in them."""
    locked = json.loads((ROOT / "ui/web/package-lock.json").read_text())["packages"]
    return [
        _npm_component(name.rpartition("node_modules/")[2], entry)
        for name, entry in sorted(locked.items())
        if name and not entry.get("dev") and not entry.get("optional")
    ]


def _npm_component(name: str, entry: dict[str, str]) -> Component:
    scope, _, short = name.rpartition("/")
    algorithm, _, digest = entry["integrity"].partition("-")
    url = PackageURL("npm", scope or None, short, entry["version"])
    return Component(
        name=short, group=scope or None, version=entry["version"], type=ComponentType.LIBRARY,
        bom_ref=str(url), purl=url,
        hashes=[HashType(alg=_ALGORITHMS[algorithm], content=base64.b64decode(digest).hex())],
    )  # fmt: skip


def _system_libraries(files: Iterable[Path]) -> list[Component]:
    """The Debian packages that they were copied from; none where there is no dpkg."""
    found: dict[str, Component] = {}
    for file in files:
        asked = ["dpkg-query", "--search", f"*/{file.name}"]
        try:
            done = subprocess.run(asked, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return []
        for line in done.stdout.splitlines():
            package, _, path = line.partition(": ")
            if not path.startswith(("/lib/", "/usr/lib/")):
                continue
            name, _, architecture = package.partition(":")
            shown = ["dpkg-query", "--show", "--showformat", "${Version}", package]
            version = subprocess.run(shown, capture_output=True, text=True, check=True).stdout
            url = PackageURL("deb", "debian", name, version, {"arch": architecture or "all"})
            found[name] = Component(
                name=name, version=version, type=ComponentType.LIBRARY, bom_ref=str(url), purl=url
            )
            break
    return list(found.values())
