"""The one place that chooses a transport by the scheme of ``transport_url``."""

from __future__ import annotations

from collections.abc import Callable

from oslo_config import cfg

from worker import interfaces
from worker.bus import consumer as rabbit_consumer
from worker.bus import listener, topology, urls
from worker.bus import publisher as rabbit_publisher


def consumer(conf: cfg.ConfigOpts, topic: str, batch_size: int, batch_wait: float) -> interfaces.Consumer:
    """Return the consumer of a topic for ``transport_url``, not yet open; ``batch_wait`` in seconds. Misconfigured."""
    if urls.scheme(conf) == urls.FAKE:
        return listener.FakeConsumer(conf, topic, batch_size, batch_wait)
    return rabbit_consumer.RabbitConsumer(urls.bus(conf), topic, batch_size, batch_wait)


def notifications(conf: cfg.ConfigOpts, topic: str, batch_size: int, batch_wait: float) -> interfaces.Consumer:
    """Return the consumer of a topic's notifications of every priority, not yet open. Raises Misconfigured."""
    bus = urls.bus(conf, urls.notification_url(conf))
    queues = topology.notification_queues([topic])
    return rabbit_consumer.RabbitConsumer(bus, topic, batch_size, batch_wait, queues)


def publisher(conf: cfg.ConfigOpts, meanwhile: Callable[[], None] | None = None) -> interfaces.Publisher:
    """Return the publisher of notifications, not yet open; ``[oslo_messaging_notifications] transport_url`` counts.

    ``meanwhile`` is called now and then while a broker is waited for.
    """
    url = urls.notification_url(conf)
    topics = conf.oslo_messaging_notifications.topics
    if urls.scheme(conf, url) == urls.FAKE:
        return listener.FakePublisher(conf, topics)
    made = rabbit_publisher.RabbitPublisher(urls.bus(conf, url), topics)
    if meanwhile is not None:
        made.meanwhile = meanwhile
    return made
