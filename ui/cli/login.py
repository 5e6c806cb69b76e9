"""`freehold status`, `login` and `logout`."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any, Final

import typer

from ui.cli.connection_settings import (
    AGENT,
    ConnectionSettings,
    ServerKind,
    find_stored_token,
    forget_token,
    keep_token,
    token_path,
    token_variable,
)
from ui.cli.context import CliContext, api_path, cli_context
from ui.cli.errors import CliError, CredentialError, Exit
from ui.cli.input import read_secret_line
from ui.cli.output import print_note

CALLBACK: Final = "/oidc/callback"
SAML_CALLBACK: Final = "/saml/callback"
FACTOR_CODE: Final = "Code of your second factor"
KEPT_VALID: Final = "the token is removed here; it stays valid until it ends or is revoked"
TOKEN_MOUNT: Final = "token/"
"""The mount of tokens and API keys that no login method made."""


def status(context: typer.Context) -> None:
    """Show whether the agent runs, is initialized and unsealed. Exit code 2 while it is sealed."""
    current = cli_context(context)
    state = current.client.call("GET", "/v1/sys/seal-status")
    own = current.client.call("GET", "/health/live")["version"]
    current.print_result({**state, "version": own, "speaks": f"OpenBao {state['version']}"})
    if state["sealed"]:
        raise typer.Exit(Exit.SEALED)


def login(
    context: typer.Context,
    method: Annotated[
        str,
        typer.Option(
            help="userpass, oidc, saml, jwt, kubernetes, cert, or another that takes a password."
        ),
    ] = "",
    username: Annotated[str, typer.Option(help="Your name there.")] = "",
    path: Annotated[str, typer.Option(help="Where the method is mounted.")] = "",
    role: Annotated[str, typer.Option(help="Role of oidc, saml, jwt, kubernetes or cert.")] = "",
    port: Annotated[int, typer.Option(help="Where the browser comes back to.")] = 8250,
    keyring: Annotated[
        bool,
        typer.Option(help="Keep it in the system's keyring (pip install 'freehold[keyring]')."),
    ] = True,
) -> None:
    """Check a token or API key, or log in by a method; asks without echo or reads stdin.

    Where the login needs a second factor, its code is asked for next.
    """
    from ui.cli.client import ApiClient

    current = cli_context(context)
    match method:
        case "":
            token = read_secret_line("Token")
        case "oidc":
            token = _log_in_by_oidc(current, path or method, role, port)
        case "saml":
            token = _log_in_by_saml(current, path or method, role, port)
        case "jwt" | "kubernetes":
            token = _log_in_with(current, path or method, {"role": role})
        case "cert":  # the credential is FREEHOLD_CLIENT_CERT, on the connection
            token = _send_login(current, path or method, {"name": role} if role else {})
        case _:
            token = _log_in(current, path or method, username)
    found = ConnectionSettings.from_environment(current.address, use_stored=False)
    client = ApiClient(replace(found, token=token, variable=""))
    told = client.call("GET", api_path("policies-effective"))
    print_note(f"stored in {keep_token(token, found.address, in_keyring=keyring)}")
    _print_variable(AGENT)
    names = [policy["name"] for policy in told["policies"]]
    if told["root"]:
        names.insert(0, "root")
    current.print_result({"root": told["root"], "policies": names})


def _log_in(current: CliContext, path: str, username: str) -> str:
    """The token of a login with a name and a password."""
    if not username:
        raise CliError("say who you are with --username")
    body = {"password": read_secret_line("Password")}
    return _send_login(current, path, body, username)


def _log_in_with(current: CliContext, path: str, body: dict[str, str]) -> str:
    """The token of a login with a signed token, read from stdin."""
    signed = {key: text for key, text in body.items() if text} | {"jwt": read_secret_line("JWT")}
    return _send_login(current, path, signed)


def _send_login(current: CliContext, path: str, body: dict[str, str], *name: str) -> str:
    """The token of a login at the auth mount of this path. Raises `CliError`."""
    place = api_path("auth", "login", path, "login", *name)
    try:
        answer = current.client.call("POST", place, body)
    except CliError as error:
        if error.exit_code is not Exit.NOT_FOUND:
            raise
        raise CliError(
            f"no login of this method at auth/{path.strip('/')}/: give the mount with --path "
            "(`freehold auth list` shows the mounts)",
            Exit.NOT_FOUND,
        ) from None
    return _finish_login(current, answer)


@contextmanager
def _listener(port: int) -> Iterator[socket.socket]:
    """A port of this machine that a browser comes back to. Raises `CliError`."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen()
        except OSError as error:
            raise CliError(
                f"cannot listen on 127.0.0.1:{port}: {error.strerror}; choose another --port"
            ) from None
        yield listener


