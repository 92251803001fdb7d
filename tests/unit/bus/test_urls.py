"""One transport_url for oslo.messaging and for kombu."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from tests import bus_sides
from worker import errors
from worker.bus import connect, listener, urls


def _hosts(url: str, **rabbit: Any) -> tuple[dict[str, Any], ...]:
    conf = bus_sides.conf_for(url)
    for name, value in rabbit.items():
        conf.set_override(name, value, group="oslo_messaging_rabbit")
    return urls.bus(conf).connections


def test_a_plain_url_gives_one_host() -> None:
    (host,) = _hosts("rabbit://me:secret@broker:5673/cloud")

    assert host == {
        "hostname": "broker",
        "port": 5673,
        "userid": "me",
        "password": "secret",
        "virtual_host": "cloud",
        "transport": "pyamqp",
        "ssl": False,
        "login_method": "AMQPLAIN",
        "heartbeat": 60,
        "connect_timeout": 5.0,
    }


def test_what_is_quoted_in_the_url_is_plain_for_kombu() -> None:
    (host,) = _hosts("rabbit://a%40b:p%2Fw%3A%25@broker/v%2Fh")

    assert (host["userid"], host["password"], host["virtual_host"]) == ("a@b", "p/w:%", "v/h")


@pytest.mark.parametrize("path", ["", "/", "//", "/%2F"])
def test_the_root_virtual_host_has_several_spellings(path: str) -> None:
    (host,) = _hosts(f"rabbit://broker{path}")

    assert host["virtual_host"] == "/"


def test_a_literal_ipv6_host_gets_its_brackets() -> None:
    (host,) = _hosts("rabbit://me:pw@[::1]:5673/")

    assert (host["hostname"], host["port"]) == ("[::1]", 5673)


def test_each_host_has_its_own_credentials_and_name_for_tls() -> None:
    first, second = _hosts("rabbit://a:1@one:5671,b:2@two:5671/", ssl=True, ssl_ca_file="/ca.pem")

    assert [(host["hostname"], host["userid"], host["password"]) for host in (first, second)] == [
        ("one", "a", "1"),
        ("two", "b", "2"),
    ]
    assert [host["ssl"]["server_hostname"] for host in (first, second)] == ["one", "two"]
    assert first["ssl"]["cert_reqs"] == ssl.CERT_REQUIRED


def test_tls_without_files_trusts_the_system() -> None:
    (host,) = _hosts("rabbit://broker/", ssl=True)

    assert host["ssl"] is True


def test_a_client_certificate_stands_for_credentials() -> None:
    (host,) = _hosts(
        "rabbit://broker/", ssl=True, ssl_key_file="/k", ssl_cert_file="/c", rabbit_login_method="EXTERNAL"
    )

    assert host["ssl"] == {"keyfile": "/k", "certfile": "/c"}
    assert (host["login_method"], host["userid"], host["password"]) == ("EXTERNAL", None, None)


def test_the_tls_version_is_one_of_oslos_words() -> None:
    (host,) = _hosts("rabbit://broker/", ssl=True, ssl_version="TLSv1_2")

    assert host["ssl"] == {"ssl_version": ssl.PROTOCOL_TLSv1_2}


def test_an_unknown_tls_version_is_named_with_its_option() -> None:
    with pytest.raises(errors.Misconfigured, match=r"\[oslo_messaging_rabbit\] ssl_version: SSLv9"):
        _hosts("rabbit://broker/", ssl=True, ssl_version="SSLv9")


def test_the_query_of_the_url_overrides_the_options() -> None:
    (host,) = _hosts("rabbit://broker/?heartbeat_timeout_threshold=7", heartbeat_timeout_threshold=30)

    assert host["heartbeat"] == 7


def test_an_unknown_option_in_the_query_is_refused() -> None:
    with pytest.raises(errors.Misconfigured, match=r"transport_url: .*no_such_thing"):
        _hosts("rabbit://broker/?no_such_thing=7")


def test_kombus_transport_needs_no_host() -> None:
    (host,) = _hosts("kombu+memory://")

    assert host["hostname"] == "memory://"


def test_the_exchange_is_the_control_exchange() -> None:
    conf = bus_sides.conf_for("rabbit://broker/", control_exchange="other")

    assert urls.bus(conf).exchange == "other"


def test_fake_has_no_broker() -> None:
    with pytest.raises(errors.Misconfigured, match="transport_url: fake://"):
        urls.bus(bus_sides.conf_for("fake://"))


@pytest.mark.parametrize("url", ["amqp1://broker/", "kafka://broker/", "sqlite://"])
def test_an_unknown_transport_is_refused_by_both_ends(url: str) -> None:
    conf = bus_sides.conf_for(url)

    with pytest.raises(errors.Misconfigured, match=r"transport_url: .* is none of rabbit://"):
        connect.consumer(conf, "accounts", 1, 0.1)
    with pytest.raises(errors.Misconfigured, match=r"transport_url: .* is none of rabbit://"):
        connect.publisher(conf)


@pytest.mark.parametrize("url", ["", "broker:5672", "rabbit://a:b@broker:port/"])
def test_a_url_that_is_none_is_refused_without_showing_a_password(url: str) -> None:
    with pytest.raises(errors.Misconfigured, match=r"^transport_url: ") as refused:
        urls.scheme(bus_sides.conf_for("rabbit://broker/"), url or "//:")

    assert "a:b" not in str(refused.value)


def test_the_listener_for_fake_refuses_a_real_broker() -> None:
    conf = bus_sides.conf_for("rabbit://broker/")

    with pytest.raises(errors.Misconfigured, match="fake:// only"):
        listener.FakeConsumer(conf, "accounts", 1, 0.1)
    with pytest.raises(errors.Misconfigured, match="fake:// only"):
        listener.FakePublisher(conf, ["t"])


def test_notifications_may_have_a_bus_of_their_own() -> None:
    conf = bus_sides.conf_for("rabbit://broker/")
    conf.set_override("transport_url", "fake://", group="oslo_messaging_notifications")

    publisher = connect.publisher(conf)

    assert isinstance(publisher, listener.FakePublisher)
