"""Runs a real Placement as a server process of its own: ``python -m tests.placement --port 8778``.

Its database is given as a URL and made if it is empty; without one it is a SQLite file of the moment. There is no
Keystone: the token is the user, and ``admin`` may do everything, which is ``auth_type = admin_token``, ``token = admin``.
With ``--open`` everybody may, which is ``auth_type = none``. SIGTERM ends it.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import signal
import sys
import tempfile

import waitress
from placement import wsgi

RULES = ("admin_api", "admin_or_service_api", "admin_or_project_reader_or_service_api")
CONFIGURATION = """\
[api]
auth_strategy = noauth2
[placement_database]
connection = {url}
sync_on_startup = true
[oslo_policy]
policy_file = {rules}
"""


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m tests.placement", description=__doc__)
    parser.add_argument("--port", type=int, default=8778, help="on 127.0.0.1")
    parser.add_argument("--database", metavar="URL", help="as SQLAlchemy writes it; SQLite without it")
    parser.add_argument("--open", action="store_true", help="let everybody do everything")
    said = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="placement-") as folder:
        _serve(said.port, said.database, pathlib.Path(folder), everybody=said.open)


def _serve(port: int, database: str | None, folder: pathlib.Path, *, everybody: bool) -> None:
    url = database or f"sqlite:///{folder / 'placement.db'}"
    rules = folder / "policy.yaml"
    rules.write_text("".join(f'"{name}": "{"@" if everybody else "role:admin"}"\n' for name in RULES), encoding="utf-8")
    (folder / "placement.conf").write_text(CONFIGURATION.format(url=url, rules=rules), encoding="utf-8")
    os.environ["OS_PLACEMENT_CONFIG_DIR"] = str(folder)
    # SQLite takes one writer at a time, and Placement answers 500 to a second one
    threads = 1 if url.startswith("sqlite") else 4
    waitress.serve(wsgi.init_application(), host="127.0.0.1", port=port, threads=threads, _quiet=True)


if __name__ == "__main__":
    main()
