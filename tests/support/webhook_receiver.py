"""A webhook receiver on a free port that records requests and answers as a test tells it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


@dataclass
class Received:
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["svix-id"]


@dataclass
class Receiver:
    """The receiver, which runs while the context is open.

    answer: returns the status for a request. A ConnectionError closes the connection without an answer.
    """

    answer: Callable[[Received], int] = lambda received: 204
    requests: list[Received] = field(default_factory=list)
    busiest: int = 0
    """The greatest number of requests in progress at once."""

    def __enter__(self) -> Self:
        receiver, lock = self, threading.Lock()
        busy = 0

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:  # http.server's name
                nonlocal busy
                body = self.rfile.read(int(self.headers["content-length"]))
                received = Received({key.lower(): value for key, value in self.headers.items()}, body)
                with lock:
                    busy += 1
                    receiver.busiest = max(receiver.busiest, busy)
                    receiver.requests.append(received)
                try:
                    status = receiver.answer(received)
                except ConnectionError:
                    self.close_connection = True
                    return
                finally:
                    with lock:
                        busy -= 1
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("location", "/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # some tests make the sender close the connection first

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhooks/clerk"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
