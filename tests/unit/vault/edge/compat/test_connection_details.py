"""What Vault's plugins call a connection, as the secret that targets read; what is refused."""

from typing import Any, Final

import msgspec
import pytest

from vault.edge.compat.connection_details import ConnectionDetails, read_details
from vault.edge.compat.fields import Fields
from vault.errors import ValidationError
from vault.model.server_address import MYSQL, POSTGRESQL

USER: Final = {"username": "ad:min", "password": "p@ss/word"}
CANARY: Final = "canary-5f1c"
TEMPLATE: Final = "{{username}}:{{password}}"


def details(kind: str, is_new: bool = True, **given: Any) -> ConnectionDetails:
    """As a request brings them."""
    fields = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in given.items()}
    return read_details(Fields(fields), kind, is_new=is_new)


@pytest.mark.parametrize(
    ("kind", "url", "expected"),
    [
        (POSTGRESQL, f"postgresql://{TEMPLATE}@db:5433/app", "postgresql://ad%3Amin@db:5433/app"),
        (POSTGRESQL, f"postgres://{TEMPLATE}@db/app", "postgresql://ad%3Amin@db/app"),
        (POSTGRESQL, f"postgresql://{TEMPLATE}@[::1]:1/a", "postgresql://ad%3Amin@[::1]:1/a"),
        (POSTGRESQL, f"postgresql://{TEMPLATE}@db", "postgresql://ad%3Amin@db/ad%3Amin"),
        (
            POSTGRESQL, f"postgresql://{TEMPLATE}@db/app?sslmode=verify-full",
            "postgresql://ad%3Amin@db/app",
        ),
        (
            POSTGRESQL, f"postgresql://{TEMPLATE}@/app?host=/run/pg&sslmode=disable",
            "postgresql://ad%3Amin@/app?socket=%2Frun%2Fpg",
        ),
        (
            POSTGRESQL, "host=db port=5433 user={{username}} password='{{password}}' dbname=app",
            "postgresql://ad%3Amin@db:5433/app",
        ),
        (MYSQL, f"{TEMPLATE}@tcp(db:3307)/app?parseTime=true", "mysql://ad%3Amin@db:3307/app"),
        (MYSQL, f"{TEMPLATE}@tcp(db:3306)/", "mysql://ad%3Amin@db:3306/information_schema"),
        (MYSQL, f"{TEMPLATE}@tcp(db:3306)/?tls=true", "mysql://ad%3Amin@db:3306/information_schema"),
        (MYSQL, f"{TEMPLATE}@tcp([::1]:1)/a", "mysql://ad%3Amin@[::1]:1/a"),
        (MYSQL, f"{TEMPLATE}@unix(/run/my)/a", "mysql://ad%3Amin@/a?socket=%2Frun%2Fmy"),
    ],
)  # fmt: skip
def test_addresses(kind: str, url: str, expected: str) -> None:
    """Of every form that the plugins take; the password stands in no URL, and is not shown."""
    found = details(kind, connection_url=url, **USER)
    assert found.value == {"url": expected, **USER}
    assert found.shown == {"connection_url": url, "username": USER["username"]}
    assert not found.is_inline


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        (POSTGRESQL, f"postgresql://admin:{CANARY}@db/app"),
        (POSTGRESQL, f"host=db user=admin password={CANARY} dbname=app"),
        (MYSQL, f"admin:{CANARY}@tcp(db:3306)/app"),
    ],
)
def test_a_password_in_the_address_is_masked(kind: str, url: str) -> None:
    """It is kept with what is secret, and a read shows nothing of it."""
    found = details(kind, connection_url=url)
    assert (found.value["username"], found.value["password"]) == ("admin", CANARY)
    assert found.is_inline
    assert CANARY not in found.value["url"] + str(found.shown)
    assert "xxxxx" in found.shown["connection_url"]


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        (POSTGRESQL, f"postgresql://admin:{CANARY}@db/app"),
        (MYSQL, f"admin:{CANARY}@tcp(db:3306)/app"),
    ],
)
def test_a_password_in_the_address_is_masked_beside_another_one(kind: str, url: str) -> None:
    """The field does not say that the address has none."""
    found = details(kind, connection_url=url, **USER)
    assert found.is_inline
    assert CANARY not in str(found.shown)


