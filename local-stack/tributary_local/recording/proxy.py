"""An HTTP proxy that lets every request pass and remembers what IAM would have been asked for it."""

import http.client
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tributary_local.recording.requests import Asked, Names, Seen, UnknownRequestError, asked

LOOPBACK = "127.0.0.1"
_TIMEOUT_SECONDS = 120
_HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length"}

StandIn = Callable[[Seen], bytes | None]
"""The answer to a request that is not to be passed on, or nothing."""


class RecordingProxy:
    """On a port of its own, in front of the services on `origin_port` of the loopback interface."""

    def __init__(
        self, origin_port: int, names: Names, stand_in: Callable[[Seen], bytes | None] = lambda _: None
    ) -> None:
        """`stand_in` answers, with 200, what the services behind cannot."""
        self.asked: set[Asked] = set()
        self.unknown: set[str] = set()
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass(self) -> None:
                body = self._body()
                lower = {name.lower(): value for name, value in self.headers.items()}
                instead = stand_in(Seen(self.command, self.path, lower, body, 200))
                if instead is not None:
                    proxy._note(Seen(self.command, self.path, lower, body, 200), names)
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(instead)))
                    self.end_headers()
                    self.wfile.write(instead)
                    return
                headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
                # The far end would answer 100 by itself; here it has been answered.
                headers = {name: value for name, value in headers.items() if name.lower() != "expect"}
                connection = http.client.HTTPConnection(LOOPBACK, origin_port, timeout=_TIMEOUT_SECONDS)
                try:
                    connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                    for name, value in headers.items():
                        connection.putheader(name, value)
                    if body or self.command in ("PUT", "POST"):
                        connection.putheader("Content-Length", str(len(body)))
                    connection.endheaders(body)
                    answer = connection.getresponse()
                    content = answer.read()
                finally:
                    connection.close()
                proxy._note(Seen(self.command, self.path, lower, body, answer.status), names)
                self.send_response(answer.status, answer.reason)
                for name, value in answer.getheaders():
                    if name.lower() not in _HOP_BY_HOP:
                        self.send_header(name, value)
                length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
                self.send_header("Content-Length", length or "0")
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = _pass

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                chunks = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    chunks.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(chunks)

            def log_message(self, *_: object) -> None:
                """Says nothing: what passes is remembered."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Server((LOOPBACK, 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="recording proxy", daemon=True)

    @property
    def endpoint(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def __enter__(self) -> "RecordingProxy":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def recorded(self, principals: Iterable[str]) -> list[Asked]:
        """What these have asked, in order. Raises UnknownRequestError when a request was not understood."""
        with self._lock:
            if self.unknown:
                raise UnknownRequestError("; ".join(sorted(self.unknown)))
            wanted = set(principals)
            return sorted(each for each in self.asked if each.principal in wanted)

    def _note(self, seen: Seen, names: Names) -> None:
        try:
            found = asked(seen, names)
        except UnknownRequestError as error:
            with self._lock:
                self.unknown.add(str(error))
            return
        with self._lock:
            self.asked.update(found)
