"""``python -m app.server``: one HTTP process, on the listening socket it inherits from the supervisor."""

import asyncio
import contextlib
import gc
import logging
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, cast

import uvicorn
import uvloop

from app.cpu import SWITCH_INTERVAL_S
from app.http.admin import AdminPort
from app.http.connections import Connection
from app.http.door import ConnectionLimits, Door
from app.http.file_descriptors import most_connections, raise_limit
from app.http.health import Liveness
from app.http.listener import accepted, end_of_handshakes, turn_newcomers_away
from app.inference.endpoint import Endpoint
from app.logs import configure_logging
from app.main import create_app
from app.policies import Policy, uncalibrated, usable
from app.processes.parent_link import BEAT_S, Lifeline
from app.scoring.answers import weights_used
from app.scoring.service import Service
from app.settings import Settings
from app.tracing import switch

_log = logging.getLogger("iqa.serving")

_KEEP_ALIVE_S: Final = 75
_NEWCOMERS: Final = 64
"""Connections that are accepted in one turn of a busy event loop."""
_HANDSHAKES_S: Final = 2.0
"""Clients that are connecting when the listener is about to close have this long to finish: a packet of
theirs may be lost, and is sent again after a second."""
_SILENT_S: Final = 1.0
"""A connection from before that without a request is closed after this time."""


class Server(uvicorn.Server):
    """uvicorn without its signals: the supervisor says when to drain, and a drained process exits with 0."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._welcoming: set[asyncio.Task[Any]] = set()

    def take_newcomers(self, listener: socket.socket) -> None:
        """Accepts many connections at once."""
        for connection in accepted(listener, _NEWCOMERS):
            self._welcome(connection)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Closes the listener, then answers the clients that are connected: uvicorn alone resets them."""
        for listener in sockets or []:
            turn_newcomers_away(listener)
            await end_of_handshakes(listener, _HANDSHAKES_S)
            last = accepted(listener)
            for server in self.servers:
                server.close()
            await asyncio.gather(*(self._welcome(connection) for connection in last))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SILENT_S):
                while any(getattr(each, "cycle", each) is None for each in self.server_state.connections):
                    await asyncio.sleep(0.01)
        await super().shutdown(sockets)

    def _welcome(self, connection: socket.socket) -> "asyncio.Task[Any]":
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        task = loop.create_task(loop.connect_accepted_socket(self._protocol, connection))
        self._welcoming.add(task)
        task.add_done_callback(self._welcoming.discard)
        return task

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


def main() -> int:
    """Serves by the orders on standard input until the parent says ``drain`` or dies; the exit code."""
    gc.disable()  # what is made until it serves stays; looking for garbage in it takes a tenth of the start
    lifeline = Lifeline()
    orders = lifeline.orders
    settings = Settings.model_validate(orders["settings"])
    configure_logging(settings.log_format, settings.log_level)
    # The event loop is not to wait five milliseconds, Python's default, for a thread that decodes.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    uvloop.run(_serve(lifeline, settings, socket.socket(fileno=orders["socket"])))
    return 0


async def _serve(lifeline: Lifeline, settings: Settings, listener: socket.socket) -> None:
    orders = lifeline.orders
    policies = {name: Policy.model_validate(policy) for name, policy in orders["policies"].items()}
    endpoints = [Endpoint(**endpoint) for endpoint in orders["endpoints"]]
    tracing = switch.begin(**{"iqa.process": "http"})
    app = create_app(settings, endpoints, policies, tracing)
    gc.freeze()
    gc.enable()
    service: Service = app.state.service
    files = raise_limit(settings.max_connections)
    limits = ConnectionLimits(
        most=most_connections(settings.max_connections, files),
        head_s=settings.head_timeout_s,
        body_s=settings.body_timeout_s,
    )
    door = app.state.holdings.door = Door(limits, service.metrics.refused_connections)
    server = Server(
        uvicorn.Config(
            app,
            http=cast("type[asyncio.Protocol]", partial(Connection, door)),
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            # Of a proxy that is not named here, what it says of the client is not believed.
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=list(settings.trusted_proxies),
            lifespan="on",
            # Longer than proxies keep idle connections, so that they close them and never meet a closed one.
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=max(1, round(settings.drain_timeout_s)),
        )
    )
    if settings.http_processes == 1:  # of several, one that is not busy takes them
        door.turns.on_busy = partial(server.take_newcomers, listener)
    drain, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    commands = {"drain": drain, "hurry": hurry}

    def on_command(command: str) -> None:
        loop.call_soon_threadsafe(commands[command].set)

    lifeline.watch(on_command)
    shutdown = asyncio.create_task(_shut_down(server, service, drain, hurry, settings.drain_delay_s))
    announce = asyncio.create_task(_announce(lifeline, server, service))
    beat = asyncio.create_task(_beat(lifeline, app.state.health))
    if orders["admin_socket"] is not None:
        AdminPort(
            app, socket.socket(fileno=orders["admin_socket"]), service.metrics.refused_connections
        ).open()
    await server.serve(sockets=[listener])
    for task in (shutdown, announce, beat):
        task.cancel()
    await asyncio.to_thread(tracing.close)


async def _announce(lifeline: Lifeline, server: Server, service: Service) -> None:
    """Tells the parent once the process listens and all workers are warm as seen from here."""
    while not (server.started and service.pool.ready):
        await asyncio.sleep(0.02)
    lifeline.report("ready")
    weights = {card.name: weights_used(card) for card in service.loaded().cards}
    for policy in usable(service.policies, service.settings.models).values():
        # Built-in policies may never be used; a client that uses one is warned in its answer.
        for sentence in () if policy.built_in else uncalibrated(policy, weights):
            _log.warning(sentence)


async def _beat(lifeline: Lifeline, health: Liveness) -> None:
    """Tells the parent about once a second that this event loop turns, and whether the service is able."""
    while True:
        lifeline.report("beat", ready=health.look())
        await asyncio.sleep(BEAT_S)


async def _shut_down(
    server: Server, service: Service, drain: asyncio.Event, hurry: asyncio.Event, delay_s: float
) -> None:
    """The two phases of draining: all requests are served but readiness is off, then the listener closes."""
    await drain.wait()
    service.draining = True
    try:
        async with asyncio.timeout(delay_s):
            await hurry.wait()
    except TimeoutError:
        pass
    server.should_exit = True


if __name__ == "__main__":
    sys.exit(main())
