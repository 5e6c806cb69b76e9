"""Build what is released, into `dist/`.

    python -m tools.release wheel      freehold-VERSION-py3-none-any.whl
    python -m tools.release binary     freehold-VERSION-PLATFORM/ and its .tar.gz, of the wheel
    python -m tools.release packages   .deb and .rpm, of the folder

Each with a bill of materials (.cdx.json); SHA256SUMS has the hashes of all. With `SIGN_KEY=FILE`
each is signed by that key, with `SIGN=keyless` by the identity of the CI's job.
"""

import argparse
import os
from pathlib import Path

from tools.release import binary, packages, signatures, wheel
from tools.release.artefacts import DIST, write_sums


def main() -> None:
    """Build one kind."""
    parser = argparse.ArgumentParser(prog="python -m tools.release")
    parser.add_argument("kind", choices=("wheel", "binary", "packages"))
    kind = parser.parse_args().kind
    os.umask(0o022)  # else it would be in the archives
    DIST.mkdir(exist_ok=True)
    built = {"wheel": wheel.build, "binary": binary.build, "packages": packages.build}[kind]()
    write_sums()
    for file in built:
        _sign(file)
        print(f"{file.relative_to(DIST.parent)}  {file.stat().st_size / 1e6:.1f} MB")


def _sign(file: Path) -> None:
    key = os.environ.get("SIGN_KEY")
    if not key and os.environ.get("SIGN") != "keyless":
        return
    try:
        signatures.sign(file, Path(key) if key else None)
    except signatures.SignatureError as error:
        raise SystemExit(f"{file.name}: not signed: {error}") from None


if __name__ == "__main__":
    main()
