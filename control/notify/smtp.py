"""Mail by SMTP: smtplib in a thread, with TLS verification and a bound on the whole conversation.

smtplib bounds one wait, not the whole: a server that sends a byte every nine seconds would hold a
thread for days. So the connection is closed from outside when the time is up, or the task is
cancelled.
"""

import smtplib
import socket
import ssl
from contextlib import suppress
from email.message import EmailMessage
from typing import Final

import trio
from msgspec import Struct

from actors import World
from control.model.notices import Server, Tls
from control.notify.errors import DeliveryError, PermanentDeliveryError, TransientDeliveryError
from control.notify.network_policy import ANY_NETWORK, NetworkPolicy, unreachable_error
from protocols.outbound import Resolver

QUEUE_TIMEOUT: Final = 10.0  # seconds for one answer
SECONDS: Final = 30.0  # for the whole conversation
MAX_CONCURRENT: Final = (
    64  # threads; as many channels as are tried at once, so none waits for another
)
_PERMANENT: Final = 500


class MailRelay(Struct, frozen=True):
    """A mail server and our credentials. `trusted`: the settings name it; it may be anywhere."""

    server: Server
    password: str = ""
    trusted: bool = False


class SmtpMailer:
    """Sends mail by any relay."""

    def __init__(
        self, policy: NetworkPolicy, resolver: Resolver, tls: ssl.SSLContext, world: World
    ) -> None:
        self._reach = policy
        self._resolve = resolver
        self._tls = tls
        self._world = world
        self._places = trio.CapacityLimiter(MAX_CONCURRENT)
        self._threads = trio.CapacityLimiter(MAX_CONCURRENT)

    async def send_mail(self, relay: MailRelay, mail: EmailMessage, to: tuple[str, ...]) -> str:
        """Send it; a remark on refused recipients, or the empty string. Raises `DeliveryError`."""
        server = relay.server
        plain = server.tls is Tls.PLAIN
        reach = (
            NetworkPolicy(ANY_NETWORK, self._reach.development) if relay.trusted else self._reach
        )
        address = await reach.resolve_address(
            server.host, server.port, self._resolve, plain=plain and not relay.trusted
        )
        line = SmtpConnection(address)
        # The time is that of this conversation: to wait for a place behind others is no failure.
        async with self._places, trio.open_nursery() as nursery:
            nursery.start_soon(self._abort_when_late, line)
            outcome = await self._world.run_sync(
                _deliver, line, relay, self._tls, mail, to, limiter=self._threads
            )
            nursery.cancel_scope.cancel()
        if isinstance(outcome, DeliveryError):
            raise outcome
        return outcome

    async def _abort_when_late(self, line: "SmtpConnection") -> None:
        try:
            await self._world.sleep(SECONDS)
        finally:
            line.abort()


class SmtpConnection:
    """One connection to a checked address; any thread may abort it."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._handle: socket.socket | None = None
        self._is_over = False

    def connect(self, port: int) -> socket.socket:
        """Raises `OSError`."""
        made = socket.create_connection((self._address, port), timeout=QUEUE_TIMEOUT)
        self._handle = made.dup()  # TLS takes the socket itself over
        if self._is_over:
            self.abort()
        return made

    def abort(self) -> None:
        """Close the socket: a thread that waits on it returns at once."""
        self._is_over = True
        if self._handle is not None:
            with suppress(OSError):
                self._handle.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it, in the thread that opened it."""
        if self._handle is not None:
            self._handle.close()


class _Smtp(smtplib.SMTP):
    """smtplib's client, to a given address; certificates are checked for the host's name."""

    def __init__(self, line: SmtpConnection, server: Server, tls: ssl.SSLContext) -> None:
        self._line = line
        self._context = tls if server.tls is Tls.TLS else None
        own = server.sender.rpartition("@")[2]  # else smtplib asks the resolver who we are
        super().__init__(server.host, server.port, local_hostname=own, timeout=QUEUE_TIMEOUT)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002
        plain = self._line.connect(port)
        if self._context is None:
            return plain
        try:
            return self._context.wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise


def _deliver(
    line: SmtpConnection,
    relay: MailRelay,
    tls: ssl.SSLContext,
    mail: EmailMessage,
    to: tuple[str, ...],
) -> DeliveryError | str:
    try:
        return _converse(line, relay, tls, mail, to)
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        return _refused("every recipient", min(codes))
    except smtplib.SMTPAuthenticationError as error:
        return _refused("the login", error.smtp_code)
    except smtplib.SMTPSenderRefused as error:
        return _refused("the sender", error.smtp_code)
    except smtplib.SMTPResponseException as error:
        return _refused("the message", error.smtp_code)
    except smtplib.SMTPNotSupportedError:
        return PermanentDeliveryError("the mail server lacks STARTTLS or a login")
    except ssl.SSLCertVerificationError:
        return TransientDeliveryError("the mail server's certificate is not one to trust")
    except (smtplib.SMTPException, OSError, ValueError) as error:  # ValueError: it was cut
        return unreachable_error(
            relay.server.host, f"no connection, or it broke off ({type(error).__name__})"
        )
    finally:
        line.close()


def _converse(
    line: SmtpConnection,
    relay: MailRelay,
    tls: ssl.SSLContext,
    mail: EmailMessage,
    to: tuple[str, ...],
) -> str:
    server = relay.server
    smtp = _Smtp(line, server, tls)
    try:
        if server.tls is Tls.STARTTLS:
            smtp.starttls(context=tls)
        if server.username:
            smtp.login(server.username, relay.password)
        refused = smtp.send_message(mail, server.sender, list(to))
        with suppress(
            smtplib.SMTPException, OSError
        ):  # it has taken it: a rude end changes nothing
            smtp.quit()
    finally:
        smtp.close()
    return f"{len(refused)} of {len(to)} recipients were refused" if refused else ""


def _refused(what: str, code: int) -> DeliveryError:
    """RFC 5321, 4.2.1: what begins with 5 is for good."""
    kind = PermanentDeliveryError if code >= _PERMANENT else TransientDeliveryError
    return kind(f"the mail server refused {what} ({code})")
