"""An HTTP proxy between function and S3 that lets requests pass byte for byte, or injects a fault.

It keeps to what S3 clients and LocalStack speak: HTTP/1.1 with small bodies (RFC 9112), which are read whole before
they are passed on.
"""

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass

from tributary_local.faults.schedule import Injection, RequestFault

LOOPBACK = "127.0.0.1"
# Longer than any time-out of a client here.
LONGEST_WAIT_FOR_CLIENT = 60.0
# Close with a reset instead of an orderly end: linger on, for zero seconds (socket(7)).
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_ERRORS = {
    RequestFault.INTERNAL_ERROR: ("500 Internal Server Error", "InternalError", "We encountered an internal error."),
    RequestFault.SLOW_DOWN: ("503 Slow Down", "SlowDown", "Please reduce your request rate."),
}

Draw = Callable[[str], Injection | None]
"""Given a request's method, decides its fate; None lets it pass."""


class FaultProxy:
    """Serves on a port and in a thread of its own, in front of S3 on `origin_port` of the loopback interface."""

    def __init__(self, origin_port: int, draw: Draw) -> None:
        self.origin_port = origin_port
        self.draw: Draw = draw
        self.requests = 0
        self.injected: Counter[RequestFault] = Counter()
        self.port = 0
        self._at_work: list[int] = []
        self._connections: set[asyncio.Task] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy", daemon=True)

    @property
    def endpoint(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Returns when connections are accepted."""
        self._thread.start()
        self._server = self._call(asyncio.start_server(self._accept, LOOPBACK, 0)).result()
        self.port = self._server.sockets[0].getsockname()[1]

    def ports_at_work(self) -> set[int]:
        """The clients' ports of the requests that are under way, late effects of a lost client included."""
        return set(self._at_work)

    def let_everything_pass(self) -> None:
        """From the next request on. What is held up already still has its effect later."""
        self.draw = lambda _: None

    def settle(self) -> None:
        """Returns when nothing is held up any more: no late effect is to come."""
        while self._at_work:
            time.sleep(0.05)

    def stop(self) -> None:
        """Drops whatever is under way; to be called once after `start`."""
        self._call(self._close()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, coroutine: Coroutine) -> Future:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    async def _close(self) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        # Transports are closed in the loop's next round.
        await asyncio.sleep(0)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = self._loop.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client, request after request."""
        client = _Client(reader, writer)
        port = writer.get_extra_info("peername")[1]
        # A connection that breaks is everyday business here, and the client's own concern.
        with contextlib.closing(writer), contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while request := await client.request():
                self._at_work.append(port)
                try:
                    keep = await self._handle(client, request)
                finally:
                    self._at_work.remove(port)
                if not keep:
                    break

    async def _handle(self, client: "_Client", request: "_Message") -> bool:
        """Whether the connection can take another request."""
        self.requests += 1
        method = request.start_line.split(" ")[0]
        injection = self.draw(method)
        if injection is None:
            return await client.answer(await self._pass_on(request))
        self.injected[injection.fault] += 1
        match injection.fault:
            case RequestFault.INTERNAL_ERROR | RequestFault.SLOW_DOWN:
                return await client.answer(_error(*_ERRORS[injection.fault], with_body=method != "HEAD"))
            case RequestFault.RESET_BEFORE:
                client.reset()
            case RequestFault.RESET_AFTER:
                await self._pass_on(request)
                client.reset()
            case RequestFault.DELAY:
                await asyncio.sleep(injection.seconds)
                return await client.answer(await self._pass_on(request))
            case RequestFault.EFFECT_AFTER_RESET:
                client.reset()
                await asyncio.sleep(injection.seconds)
                await self._pass_on(request)
            case RequestFault.EFFECT_AFTER_TIME_OUT:
                await client.gone()
                await asyncio.sleep(injection.seconds)
                await self._pass_on(request)
        return False

    async def _pass_on(self, request: "_Message") -> "_Message":
        """S3's answer. A connection for each request: none can be stale."""
        reader, writer = await asyncio.open_connection(LOOPBACK, self.origin_port)
        try:
            writer.write(request.head + request.body)
            return await _read_answer(reader, to=request.start_line.split(" ")[0])
        finally:
            writer.close()


@dataclass(frozen=True)
class _Message:
    """A request or an answer, as it came: the body has its framing still."""

    head: bytes
    body: bytes
    ends_connection: bool = False

    @property
    def start_line(self) -> str:
        return self.head.split(b"\r\n", 1)[0].decode("latin-1")


class _Client:
    """A connection on which requests come."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def request(self) -> _Message | None:
        """The next one; None when the client has closed the connection between two requests."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as end:
            if end.partial:
                raise
            return None
        headers = _headers(head)
        if headers.get("expect", "").lower() == "100-continue":
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return _Message(head, await _read_body(self._reader, headers) or b"")

    async def answer(self, answer: _Message) -> bool:
        """Whether the connection stays open."""
        self._writer.write(answer.head + answer.body)
        await self._writer.drain()
        return not answer.ends_connection

    def reset(self) -> None:
        """The client sees ECONNRESET."""
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._writer.transport.abort()

    async def gone(self) -> None:
        """Returns when the client has closed the connection, or was killed."""
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(LONGEST_WAIT_FOR_CLIENT):
                await self._reader.read(1)


async def _read_answer(reader: asyncio.StreamReader, to: str) -> _Message:
    """The answer to a request with the method `to`; interim ones (1xx) are skipped."""
    status = "100"
    while status.startswith("1"):
        head = await reader.readuntil(b"\r\n\r\n")
        status = head.split(b" ", 2)[1].decode("latin-1")[:3]
    headers = _headers(head)
    closes = headers.get("connection", "").lower() == "close"
    if to == "HEAD" or status in ("204", "304"):
        return _Message(head, b"", closes)
    body = await _read_body(reader, headers)
    if body is None:
        return _Message(head, await reader.read(), ends_connection=True)
    return _Message(head, body, closes)


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes | None:
    """As it came, framing included; None when the headers announce none."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _read_chunks(reader)
    if length := headers.get("content-length"):
        return await reader.readexactly(int(length))
    return None


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    read = []
    while True:
        read.append(size_line := await reader.readuntil(b"\r\n"))
        size = int(size_line.split(b";")[0], 16)
        if size == 0:
            break
        read.append(await reader.readexactly(size + 2))
    # Trailers, if any, up to an empty line.
    while read[-1] != b"\r\n":
        read.append(await reader.readuntil(b"\r\n"))
    return b"".join(read)


def _headers(head: bytes) -> dict[str, str]:
    """By name in small letters."""
    lines = head.decode("latin-1").split("\r\n")[1:]
    fields = (line.partition(":") for line in lines if line)
    return {name.lower(): value.strip() for name, _, value in fields}


def _error(status: str, code: str, message: str, *, with_body: bool) -> _Message:
    xml = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(xml)}\r\n\r\n"
    return _Message(head.encode(), xml.encode() if with_body else b"")
