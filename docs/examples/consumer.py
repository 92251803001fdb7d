"""Prints what every node is used for, as it changes: python consumer.py 'rabbit://…/?rabbit_quorum_queue=true'."""

import sys
import threading

import oslo_messaging
from oslo_config import cfg

from worker import listening


def handle(told: listening.Notification) -> None:
    """Take a notification that has not come before."""
    if told.event_type.startswith("resource_provider.") and not told.late:
        used = {name: figures["used"] for name, figures in told.payload["usages"].items()}
        print(f"{told.payload['name']} {told.payload['sequence']} {used}", flush=True)


def ask(gap: listening.Gap) -> None:
    """Tell the operator how to have sent again what is missing."""
    print(f"{gap.first} to {gap.last} are missing: {gap.command}", flush=True)


if __name__ == "__main__":
    cfg.CONF([], project="consumer", default_config_files=[], default_config_dirs=[])
    transport = oslo_messaging.get_notification_transport(cfg.CONF, sys.argv[1])
    with listening.Listener(transport, ["stocktake_notifications"], listening.Endpoint(handle, ask)):
        threading.Event().wait()
