"""TLS to a server that the agent is a client of."""

from typing import Self

from pydantic import model_validator

from protocols.settings.field_types import FilePath, Section


class ClientTlsSettings(Section):
    """TLS to a database server or Redis; the server's name is always verified."""

    ca_file: FilePath | None = None
    cert_file: FilePath | None = None
    key_file: FilePath | None = None

    @model_validator(mode="after")
    def _check_pair(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("needs cert_file and key_file, or neither")
        return self
