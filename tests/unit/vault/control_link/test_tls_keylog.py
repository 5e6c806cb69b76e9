"""The file of TLS secrets is for its owner alone."""

import os
import ssl
import stat
from pathlib import Path

from vault.control_link.tls_dialer import log_tls_secrets


def test_it_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """Whatever the umask is; what is in it stays."""
    path, context, before = tmp_path / "keys.log", ssl.create_default_context(), os.umask(0)
    try:
        log_tls_secrets(context, path)
    finally:
        os.umask(before)
    assert context.keylog_filename == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("CLIENT_RANDOM 00 00\n")
    log_tls_secrets(ssl.create_default_context(), path)
    assert path.read_text().startswith("CLIENT_RANDOM 00 00\n")


def test_without_a_path_nothing_is_kept() -> None:
    """It is off unless the settings name a file."""
    context = ssl.create_default_context()
    context.keylog_filename = None
    log_tls_secrets(context, None)
    assert context.keylog_filename is None
