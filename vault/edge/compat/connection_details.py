"""Connections as Vault's database plugins take them, as the fields of a secret that targets read.

A `connection_url` is a URL (PostgreSQL) or a DSN of Go's driver (MySQL), in which `{{username}}`
and `{{password}}` stand for two other fields. What has no meaning here is refused, not forgotten.
"""

import re
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from vault.edge.compat.fields import Fields
from vault.errors import ValidationError
from vault.model.server_address import (
    MYSQL,
    POSTGRESQL,
    parse_redis_address,
    parse_server_address,
)

REDIS: Final = "redis"
PLUGINS: Final = {
    "postgresql-database-plugin": POSTGRESQL,
    "mysql-database-plugin": MYSQL,
    "mysql-legacy-database-plugin": MYSQL,
    "mysql-aurora-database-plugin": MYSQL,
    "mysql-rds-database-plugin": MYSQL,
    "redis-database-plugin": REDIS,
    "valkey-database-plugin": REDIS,
}
"""The kind of target, by plugin."""
INLINE_PASSWORD: Final = (
    "Password found in connection_url, use a templated url to enable root rotation and prevent "
    "read access to password information."
)
MASKED: Final = "xxxxx"

_SETTINGS: Final = frozenset(
    {
        "name", "plugin_name", "plugin_version", "verify_connection", "allowed_roles",
        "root_rotation_statements", "password_policy",
    }
)  # fmt: skip
"""Fields of a connection that are none of its details."""
_SECRET: Final = frozenset({"password", "private_key", "tls_certificate_key"})
_POOL: Final = frozenset(
    {"max_open_connections", "max_idle_connections", "max_connection_lifetime"}
)
"""Kept and shown; each operation here has a connection of its own."""
_EMPTY_ONLY: Final = {
    "username_template": "users are named by their lease",
    "service_account_json": "only passwords are served",
    "disable_escaping": "values are always escaped",
    "tls_skip_verify": "a server's certificate is always verified",
    "insecure_tls": "a server's certificate is always verified",
    "tls_server_name": "the certificate must have the name in the address",
    "plugin_version": "there is one version of each plugin",
    "password_policy": "a password has 32 letters and digits",
}
"""Fields that may only be given without a value, and why."""
_ONE_OF: Final = {
    "auth_type": ("", "password"),
    "password_authentication": ("", "password", "scram-sha-256"),
}
_SQL: Final = frozenset({"connection_url", "username", "password", "tls_ca", *_POOL})
_KNOWN: Final = {
    POSTGRESQL: _SQL | {"tls_certificate", "private_key", "password_authentication"},
    MYSQL: _SQL | {"tls_certificate_key"},
    REDIS: frozenset({"host", "port", "username", "password", "tls", "ca_cert"}),
}
_DSN: Final = re.compile(
    r"(?P<user>[^:@/]*)(?::(?P<password>.*))?@(?P<net>tcp|unix)\((?P<address>[^()]+)\)"
    r"/(?P<database>[^?/]*)(?:\?(?P<query>.*))?"
)
"""https://github.com/go-sql-driver/mysql#dsn-data-source-name; a password may have an @."""
_KEYWORD: Final = re.compile(r"\s*(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|(\S*))\s*")
_DSN_MODES: Final = frozenset({"", "true", "preferred", "custom"})
_DSN_OPTIONS: Final = frozenset(
    {"parseTime", "charset", "collation", "timeout", "readTimeout", "writeTimeout", "loc"}
)  # of Go's driver, which mean nothing here
_SSL_MODES: Final = frozenset({"", "allow", "prefer", "require", "verify-ca", "verify-full"})
_POSTGRESQL_FORM: Final = "it is not of the form postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
_CREDENTIALS: Final = frozenset({"user", "password", "dbname"})
"""That a URL has in their places, and not among its options."""
_USER: Final = "{{username}}"
_PASSWORD: Final = "{{password}}"
_NO_DATABASE: Final = "information_schema"  # which every account of MySQL may use
_UNKNOWN_USER: Final = "username"  # stands in the URL; the field says who it is


