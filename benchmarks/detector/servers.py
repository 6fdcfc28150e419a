"""Servers that the operations talk to: threads of this process, on loopback."""

from __future__ import annotations

import socketserver
import threading
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

Address = tuple[str, int]


class _Page(BaseHTTPRequestHandler):
    """Answers "ok", below /slow/ after the time that the path names."""

    def do_GET(self) -> None:
        if self.path.startswith("/slow/"):
            time.sleep(float(self.path.rpartition("/")[2]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args: Any) -> None:
        pass


class _Mail(socketserver.StreamRequestHandler):
    """Takes any message."""

    def handle(self) -> None:
        self._say("220 here")
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"DATA":
                self._say("354 go on")
                while self.rfile.readline() not in (b".\r\n", b""):
                    pass
            self._say("221 bye" if verb == b"QUIT" else "250 ok")
            if verb == b"QUIT":
                return

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64


class Servers:
    """Both, while it is entered."""

    http: Address
    smtp: Address

    def __enter__(self) -> Servers:
        self._stack = ExitStack()
        page = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
        mail = _Server(("127.0.0.1", 0), _Mail)
        for server in (page, mail):
            self._stack.enter_context(server)
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            self._stack.callback(thread.join)
            self._stack.callback(server.shutdown)
        self.http = ("127.0.0.1", page.server_port)
        self.smtp = ("127.0.0.1", mail.server_address[1])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()
