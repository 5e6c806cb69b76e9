"""The server: one listener, one task a connection, one clock, one way to stop."""

import contextlib
import errno
import logging
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

import trio

from protocols.bind_address import name_bind_errors
from protocols.client_network import site_network
from protocols.http.admission import AdmissionControl, BodyBudget, RefusalBackoff
from protocols.http.asgi import (
    Address,
    App,
    ConnectionInfo,
    MakeOverloadResponse,
    MakeRefusal,
    MakeUnreadRefusal,
)
from protocols.http.coarse_clock import CoarseClock
from protocols.http.errors import PeerLeftError, ProxyHeaderError, TlsConfigError
from protocols.http.h1_connection import H1Connection
from protocols.http.h2_connection import H2Connection
from protocols.http.limits import Limits
from protocols.http.readiness import ReadinessPoller
from protocols.http.response_budget import ResponseBudget
from protocols.http.server_log import log_connection_failure, log_event
from protocols.http.server_state import ServerState, overload_response, refuse_as_json
from protocols.http.tls import TlsConfig, build_context, check_dates
from protocols.http.transport import TlsTransport, Transport
from protocols.http.trusted_proxies import ProxyTrust

if TYPE_CHECKING:
    from protocols.http.ws_connection import UpgradeConnection


_ACCEPT_BATCH = 64  # connections accepted before others get a turn
_GIVE_WAY = 0.002  # seconds for another process to accept in our place; then we do
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})


