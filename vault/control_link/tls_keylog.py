"""Where TLS secrets go so that the owner can decrypt a capture (`control_plane.tls_keylog`)."""

import os
import ssl
from pathlib import Path
from typing import Final

MODE: Final = 0o600


def log_tls_secrets(context: ssl.SSLContext, path: Path | None) -> None:
    """Have the secrets of this context's connections written to `path`; None: not at all.

    OpenSSL would make the file as the umask has it, mostly for all to read: whoever has it reads
    what is said to the control plane, an enrolment's token too. Raises `OSError`.
    """
    if path is not None:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, MODE))
        context.keylog_filename = str(path)
