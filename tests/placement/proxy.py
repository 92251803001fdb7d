"""Stands between a client and a real Placement and is a bad neighbour: refuses, fails, and loses answers, by chance."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import threading
from http import server
from typing import Any

CONFLICT = {
    "errors": [{"status": 409, "title": "Conflict", "detail": "by chance", "code": "placement.concurrent_update"}]
}
UNAVAILABLE = {"errors": [{"status": 503, "title": "Service Unavailable", "detail": "by chance"}]}


class Proxy:
    """Forwards to a port of 127.0.0.1; of the answers a share is 409, one is 503, and one is 503 after it was done."""

    def __init__(self, port: int, share: float = 0.0, seed: int = 1) -> None:
        self.share = share
        self.chance = random.Random(seed)
        self.lock = threading.Lock()
        self.spoiled = 0
        self.requests: list[str] = []
        self._server = server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, port))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def fate(self) -> str:
        """Return what becomes of a request: good, conflict, failure or lost."""
        with self.lock:
            drawn = self.chance.random()
            fates = ("conflict", "failure", "lost")
            found = next((fate for number, fate in enumerate(fates) if drawn < self.share * (number + 1) / 3), "good")
            self.spoiled += found != "good"
        return found

    def close(self) -> None:
        """Be there no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(proxy: Proxy, port: int) -> type[server.BaseHTTPRequestHandler]:
    class Handler(server.BaseHTTPRequestHandler):
        """One connection, that whoever is at its other end may drop when it is killed."""

        def handle(self) -> None:
            """Serve it to its end, whatever that is."""
            with contextlib.suppress(ConnectionError):
                super().handle()

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # noqa: N802 - http.server calls it so
            """Forward a request, or not."""
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            proxy.requests.append(f"{self.command} {self.path}")
            fate = "good" if self.path == "/" else proxy.fate()
            if fate == "conflict" and self.command != "GET":
                self._answer(409, json.dumps(CONFLICT).encode())
                return
            if fate == "failure":
                self._answer(503, json.dumps(UNAVAILABLE).encode())
                return
            status, answer = self._forwarded(body)
            if fate == "lost":
                status, answer = 503, json.dumps(UNAVAILABLE).encode()
            self._answer(status, answer)

        do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815

        def _forwarded(self, body: bytes) -> tuple[int, bytes]:
            forward = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            try:
                forward.request(self.command, self.path, body or None, headers)
                answer = forward.getresponse()
                return answer.status, answer.read()
            except OSError:
                return 502, b"no Placement behind this proxy"
            finally:
                forward.close()

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            if status != 204:
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if status != 204:
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler
