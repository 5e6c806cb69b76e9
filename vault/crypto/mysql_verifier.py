"""The verifier of `mysql_native_password`: SHA1(SHA1(password)), as MySQL's protocol has it.

Only for servers that know nothing better, and for random passwords: it has no salt.
https://mariadb.com/kb/en/authentication-plugin-mysql_native_password/
"""

from cryptography.hazmat.primitives.hashes import SHA1, Hash


def native_password_verifier(password: str) -> str:
    """What the server stores, as `IDENTIFIED BY PASSWORD` takes it: `*` and 40 digits."""
    return "*" + _sha1(_sha1(password.encode())).hex().upper()


def _sha1(data: bytes) -> bytes:
    context = Hash(SHA1())  # noqa: S303  # prescribed by the protocol
    context.update(data)
    return context.finalize()
