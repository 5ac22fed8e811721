"""What passes the fault proxy untouched, and what each fault does, on the wire."""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tributary_local.faults.proxy import FaultProxy
from tributary_local.faults.schedule import Injection, RequestFault

PUT = (
    b"PUT /lake/events/o.parquet?x-id=PutObject HTTP/1.1\r\nHost: 127.0.0.1:1\r\nIf-None-Match: *\r\n"
    b"x-amz-meta-tributary-written: 7\r\nX-Amz-Content-Sha256: UNSIGNED\r\ncontent-length: 6\r\n\r\nPAR1\r\n"
)
# As SDKs send a body whose checksum follows it: aws-chunked within HTTP's own chunks, with a trailer of each.
CHUNKED = (
    b"PUT /lake/k HTTP/1.1\r\nHost: h\r\nContent-Encoding: aws-chunked\r\nx-amz-decoded-content-length: 4\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
    b"d;note=1\r\n4\r\nrows\r\n0\r\nx\r\n0\r\nx-amz-checksum-crc32: AAAA\r\n\r\n"
)
GET = b"GET /lake/k HTTP/1.1\r\nhost: h\r\nRange: bytes=-1024\r\nAuthorization: AWS4-HMAC-SHA256 x\r\n\r\n"
HEAD = b"HEAD /lake/k HTTP/1.1\r\nHost: h\r\nX-Amz-Date: 1\r\nx-amz-date: 2\r\n\r\n"
DELETE = b"DELETE /lake/k HTTP/1.1\r\nHost: h\r\n\r\n"

OK = b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 0\r\n\r\n'
TAKEN = b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 8\r\n\r\n<Error/>"
PARTIAL = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-3/9\r\ncontent-length: 4\r\n\r\n\r\n\r\n"
IN_CHUNKS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n<L\r\n2\r\n/>\r\n0\r\n\r\n"
HEAD_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4096\r\n\r\n"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
UNTIL_THE_END = b"HTTP/1.1 200 OK\r\nServer: s\r\n\r\nall of it"