class ConnectionDetails(NamedTuple):
    """What a request says of a connection.

    `value`: fields of its secret; `shown`: what anybody sees of it; `is_inline`: its URL had a
    password.
    """

    value: dict[str, str]
    shown: dict[str, Any]
    is_inline: bool


def read_details(fields: Fields, kind: str, *, is_new: bool) -> ConnectionDetails:
    """Check the details of a request. Raises `ValidationError`."""
    for name, why in _EMPTY_ONLY.items():
        if fields.value(name):
            raise _unserved(name, why)
    for name, allowed in _ONE_OF.items():
        if fields.text(name) not in allowed:
            raise _unserved(name, "only passwords are served")
    given = [name for name in fields.names() if name not in _SETTINGS]
    unknown = sorted({*given} - {*_KNOWN[kind], *_EMPTY_ONLY, *_ONE_OF})
    if unknown:
        raise _unserved(unknown[0], "this plugin has no such setting here")
    in_url = {} if kind == REDIS else _read_url(fields, kind)
    value = (
        _read_redis(fields, is_new) if kind == REDIS else _read_sql(fields, kind, in_url, is_new)
    )
    shown = {name: fields.value(name) for name in given if name not in _SECRET}
    inline = in_url.get("password", "")
    if inline:
        url = fields.text("connection_url")
        masked = url.replace(f":{quote(inline)}@", f":{MASKED}@")
        shown["connection_url"] = MASKED if masked == url else masked  # it may be spelled otherwise
    return ConnectionDetails(value, shown, bool(inline))


def _read_url(fields: Fields, kind: str) -> dict[str, str]:
    """What stands in the URL itself; of none: nothing."""
    url, username = fields.text("connection_url"), fields.text("username")
    if not url:
        return {}
    return (_read_postgresql if kind == POSTGRESQL else _read_mysql)(url, username)


def _read_sql(fields: Fields, kind: str, in_url: dict[str, str], is_new: bool) -> dict[str, str]:
    username, password = fields.text("username"), fields.text("password")
    if not in_url and is_new:
        raise _uncreated("connection_url cannot be empty")
    value = {"username": username, "password": password, "ca_certificate": fields.text("tls_ca")}
    if kind == POSTGRESQL:
        value["client_certificate"] = fields.text("tls_certificate")
        value["client_key"] = fields.text("private_key")
    elif pem := fields.text("tls_certificate_key"):  # both in one text
        value |= {"client_certificate": pem, "client_key": pem}
    if in_url:
        value |= in_url
        try:
            parse_server_address(value["url"], kind)
        except ValueError as error:
            raise _unparsed(str(error)) from None
    return {name: text for name, text in value.items() if text}


def _read_postgresql(url: str, username: str) -> dict[str, str]:
    if "://" not in url:
        return _read_keywords(url, username)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        options = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    except ValueError:
        raise _unparsed(_POSTGRESQL_FORM) from None
    if parts.scheme not in {"postgresql", "postgres"} or parts.fragment:
        raise _unparsed(_POSTGRESQL_FORM)  # a password that is not quoted looks like this, too
    _refuse_options(dict.fromkeys(options.keys() & _CREDENTIALS, ""), frozenset())
    options = {"host": host, "port": str(port or ""), **options}
    options["user"] = unquote(parts.username or "")
    options["password"] = unquote(parts.password or "")
    options["dbname"] = unquote(parts.path.removeprefix("/"))
    return _postgresql_value(options, username)


