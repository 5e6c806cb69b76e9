"""Names of users, and rules, that a server takes as they are; `ValueError` for others."""

from typing import Final

_POSTGRESQL_BYTES: Final = 63  # the server would cut a longer one (NAMEDATALEN)
_MYSQL_CHARACTERS: Final = 80  # MariaDB; MySQL takes 32, and refuses longer ones itself
_HOST_CHARACTERS: Final = 255
_REDIS_BYTES: Final = 128
_MAX_RULES: Final = 200


def postgresql_name(name: str) -> str:
    """Of a role."""
    if not name or len(name.encode()) > _POSTGRESQL_BYTES or not name.isprintable():
        raise ValueError(
            f"a user's name has 1 to {_POSTGRESQL_BYTES} bytes, without control characters"
        )
    if name.startswith("pg_") or name in {"public", "none"}:
        raise ValueError("a user's name that begins with pg_, or is public or none, is reserved")
    return name


def mysql_name(name: str) -> str:
    """Of a user or a role, without the host."""
    if not name.strip() or len(name) > _MYSQL_CHARACTERS or not name.isprintable():
        raise ValueError(
            f"a user's name has 1 to {_MYSQL_CHARACTERS} characters, without control characters"
        )
    if name != name.rstrip() or max(name) > "\uffff":
        raise ValueError("a user's name ends with no space, and has no character above U+FFFF")
    return name


def mysql_host(host: str) -> str:
    """From which an account logs in: `%` stands for any text, `_` for any character."""
    if not host or len(host) > _HOST_CHARACTERS or not host.isprintable() or " " in host:
        raise ValueError(f"a host has 1 to {_HOST_CHARACTERS} characters, without spaces")
    return host


def redis_name(name: str) -> str:
    """Of a user of the access control list."""
    if not name or len(name.encode()) > _REDIS_BYTES or not name.isprintable() or " " in name:
        raise ValueError(
            f"a user's name has 1 to {_REDIS_BYTES} bytes, without spaces and control characters"
        )
    return name


def check_redis_rules(rules: tuple[str, ...]) -> None:
    """Raise `ValueError` for rules that are none, or that set passwords."""
    if len(rules) > _MAX_RULES:
        raise ValueError(f"there are more than {_MAX_RULES} rules")
    for rule in rules:
        if not rule or not rule.isprintable():
            raise ValueError("a rule is not empty, and has no control character")
        if rule[0] in "><#!" or rule.lower() in {"on", "off", "nopass", "resetpass", "reset"}:
            raise ValueError("rules grant commands, keys and channels; passwords are set here")