class Origin:
    """Takes one request on each connection, keeps it as it came, and gives the next of `answers`."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.answers: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                # The proxy passes a request on in one piece, and it is small.
                self.seen.append(connection.recv(65536))
                connection.sendall(self.answers.pop(0) if self.answers else OK)

    def close(self) -> None:
        # close() alone does not wake accept().
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def origin() -> Iterator[Origin]:
    origin = Origin()
    yield origin
    origin.close()


@pytest.fixture
def proxy_with(origin: Origin) -> Iterator[Callable[..., FaultProxy]]:
    """A started proxy that injects these faults in turn, and none after them."""
    started = []

    def start(*injections: Injection | None) -> FaultProxy:
        fates = list(injections)
        proxy = FaultProxy(origin.port, lambda _: fates.pop(0) if fates else None)
        started.append(proxy)
        proxy.start()
        return proxy

    yield start
    for proxy in started:
        proxy.stop()


def connect(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def receive(client: socket.socket, length: int) -> bytes:
    received = b""
    while len(received) < length and (more := client.recv(length - len(received))):
        received += more
    return received


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def hit_by(fault: RequestFault, seconds: float = 0.0) -> Injection:
    return Injection(fault, seconds)


def test_clean_traffic_passes_byte_for_byte_and_keeps_its_connection(
    origin: Origin, proxy_with: Callable[..., FaultProxy]
) -> None:
    exchanges = [
        (PUT, OK),
        (PUT, TAKEN),
        (CHUNKED, OK),
        (GET, PARTIAL),
        (GET, IN_CHUNKS),
        (HEAD, HEAD_OK),
        (DELETE, NO_CONTENT),
        (GET, OK),
    ]
    origin.answers = [answer for _, answer in exchanges]
    proxy = proxy_with()
    with connect(proxy) as client:
        for request, answer in exchanges:
            client.sendall(request)
            assert receive(client, len(answer)) == answer
            assert origin.seen[-1] == request
    assert (proxy.requests, proxy.injected.total()) == (len(exchanges), 0)


def test_a_request_that_comes_in_pieces_is_passed_on_whole(
    origin: Origin, proxy_with: Callable[..., FaultProxy]
) -> None:
    with connect(proxy_with()) as client:
        for byte in CHUNKED:
            client.sendall(bytes([byte]))
        assert receive(client, len(OK)) == OK
    assert origin.seen == [CHUNKED]


def test_an_answer_without_length_ends_with_the_connection(
    origin: Origin, proxy_with: Callable[..., FaultProxy]
) -> None:
    origin.answers = [UNTIL_THE_END]
    with connect(proxy_with()) as client:
        client.sendall(GET)
        assert receive(client, len(UNTIL_THE_END) + 1) == UNTIL_THE_END


def test_a_client_that_asks_first_is_told_to_send_its_body(
    origin: Origin, proxy_with: Callable[..., FaultProxy]
) -> None:
    head = b"PUT /lake/k HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    origin.answers = [interim + OK]
    with connect(proxy_with()) as client:
        client.sendall(head)
        assert receive(client, len(interim)) == interim
        client.sendall(b"rows")
        assert receive(client, len(OK)) == OK
    assert origin.seen == [head + b"rows"]


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (RequestFault.INTERNAL_ERROR, b"HTTP/1.1 500 ", b"<Code>InternalError</Code>"),
        (RequestFault.SLOW_DOWN, b"HTTP/1.1 503 ", b"<Code>SlowDown</Code>"),
    ],
)
def test_an_injected_error_is_answered_and_never_reaches_s3(
    origin: Origin, proxy_with: Callable[..., FaultProxy], fault: RequestFault, status: bytes, code: bytes
) -> None:
    proxy = proxy_with(hit_by(fault))
    with connect(proxy) as client:
        client.sendall(PUT)
        answer = client.recv(65536)
        assert answer.startswith(status)
        assert code in answer
        assert origin.seen == []
        client.sendall(GET)
        assert receive(client, len(OK)) == OK
    assert origin.seen == [GET]
    assert proxy.injected == {fault: 1}


def test_an_error_in_answer_to_head_has_no_body(proxy_with: Callable[..., FaultProxy]) -> None:
    with connect(proxy_with(hit_by(RequestFault.SLOW_DOWN))) as client:
        client.sendall(HEAD)
        assert client.recv(65536).endswith(b"\r\n\r\n")


def test_a_reset_before_never_reaches_s3(origin: Origin, proxy_with: Callable[..., FaultProxy]) -> None:
    proxy = proxy_with(hit_by(RequestFault.RESET_BEFORE))
    with connect(proxy) as client:
        client.sendall(PUT)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    proxy.settle()
    assert origin.seen == []


def test_a_reset_after_has_had_its_effect(origin: Origin, proxy_with: Callable[..., FaultProxy]) -> None:
    with connect(proxy_with(hit_by(RequestFault.RESET_AFTER))) as client:
        client.sendall(PUT)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        assert origin.seen == [PUT]


def test_a_delayed_request_is_passed_on_late_and_answered(
    origin: Origin, proxy_with: Callable[..., FaultProxy]
) -> None:
    with connect(proxy_with(hit_by(RequestFault.DELAY, 0.2))) as client:
        started = time.monotonic()
        client.sendall(PUT)
        assert receive(client, len(OK)) == OK
        assert time.monotonic() - started >= 0.2
    assert origin.seen == [PUT]


def test_an_effect_after_a_reset_comes_when_the_client_knows_of_the_reset(
    origin: Origin, proxy_with: Callable[..., FaultProxy]
) -> None:
    proxy = proxy_with(hit_by(RequestFault.EFFECT_AFTER_RESET, 0.2))
    with connect(proxy) as client:
        client.sendall(PUT)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        assert origin.seen == []
    proxy.settle()
    assert origin.seen == [PUT]


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "killed"])
def test_an_effect_after_a_time_out_waits_until_the_client_is_gone(
    origin: Origin, proxy_with: Callable[..., FaultProxy], reset: bool
) -> None:
    proxy = proxy_with(hit_by(RequestFault.EFFECT_AFTER_TIME_OUT, 0.0))
    client = connect(proxy)
    client.sendall(PUT)
    wait_until(lambda: proxy.injected)
    time.sleep(0.1)
    assert origin.seen == []
    assert proxy.ports_at_work() == {client.getsockname()[1]}
    if reset:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    proxy.settle()
    assert origin.seen == [PUT]
    assert proxy.ports_at_work() == set()


def test_when_everything_may_pass_nothing_is_injected_any_more(
    origin: Origin, proxy_with: Callable[..., FaultProxy]
) -> None:
    proxy = proxy_with(*[hit_by(RequestFault.RESET_BEFORE)] * 2)
    proxy.let_everything_pass()
    with connect(proxy) as client:
        client.sendall(PUT)
        assert receive(client, len(OK)) == OK


def test_a_stopped_proxy_listens_no_more_and_drops_what_it_held_up(
    origin: Origin, proxy_with: Callable[..., FaultProxy]
) -> None:
    proxy = FaultProxy(origin.port, lambda _: hit_by(RequestFault.DELAY, 60))
    proxy.start()
    with connect(proxy) as client:
        client.sendall(PUT)
        wait_until(lambda: proxy.injected)
        proxy.stop()
        assert client.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    assert origin.seen == []