def test_certificates_are_those_of_the_targets() -> None:
    """Keys are secret, certificates are shown."""
    url = f"postgresql://{TEMPLATE}@db/app"
    found = details(
        POSTGRESQL, connection_url=url, tls_ca="CA", tls_certificate="CERT", private_key=CANARY
    )
    assert found.value["ca_certificate"] == "CA"
    assert (found.value["client_certificate"], found.value["client_key"]) == ("CERT", CANARY)
    assert CANARY not in str(found.shown)
    found = details(MYSQL, connection_url=f"{TEMPLATE}@tcp(db)/", tls_certificate_key=CANARY)
    assert found.value["client_certificate"] == found.value["client_key"] == CANARY
    assert CANARY not in str(found.shown)


def test_redis() -> None:
    """It has a host and a port, and TLS with a certificate only."""
    given = {"host": "db", "port": "6380", **USER}
    found = details("redis", **given)
    assert found.value == {"url": "redis://ad%3Amin:@db:6380", **USER}
    assert found.shown == {"host": "db", "port": "6380", "username": USER["username"]}
    found = details("redis", tls=True, ca_cert="CA", **given)
    assert found.value["url"].startswith("rediss://")
    for missing in ("host", "port", "username", "password"):
        part = {name: value for name, value in given.items() if name != missing}
        with pytest.raises(ValidationError, match=f"{missing} cannot be empty"):
            details("redis", **part)
    with pytest.raises(ValidationError, match="ca_cert cannot be empty"):
        details("redis", tls=True, **given)


def test_a_part_of_a_connection() -> None:
    """Only what is named is changed."""
    assert details(MYSQL, is_new=False, password="new").value == {"password": "new"}
    assert details("redis", is_new=False, password="new").value == {"password": "new"}
    with pytest.raises(ValidationError, match="connection_url cannot be empty"):
        details(MYSQL, password="new")


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        (POSTGRESQL, {"connection_url": "nonsense"}, "invalid keyword/value"),
        (POSTGRESQL, {"connection_url": "mysql://a@db/x"}, "postgresql://USER"),
        (POSTGRESQL, {"connection_url": "postgresql://a@db:port/x"}, "postgresql://USER"),
        (POSTGRESQL, {"connection_url": "postgresql://a@/x"}, "not of the form"),
        (POSTGRESQL, {"connection_url": "postgresql://{{user}}@db/x"}, "neither a name nor"),
        (POSTGRESQL, {"connection_url": "postgresql://a:{{pw}}@db/x"}, "neither a text nor"),
        (POSTGRESQL, {"connection_url": "postgresql://a@db/x?sslmode=disable"}, "sslmode=disable"),
        (POSTGRESQL, {"connection_url": "postgresql://a@db/x?sslrootcert=/ca"}, "sslrootcert"),
        (POSTGRESQL, {"connection_url": f"postgresql://a@db/x?password={CANARY}"}, "password in"),
        (POSTGRESQL, {"connection_url": f"postgresql://a@db/x#{CANARY}"}, "postgresql://USER"),
        (POSTGRESQL, {"connection_url": f"postgresql://a:12?{CANARY}@db/x"}, "postgresql://USER"),
        (MYSQL, {"connection_url": "mysql://a@db/x"}, "USER:PASSWORD@tcp"),
        (MYSQL, {"connection_url": "a:b@tcp(db)/?tls=skip-verify"}, "always verified"),
        (MYSQL, {"connection_url": "a:b@tcp(db)/?allowAllFiles=true"}, "allowAllFiles"),
        (MYSQL, {"connection_url": "a:b@tcp(db)/", "tls_skip_verify": True}, "always verified"),
        (POSTGRESQL, {"username_template": "x"}, "named by their lease"),
        (POSTGRESQL, {"password_policy": "x"}, "32 letters"),
        (POSTGRESQL, {"plugin_version": "v1"}, "one version"),
        (POSTGRESQL, {"auth_type": "gcp_iam"}, "only passwords"),
        (POSTGRESQL, {"disable_escaping": True}, "always escaped"),
        (POSTGRESQL, {"tls_certificate_key": "x"}, "no such setting"),
        ("redis", {"insecure_tls": True}, "always verified"),
        ("redis", {"connection_url": "x"}, "no such setting"),
    ],
)
def test_what_has_no_meaning_here_is_refused(kind: str, given: dict[str, Any], words: str) -> None:
    """The text says what, and repeats no value."""
    with pytest.raises(ValidationError, match=words):
        details(kind, is_new=False, **given)
    with pytest.raises(ValidationError) as caught:
        details(kind, is_new=False, **given, password=CANARY)
    assert CANARY not in caught.value.message


def test_empty_settings_are_none() -> None:
    """Terraform sends each field that it knows."""
    given = dict.fromkeys(("username_template", "password_policy", "plugin_version"), "")
    found = details(POSTGRESQL, is_new=False, **given, auth_type="", disable_escaping=False)
    assert found.value == {}
