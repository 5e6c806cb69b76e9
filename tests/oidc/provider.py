"""The provider of `provider.mjs` as a process of its own."""

import fcntl
import hashlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.run_times import timed_start

HERE = Path(__file__).parent
STOPPED_WITHIN = 20.0  # seconds
INSTALLED_WITHIN = 300.0


def install() -> None:
    """Lay `node_modules` as the lock file says, unless it is so."""
    locked = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    stamp = HERE / "node_modules" / ".stamp"
    with (HERE / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several runs may share the checkout
        if stamp.exists() and stamp.read_text() == locked:
            return
        subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--loglevel=error"],
            cwd=HERE, check=True, timeout=INSTALLED_WITHIN, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        stamp.write_text(locked)


@contextmanager
def provider(
    client: str,
    secret: str,
    redirect: str,
    accounts: Mapping[str, Mapping[str, Any]],
    logout: str = "",
) -> Iterator[str]:
    """Its issuer, for the length of the block. `logout`: where it tells of those it signs out."""
    install()
    wanted = {
        "client": client, "secret": secret, "redirect": redirect, "accounts": accounts,
        "logout": logout,
    }  # fmt: skip
    process = subprocess.Popen(
        ["node", "provider.mjs", json.dumps(wanted)],
        cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        with timed_start("oidc provider"):
            issuer = process.stdout.readline().strip()
        yield issuer
    finally:
        process.terminate()
        process.wait(STOPPED_WITHIN)
        if process.stdout is not None:
            process.stdout.close()