def _read_keywords(text: str, username: str) -> dict[str, str]:
    """The other form that libpq and pgx take: `host=… user=…`."""
    options, at = {}, 0
    while at < len(text):
        found = _KEYWORD.match(text, at)
        if found is None:
            raise _unparsed("invalid keyword/value")
        quoted = found[2]
        options[found[1]] = found[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        at = found.end()
    return _postgresql_value(options, username)


def _postgresql_value(options: dict[str, str], username: str) -> dict[str, str]:
    host, port = options.pop("host", ""), options.pop("port", "")
    user, password = options.pop("user", ""), options.pop("password", "")
    database = options.pop("dbname", "") or user.replace(_USER, username) or POSTGRESQL
    mode = options.pop("sslmode", "")
    is_local = host.startswith("/") or host in {"localhost", "127.0.0.1", "::1"}
    if mode not in _SSL_MODES and not (mode == "disable" and is_local):
        raise _unparsed("sslmode=disable is for a server of this machine: TLS is used to others")
    _refuse_options(options, frozenset({"application_name", "connect_timeout"}))
    place = quote(host, safe="") if host.startswith("/") else ""
    value = _credentials(user, password, username)
    name = quote(value.get("username", "") or _UNKNOWN_USER, safe="")
    address = "" if place else f"[{host}]" if ":" in host else host
    address += f":{port}" if port and not place else ""
    url = f"postgresql://{name}@{address}/{quote(database, safe='')}"
    return {**value, "url": f"{url}?socket={place}" if place else url}


def _read_mysql(url: str, username: str) -> dict[str, str]:
    found = _DSN.fullmatch(url)
    if found is None:
        raise _unparsed("it is not of the form USER:PASSWORD@tcp(HOST:PORT)/DATABASE")
    options = dict(parse_qsl(found["query"] or "", keep_blank_values=True))
    if options.pop("tls", "") not in _DSN_MODES:
        raise _unparsed("tls is true: a server's certificate is always verified")
    _refuse_options(options, _DSN_OPTIONS)
    value = _credentials(found["user"], found["password"] or "", username)
    name = quote(value.get("username", "") or _UNKNOWN_USER, safe="")
    database = quote(found["database"] or _NO_DATABASE, safe="")
    address = found["address"]
    if found["net"] == "unix":
        return {**value, "url": f"mysql://{name}@/{database}?socket={quote(address, safe='')}"}
    return {**value, "url": f"mysql://{name}@{address}/{database}"}


def _credentials(user: str, password: str, username: str) -> dict[str, str]:
    """Those that stand in the URL itself."""
    value = {}
    if user and user != _USER:
        if "{{" in user:
            raise _unparsed("the user is neither a name nor {{username}}")
        value["username"] = user
    elif username:
        value["username"] = username
    if password and password != _PASSWORD:  # not secret: the placeholder
        if "{{" in password:
            raise _unparsed("the password is neither a text nor {{password}}")
        value["password"] = password
    return value


def _read_redis(fields: Fields, is_new: bool) -> dict[str, str]:
    host, port, tls = fields.text("host"), fields.integer("port"), fields.boolean("tls")
    names = ("host", "port", "username", "password")
    for name in names if is_new else ():
        if not fields.value(name):
            raise _uncreated(f"{name} cannot be empty")
    if tls and not fields.text("ca_cert"):
        raise _uncreated("ca_cert cannot be empty")
    value = {
        "username": fields.text("username"),
        "password": fields.text("password"),
        "ca_certificate": fields.text("ca_cert"),
    }
    if host:
        name = quote(fields.text("username") or _UNKNOWN_USER, safe="")
        address = f"[{host}]" if ":" in host else host
        value["url"] = f"{'rediss' if tls else 'redis'}://{name}:@{address}:{port or 6379}"
        try:
            parse_redis_address(value["url"])
        except ValueError as error:
            raise _unparsed(str(error)) from None
    return {name: text for name, text in value.items() if text}


def _refuse_options(options: dict[str, str], harmless: frozenset[str]) -> None:
    unknown = sorted(name for name in options if name not in harmless)
    if unknown:
        raise _unserved(f"{unknown[0]} in connection_url", "give it in a field, if there is one")


def _unserved(name: str, why: str) -> ValidationError:
    return ValidationError("setting_unsupported", f"{name} is not served: {why}", field=name)


def _uncreated(why: str) -> ValidationError:
    return ValidationError("connection_invalid", f"error creating database object: {why}")


def _unparsed(why: str) -> ValidationError:
    return _uncreated(f"cannot parse connection url: {why}")
