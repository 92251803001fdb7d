"""The services that some tests need: where they are, and what happens when one is not there."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator
from urllib import parse

import pytest

URLS = {
    "rabbitmq": "rabbit://guest:guest@127.0.0.1:5672/",
    "postgresql": "postgresql+psycopg://postgres@127.0.0.1:5432/postgres",
    "mariadb": "mysql+pymysql://root@127.0.0.1:3306/",
}


def require(name: str) -> str:
    """Return the url of a service; without it the test is skipped at home and fails in CI."""
    url = os.environ.get(f"STOCKTAKE_TEST_{name.upper()}", URLS[name])
    at = parse.urlsplit(url)
    try:
        socket.create_connection((at.hostname or "", at.port or 0), timeout=2).close()
    except OSError as error:
        missing(f"no {name} at {at.hostname}:{at.port}: {error}")
    return url


@contextlib.contextmanager
def rabbit_vhost() -> Iterator[str]:
    """Lend a virtual host of RabbitMQ of its own, as a transport_url."""
    url = require("rabbitmq")
    name = f"stocktake_{uuid.uuid4().hex[:12]}"
    rabbitmqctl("add_vhost", name)
    try:
        rabbitmqctl("set_permissions", "-p", name, parse.urlsplit(url).username or "guest", ".*", ".*", ".*")
        yield parse.urlsplit(url)._replace(path=f"/{name}").geturl()
    finally:
        rabbitmqctl("delete_vhost", name)


def rabbitmqctl(*arguments: str) -> str:
    """Run RabbitMQ's own command on this machine's broker."""
    command = shutil.which("rabbitmqctl", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if command is None:
        missing("no rabbitmqctl on this machine")
    done = subprocess.run([str(command), "-q", *arguments], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        missing(f"rabbitmqctl {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


def missing(reason: str) -> None:
    """Skip a test at home, and fail it in CI, where everything must be there."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
