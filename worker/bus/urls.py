"""One ``transport_url`` for oslo.messaging and for us: what kombu needs to reach the same broker in the same way."""

from __future__ import annotations

import dataclasses
import ssl
from typing import Any

import oslo_messaging
from oslo_config import cfg

from worker import errors

RABBIT = "rabbit"
MEMORY = "kombu+memory"
FAKE = "fake"
SCHEMES = (RABBIT, MEMORY, FAKE)

CONNECT_TIMEOUT = 5.0
"""Seconds for one host, per step of connecting."""

_RABBIT_GROUP = "oslo_messaging_rabbit"
_NOTIFICATION_GROUP = "oslo_messaging_notifications"
_TLS_VERSIONS = ("TLSv1", "SSLv23", "TLSv1_1", "TLSv1_2")  # oslo's words; SSLv2 and SSLv3 are no longer in Python


@dataclasses.dataclass(frozen=True, slots=True)
class Bus:
    """Where the bus is: arguments of ``kombu.Connection``, one set per host, and the exchange everything goes through."""

    scheme: str
    connections: tuple[dict[str, Any], ...]
    exchange: str
    auto_delete: bool


def notification_url(conf: cfg.ConfigOpts) -> str | None:
    """Return the url that notifications have for themselves; None means the one of everything else."""
    url: str | None = conf[_NOTIFICATION_GROUP].transport_url
    return url


def scheme(conf: cfg.ConfigOpts, url: str | None = None) -> str:
    """Return the transport of ``url``, of ``transport_url`` by default; raises Misconfigured if it is none of ours."""
    found: str = _parse(conf, url).transport
    if found not in SCHEMES:
        raise errors.Misconfigured(
            f"transport_url: {found}:// is none of {', '.join(f'{name}://' for name in SCHEMES)}"
        )
    return found


def bus(conf: cfg.ConfigOpts, url: str | None = None) -> Bus:
    """Return how to reach the bus of ``rabbit://`` or ``kombu+memory://``; raises Misconfigured."""
    kind = scheme(conf, url)
    if kind == FAKE:
        raise errors.Misconfigured(
            "transport_url: fake:// has no broker to connect to; use rabbit:// or kombu+memory://"
        )
    parsed = _parse(conf, url)
    options = _options(conf, url)
    exchange = parsed.query.get("control_exchange") or conf.control_exchange
    if kind == MEMORY:
        connections = [{"hostname": "memory://", "transport_options": {"polling_interval": 0.01}}]
    else:
        hosts = parsed.hosts or [oslo_messaging.TransportHost(hostname="localhost")]
        connections = [_connection(host, parsed.virtual_host, options) for host in hosts]
    return Bus(kind, tuple(connections), exchange, options.amqp_auto_delete)


def _parse(conf: cfg.ConfigOpts, url: str | None) -> Any:
    try:
        return oslo_messaging.TransportURL.parse(conf, url)
    except (oslo_messaging.InvalidTransportURL, ValueError) as error:
        raise errors.Misconfigured(f"transport_url: {error}") from None


def _options(conf: cfg.ConfigOpts, url: str | None) -> Any:
    """The rabbit options with the query of the url over them; no connection is made."""
    try:
        return oslo_messaging.get_rpc_transport(conf, url).conf[_RABBIT_GROUP]
    except (oslo_messaging.DriverLoadFailure, cfg.Error, ValueError, RuntimeError) as error:
        raise errors.Misconfigured(f"transport_url: {error}") from None


def _connection(host: Any, virtual_host: str | None, options: Any) -> dict[str, Any]:
    return {
        "hostname": _bracketed(host.hostname or "localhost"),
        "port": host.port or 5672,
        "userid": host.username or None,
        "password": host.password or None,
        "virtual_host": virtual_host or "/",
        "transport": "pyamqp",
        "ssl": _ssl(host.hostname, options),
        "login_method": options.rabbit_login_method,
        "heartbeat": options.heartbeat_timeout_threshold,
        "connect_timeout": CONNECT_TIMEOUT,
    }


def _bracketed(hostname: str) -> str:
    return f"[{hostname}]" if ":" in hostname and not hostname.startswith("[") else hostname


def _ssl(hostname: str | None, options: Any) -> bool | dict[str, Any]:
    """TLS arguments as oslo.messaging gives them, but with the name of this host where none is configured."""
    if not options.ssl:
        return False
    files = {"keyfile": options.ssl_key_file, "certfile": options.ssl_cert_file, "ca_certs": options.ssl_ca_file}
    arguments: dict[str, Any] = {name: path for name, path in files.items() if path}
    if options.ssl_version:
        arguments["ssl_version"] = _ssl_version(options.ssl_version)
    if options.ssl_ca_file:
        arguments["cert_reqs"] = ssl.CERT_REQUIRED
        arguments["server_hostname"] = hostname
    return arguments or True


def _ssl_version(name: str) -> Any:
    for known in _TLS_VERSIONS:
        if known.lower() == name.lower():
            return getattr(ssl, f"PROTOCOL_{known}")
    raise errors.Misconfigured(f"[{_RABBIT_GROUP}] ssl_version: {name} is none of {', '.join(_TLS_VERSIONS)}")