def _log_in_by_oidc(current: CliContext, path: str, role: str, port: int) -> str:
    """The token of a login at an OpenID provider. Raises `CliError`."""
    from control.crypto import new_bearer_secret
    from ui.cli.loopback import receive_callback

    with _listener(port) as listener:
        nonce = new_bearer_secret("fhn")
        body = {
            "role": role,
            "redirect_uri": f"http://localhost:{listener.getsockname()[1]}{CALLBACK}",
            "client_nonce": nonce,
        }
        begun = current.client.call("POST", f"/v1/auth/{path}/oidc/auth_url", body)
        url = str(begun["data"]["auth_url"])
        said = receive_callback(listener, url, CALLBACK, ("state", "code", "error"))
    if "code" not in said:
        raise CliError("the identity provider refused: see its page in the browser", Exit.DENIED)
    shown = {"state": said.get("state", ""), "code": said["code"], "client_nonce": nonce}
    place = api_path("auth", "login", path, "oidc", "callback")
    return _finish_login(current, current.client.call("POST", place, shown))


def _finish_login(current: CliContext, answer: dict[str, Any]) -> str:
    """The token of a login's answer; asks for the second factor where that is needed."""
    if "mfa_request_id" not in answer:
        return str(answer["token"])
    types = {one["type"] for needed in answer["needed"] for one in needed["any"]}
    asked = FACTOR_CODE if "totp" in types else "Recovery code (passkeys work in a browser)"
    body = {"mfa_request_id": answer["mfa_request_id"], "passcode": read_secret_line(asked)}
    done = current.client.call("POST", api_path("mfa", "login"), body)
    return str(done["token"])


def _log_in_by_saml(current: CliContext, path: str, role: str, port: int) -> str:
    """The token of a login at a SAML provider. Raises `CliError`.

    The code that the browser brings is worth nothing without the secret, which stays here.
    """
    from control.crypto import new_bearer_secret, pkce_challenge
    from ui.cli.loopback import receive_callback, refusal_text

    with _listener(port) as listener:
        verifier = new_bearer_secret("fhv")
        body = {
            "role": role,
            "redirect_uri": f"http://localhost:{listener.getsockname()[1]}{SAML_CALLBACK}",
            "client_challenge": pkce_challenge(verifier),
        }
        begun = current.client.call("POST", f"/v1/auth/{path}/sso_service_url", body)
        url = str(begun["data"]["sso_service_url"])
        names = ("code", "error", "error_description")
        said = receive_callback(listener, url, SAML_CALLBACK, names)
    if "code" not in said:
        raise CliError(refusal_text(said.get("error_description", "")), Exit.DENIED)
    shown = {"code": said["code"], "client_verifier": verifier}
    return _send_login(current, path, shown)


def logout(
    context: typer.Context,
    revoke: Annotated[
        bool | None,
        typer.Option(help="Revoke the token too; by default one that a login made."),
    ] = None,
) -> None:
    """Remove the token that `login` stored, and end the session that it is of.

    A token or API key that you had before stays valid: `token revoke --self` revokes it.
    """
    from ui.cli.client import ApiClient

    current = cli_context(context)
    settings = ConnectionSettings.from_environment(current.address, use_stored=False)
    fault = None
    try:
        token, _ = find_stored_token(settings.address)
        note = KEPT_VALID if token else "no token was stored"
    except CliError:  # what cannot be read cannot be revoked; it is removed
        token, note = "", KEPT_VALID
    if token and revoke is not False:
        client = ApiClient(replace(settings, token=token, variable=""))
        try:
            if revoke or client.call("GET", api_path("auth", "whoami"))["mount"] != TOKEN_MOUNT:
                client.call("DELETE", api_path("tokens", "self"))
                note = "the session is over"
        except CredentialError:  # it is over already
            note = "the token is removed here; it had ended"
        except CliError as error:
            fault = error
    forget_token(settings.address)
    if fault is None:
        print_note(note)
    if variable := token_variable(AGENT):
        print_note(f"{variable} is set and counts further: `unset {variable}`")
    if fault is not None:
        raise CliError(f"the token is removed here, but not revoked: {fault}", fault.exit_code)


def print_token_location(peer: ServerKind) -> None:
    """Say where the token is kept, and whether anything will use it."""
    print_note(f"stored in {token_path(peer)}")
    _print_variable(peer)


def _print_variable(peer: ServerKind) -> None:
    if variable := token_variable(peer):
        print_note(f"{variable} is set and wins over it: `unset {variable}`")
