"""Signatures in Sigstore's bundle format (v0.3), by cosign.

With a key they need no network: the bundle holds the signature and a hint of the key. Without one
cosign signs keylessly: it asks the CI for an identity, gets a certificate of minutes for it, and
writes the signature to the public log; all of it is in the bundle.
"""

import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

SUFFIX: Final = ".sigstore.json"
# No authority vouches for a key of one's own, so nothing of Sigstore's instance is to be fetched.
_NO_AUTHORITIES: Final = '{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}'


class SignatureError(Exception):
    """What cosign said."""


def sign(file: Path, key: Path | None) -> Path:
    """Write the bundle beside the file. `key`: of `cosign generate-key-pair`; None: keyless.

    The key's password is in `COSIGN_PASSWORD`. Raises `SignatureError`.
    """
    bundle = file.with_name(file.name + SUFFIX)
    with_key = ["--key", str(key), "--tlog-upload=false"] if key else []
    _cosign(
        "sign-blob", "--yes", "--new-bundle-format", "--bundle", str(bundle), *with_key, str(file)
    )
    return bundle


def verify(file: Path, public_key: Path) -> None:
    """By a key, without any network. Raises `SignatureError`."""
    bundle = file.with_name(file.name + SUFFIX)
    with TemporaryDirectory() as folder:
        authorities = Path(folder, "trusted-root.json")
        authorities.write_text(_NO_AUTHORITIES)
        _cosign(
            "verify-blob", "--new-bundle-format", "--bundle", str(bundle),
            "--key", str(public_key), "--insecure-ignore-tlog=true",
            "--trusted-root", str(authorities), str(file),
        )  # fmt: skip


def _cosign(*arguments: str) -> None:
    environment = {"COSIGN_PASSWORD": "", **os.environ}
    try:
        done = subprocess.run(
            ["cosign", *arguments], capture_output=True, text=True, check=False, env=environment
        )
    except FileNotFoundError:
        raise SignatureError("cosign is not installed: apt-get install cosign") from None
    if done.returncode:
        raise SignatureError(done.stderr.strip())
