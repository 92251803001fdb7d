"""What a child process is told, and the configuration that all of them work with."""

from __future__ import annotations

import dataclasses

from oslo_config import cfg

from worker import conf as options


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """One measurement: which server, on which bus and database, with how many casts about how many nodes.

    ``rows`` are the tables that the floor writes, with how many rows each; ``source`` is the database they are in.
    """

    server: str
    transport_url: str
    database_url: str
    casts: int
    nodes: int
    rows: dict[str, int] = dataclasses.field(default_factory=dict)
    source: str = ""
    stamps: bool = False

    @property
    def database(self) -> str:
        """The name of the database."""
        return self.database_url.rpartition("/")[2]


def configured(task: Task) -> cfg.ConfigOpts:
    """Return the defaults of stocktake on the task's bus and database."""
    conf = cfg.CONF  # noqa: TID251 - oslo.messaging knows some of its options on the global object only
    options.configure(conf, [], default_config_files=[], default_config_dirs=[])
    conf.set_override("transport_url", task.transport_url)
    conf.set_override("connection", task.database_url, group="database")
    return conf
