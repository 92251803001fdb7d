"""Stands between a client and a real Placement and is a bad neighbour: refuses, fails, and loses answers, by chance."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import threading
from http import server
from typing import Any

CONFLICT = json.dumps(
    {"errors": [{"status": 409, "title": "Conflict", "detail": "by chance", "code": "placement.concurrent_update"}]}
).encode()
UNAVAILABLE = json.dumps({"errors": [{"status": 503, "title": "Unavailable", "detail": "by chance"}]}).encode()


class Proxy:
    """Forwards to a port of 127.0.0.1; a share of the answers is spoiled: 409, 503, or 503 after it was done."""

    def __init__(self, port: int, share: float = 0.0, seed: int = 1) -> None:
        self.port = port
        self.share = share
        self.spoiled = 0
        self.requests: list[str] = []
        self._chance = random.Random(seed)
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def fate(self, line: str) -> str:
        """Return what becomes of a request: good, conflict, failure or lost. What is asked first of all is good."""
        self.requests.append(line)
        drawn = 1.0 if line == "GET /" else self._chance.random()
        fates = ("failure", "lost", "failure" if line.startswith("GET") else "conflict")
        found = next((fate for number, fate in enumerate(fates, 1) if drawn < self.share * number / len(fates)), "good")
        self.spoiled += found != "good"
        return found

    def close(self) -> None:
        """Be there no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, proxy: Proxy) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.proxy = proxy


class _Handler(server.BaseHTTPRequestHandler):
    """One connection, that whoever is at its other end may drop when it is killed."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        """Serve it to its end, whatever that is."""
        with contextlib.suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        """Forward a request, or not."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fate = self.server.proxy.fate(f"{self.command} {self.path}")
        spoiled = {"conflict": (409, CONFLICT), "failure": (503, UNAVAILABLE), "lost": (503, UNAVAILABLE)}
        status, answer = self._forwarded(body) if fate in {"good", "lost"} else (0, b"")
        self._answer(*spoiled.get(fate, (status, answer)))

    do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 - http.server calls them so

    def _forwarded(self, body: bytes) -> tuple[int, bytes]:
        forward = http.client.HTTPConnection("127.0.0.1", self.server.proxy.port, timeout=30)
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