class Listener:
    """A bound, listening, non-blocking TCP socket."""

    def __init__(self, sock: socket.socket, *, gives_way: Callable[[], bool] | None = None) -> None:
        """`gives_way`: whether another process, which accepts from it too, is to go first."""
        self._sock = sock
        self._gives_way = gives_way
        self.at_once = _ACCEPT_BATCH if gives_way is None else 1

    @classmethod
    async def bind(cls, host: str, port: int, backlog: int) -> Self:
        """Bind to the first address that `host` stands for; port 0 lets the kernel choose.

        Raises OSError, whose `filename` is the address.
        """
        with name_bind_errors(host, port):
            return await cls._bound(host, port, backlog)

    @classmethod
    def inherited(cls, sock: socket.socket) -> Self:
        """A socket that systemd listens on for this service."""
        sock.settimeout(0)
        return cls(sock)

    @classmethod
    async def _bound(cls, host: str, port: int, backlog: int) -> Self:
        found = await trio.socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(backlog)
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    @property
    def port(self) -> int:
        """The port in use."""
        port: int = self._sock.getsockname()[1]
        return port

    def fileno(self) -> int:
        """The descriptor, for other processes that are to accept from it."""
        return self._sock.fileno()

    async def wait_connection(self) -> None:
        """Until somebody knocks. Raises trio.ClosedResourceError once closed."""
        await trio.lowlevel.wait_readable(self._sock)
        if self._gives_way is not None and self._gives_way():
            await trio.sleep(_GIVE_WAY)

    def accept(self) -> socket.socket | None:
        """The next connection, if one is waiting. Raises OSError when the system has no more."""
        try:
            sock, _ = self._sock.accept()
        except OSError as error:
            if error.errno in _EXHAUSTED:
                raise
            return None  # nobody there, or gone again before we came (accept(2), "Error handling")
        sock.settimeout(0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def close(self) -> None:
        """Stop listening; may be repeated."""
        if self._sock.fileno() >= 0:
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


# How long the event loop was at work, as against waiting for something to do.


class LoopMeter(trio.abc.Instrument):
    """Two looks at the clock each turn of the loop, while anybody wants to know.

    The processor's own time would not do: what others take from us keeps our clients waiting too.
    Not always on: to have any instrument costs Trio seven look-ups for each request, 5 % of a read.
    """

    def __init__(self) -> None:
        self._since = trio.current_time()
        self._busy = 0.0
        self._on = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.set_enabled(wanted=False)

    def set_enabled(self, *, wanted: bool) -> None:
        """Begin to look, or leave off. From within a Trio run."""
        if wanted and not self._on:
            self._since, self._busy = trio.current_time(), 0.0
            trio.lowlevel.add_instrument(self)
        elif self._on and not wanted:
            trio.lowlevel.remove_instrument(self)
        self._on = wanted

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002  # the instrument's shape
        """The work of this turn is done."""
        self._busy += trio.current_time() - self._since

    def after_io_wait(self, timeout: float) -> None:  # noqa: ARG002  # the instrument's shape
        """Work begins."""
        self._since = trio.current_time()

    def take_busy_seconds(self) -> float | None:
        """Seconds since the last call; None while nobody wants to know."""
        if not self._on:
            return None
        now = trio.current_time()
        busy, self._busy = self._busy + now - self._since, 0.0
        self._since = now
        return busy


class ServerHandle:
    """What the owner of a running server holds."""

    def __init__(
        self,
        state: ServerState,
        listener: Listener,
        tls: TlsConfig | None,
        on_connections: Callable[[int], None] | None,
        wall_clock: Callable[[], float] | None = None,
        *,
        trusts: Callable[[str], ProxyTrust] | None = None,
        upgrade_connection: "UpgradeConnection | None" = None,
    ) -> None:
        self._state = state
        self._trusts = trusts
        self._upgrade_connection = upgrade_connection
        self._from: Counter[str] = Counter()  # connections of each client
        self._wall_clock = wall_clock
        self._listener = listener
        self._tls = tls
        self._context = build_context(tls) if tls is not None else None
        self._on_connections = on_connections
        self._live: dict[Transport, H1Connection | H2Connection | Transport] = {}
        self._readiness = ReadinessPoller()
        self._handshakes = trio.Semaphore(state.limits.handshakes)
        self._draining = False
        self._empty = trio.lowlevel.ParkingLot()
        self._stopped = trio.Event()
        self.port = listener.port
        try:
            self._check_dates()
        except TlsConfigError as error:  # an old certificate is better than no service
            log_event(logging.WARNING, "certificate_not_valid", reason=str(error))

    def connections(self) -> int:
        """How many connections are open now, handshakes included."""
        return len(self._live)

    def refused_requests(self) -> int:
        """How many requests were turned away because too many were in hand."""
        return self._state.admission.refusals

    def is_serving(self, _within: float) -> bool:
        """See `protocols.watchdog`: what asks this is the event loop that serves."""
        return True

    async def drain(self, grace: float) -> None:
        """Stop: accept no more, let answers in flight end for up to `grace` seconds, cut the rest.

        Idle connections close at once; busy ones say that this answer is the last (Connection:
        close, GOAWAY). Returns when all are closed or to be cut; `serve` then returns.
        """
        self._draining = self._state.admission.is_draining = True
        self._listener.close()
        for serving in list(self._live.values()):
            if isinstance(serving, Transport):
                serving.abort()
            else:
                serving.drain()
        with trio.move_on_after(grace):
            while self._live:
                await self._empty.park()
        self._stopped.set()

    def reload_tls(self) -> None:
        """Read certificate, key and trust store again, for handshakes from now on.

        Raises TlsConfigError if a file is unusable or the certificate is not valid now; what was
        in force stays in force.
        """
        if self._tls is not None:
            context = build_context(self._tls)
            self._check_dates()
            self._context = context
            log_event(logging.INFO, "certificate_loaded", file=str(self._tls.cert_file))

    def _check_dates(self) -> None:
        if self._tls is not None and self._wall_clock is not None:
            check_dates(self._tls, self._wall_clock())

    async def _run(self) -> None:
        with contextlib.closing(self._readiness):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._run_clock)
                nursery.start_soon(self._readiness.run)
                nursery.start_soon(self._accept, nursery)
                await self._stopped.wait()
                nursery.cancel_scope.cancel()

    async def _run_clock(self) -> None:
        with LoopMeter() as meter:
            await self._tick(meter)

    async def _tick(self, meter: LoopMeter) -> None:
        clock, admission, answers = (
            self._state.clock,
            self._state.admission,
            self._state.response_budget,
        )
        refused = cut = full = 0
        while True:
            now = clock.update()
            admission.update_cost(meter.take_busy_seconds())
            meter.set_enabled(wanted=admission.is_near_limit)
            if admission.refusals > refused:
                log_event(
                    logging.WARNING,
                    "overloaded",
                    refused=admission.refusals - refused,
                    in_hand=admission.in_flight,
                    limit=admission.limit,
                )
                refused = admission.refusals
            answers.tick()
            if answers.disconnected > cut:
                log_event(
                    logging.WARNING,
                    "answers_full",
                    cut=answers.disconnected - cut,
                    held=answers.held,
                )
                cut = answers.disconnected
            if answers.refused > full:
                log_event(logging.WARNING, "answers_refused", refused=answers.refused - full)
                full = answers.refused
            for serving in list(self._live.values()):
                serving.tick(now)
            await trio.sleep(clock.tick)

    async def _accept(self, nursery: trio.Nursery) -> None:
        while not self._draining:
            try:
                await self._listener.wait_connection()
                for _ in range(self._listener.at_once):
                    sock = self._listener.accept()
                    if sock is None:
                        break
                    self._admit(sock, nursery)
            except trio.ClosedResourceError:
                return
            except OSError as error:  # out of descriptors or memory: others must end first
                log_event(logging.ERROR, "accept_failed", errno=error.errno)
                await trio.sleep(self._state.clock.tick)

    def _admit(self, sock: socket.socket, nursery: trio.Nursery) -> None:
        if len(self._live) >= self._state.limits.connections:
            sock.close()
            log_event(logging.WARNING, "connection_refused", connections=len(self._live))
            return
        shared = self._state
        client = _address(sock.getpeername)
        trust = self._trusts(client[0]) if client and self._trusts else ProxyTrust.NONE
        source = "" if client is None or trust else site_network(client[0])
        if not self._count_in(source):
            sock.close()
            return
        caller = shared.response_budget.usage_of(client[0] if client else None)
        if self._context is None:
            transport = Transport(
                sock,
                shared.limits,
                shared.clock,
                self._readiness,
                shared.response_budget,
                usage=caller,
            )
        else:
            transport = TlsTransport(
                sock,
                shared.limits,
                shared.clock,
                self._readiness,
                shared.response_budget,
                context=self._context,
                usage=caller,
            )
        self._live[transport] = transport
        scheme = "http" if self._context is None else "https"
        peer = ConnectionInfo(client, _address(sock.getsockname), scheme)
        nursery.start_soon(self._guard, transport, source, peer, trust)

    def _count_in(self, source: str) -> bool:
        """Count a connection against the bound of its client (empty: nobody's); False: too many."""
        if not source:
            return True
        count = self._from[source]
        if count >= self._state.limits.connections_each:
            log_event(logging.WARNING, "client_refused", client=source, of=count)
            return False
        self._from[source] = count + 1
        return True

    def _count_out(self, source: str) -> None:
        if source:
            self._from[source] -= 1
            if not self._from[source]:
                del self._from[source]

    async def _guard(
        self, transport: Transport, source: str, peer: ConnectionInfo, trust: ProxyTrust
    ) -> None:
        """Whatever happens in one connection ends here."""
        try:
            self._count()
            if trust is ProxyTrust.PROXY_PROTOCOL:
                header = await transport.receive_proxy_header()
                if header.client is not None:
                    named = site_network(header.client[0])
                    if not self._count_in(named):
                        return
                    source = named
                    peer = replace(peer, client=header.client)
                    transport.usage = self._state.response_budget.usage_of(header.client[0])
            await self._connection(transport, peer)
        except PeerLeftError:
            pass
        except ProxyHeaderError as error:
            proxy = peer.client[0] if peer.client else None
            log_event(logging.WARNING, "proxy_header_refused", proxy=proxy, reason=str(error))
        except Exception as error:  # noqa: BLE001 - logged, and nobody else's business
            log_connection_failure(error, peer)
        finally:
            transport.close()
            del self._live[transport]
            self._count_out(source)
            if not self._live:
                self._empty.unpark_all()
            self._count()

    async def _connection(self, transport: Transport, peer: ConnectionInfo) -> None:
        protocol: str | None = None
        if isinstance(transport, TlsTransport):
            protocol = await transport.handshake(self._handshakes)
            peer.extensions["tls"] = transport.tls_info()
        connection = (
            H2Connection(self._state, transport, peer)
            if protocol == "h2"
            else H1Connection(self._state, transport, peer, self._upgrade_connection)
        )
        self._live[transport] = connection
        if self._draining:
            connection.drain()
        await connection.run()

    def _count(self) -> None:
        if self._on_connections is not None:
            self._on_connections(len(self._live))


def _address(ask: Callable[[], tuple[str, int]]) -> Address | None:
    try:
        return ask()[:2]
    except OSError:  # the peer has gone already
        return None


def _load_websocket_upgrade() -> "UpgradeConnection":
    """The websocket protocol, which only a server of websockets loads."""
    from protocols.http.ws_connection import upgrade_to_websocket

    return upgrade_to_websocket


async def serve(
    app: App,
    *,
    host: str,
    port: int,
    tls: TlsConfig | None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    refuse: MakeRefusal | None = None,
    refuse_unread: MakeUnreadRefusal | None = None,
    any_path: bool = False,
    turn_away: MakeOverloadResponse | None = None,
    on_connections: Callable[[int], None] | None = None,
    wall_clock: Callable[[], float] | None = None,
    listener: Listener | None = None,
    websockets: bool = False,
    trusts: Callable[[str], ProxyTrust] | None = None,
    task_status: trio.TaskStatus[ServerHandle] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` (ASGI 3, type "http"; no lifespan) until cancelled or drained.

    With `websockets` also type "websocket", over HTTP/1.1; without, such offers are ignored.

    On `host` and `port`, or on a `listener` that is bound already and that other processes may
    accept from, too; it is closed in the end.

    `refuse(status, code, message)` gives headers and body of the answers that the server makes
    itself; `refuse_unread(error, client)` does so, with the status, for requests that the
    application has not seen, and may put them on record. `any_path`: the application refuses paths
    that are not UTF-8. `turn_away(target)` gives those of the 503 when too many requests are in
    hand, or None for what must get through even so (see `Limits.in_hand`). `on_connections` is told
    the number of open connections whenever it changes. `wall_clock` (seconds since the epoch) fills
    the Date header; without one there is none, as RFC 9110 section 6.6.1 has it for a server
    without one.

    `trusts`: whether an address is of a proxy, which may have more connections than a client. With
    the PROXY protocol a proxy's connection has to begin with its header, which names the client.

    Starts with a ServerHandle once connections are accepted. Raises OSError when the address
    cannot be bound, TlsConfigError when the certificate, key or trust store cannot be used.
    """
    clock = CoarseClock(limits, wall_clock)
    shared = ServerState(
        app,
        limits,
        clock,
        refuse or refuse_as_json,
        AdmissionControl(limits),
        BodyBudget(limits),
        ResponseBudget(limits, clock),
        RefusalBackoff(limits.delay_seconds),
        turn_away or overload_response,
        refuse_unread,
        any_path,
    )
    with listener or await Listener.bind(host, port, limits.backlog) as bound:
        handle = ServerHandle(
            shared,
            bound,
            tls,
            on_connections,
            wall_clock,
            trusts=trusts,
            upgrade_connection=_load_websocket_upgrade() if websockets else None,
        )
        task_status.started(handle)
        await handle._run()  # noqa: SLF001 - the handle's owner is told only what it may do
