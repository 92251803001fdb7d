"""[placement]: the Placement service that is kept equal to our accounts, and how notifications come to it."""

from __future__ import annotations

from keystoneauth1 import loading
from oslo_config import cfg

DAY = 86400
SERVICE_TYPE = "placement"
TIMEOUT = 30.0

GROUP = cfg.OptGroup(
    "placement",
    title="Placement",
    help="The Placement service that stocktake-placement keeps equal to our accounts. Options of keystoneauth1 say where "
    "it is and who we are: auth_type and what that asks for, or auth_type = none and endpoint_override.",
)

OPTS: tuple[cfg.Opt, ...] = (
    cfg.StrOpt(
        "topic",
        default="stocktake_placement",
        regex=r"^[A-Za-z0-9_.-]+$",
        max_length=200,
        help="Topic of the notifications that stocktake-placement takes, its own and nobody else's. It has to be among "
        "[oslo_messaging_notifications] topics of the workers.",
    ),
    cfg.StrOpt(
        "min_microversion",
        default="1.28",
        regex=r"^1\.\d{1,3}$",
        help="Oldest microversion of Placement to work with, 1.28 at least. The newest that both sides have is used; from "
        "1.38 on allocations tell the type of their consumer.",
    ),
    cfg.IntOpt(
        "batch_size",
        default=500,
        min=1,
        max=10000,
        help="Most notifications that are applied together. Several of one provider or consumer cost no more than the "
        "newest of them. Twice as many are fetched ahead.",
    ),
    cfg.FloatOpt(
        "batch_wait",
        default=0.1,
        min=0.0,
        max=10.0,
        help="Seconds to wait for a batch to fill up once it has a first notification.",
    ),
    cfg.IntOpt(
        "allocation_batch",
        default=50,
        min=1,
        max=1000,
        help="Most consumers whose allocations go to Placement in one request. The consumers of one instance always do.",
    ),
    cfg.IntOpt(
        "max_attempts",
        default=10,
        min=1,
        max=100,
        help="Times that a change is tried against others who change the same at that moment, before a longer wait.",
    ),
    cfg.FloatOpt(
        "retry_interval",
        default=60.0,
        min=0.1,
        max=float(DAY),
        help="Seconds between two tries of what Placement has refused, such as a provider whose name somebody else has. "
        "News of a provider that it touches have it tried at once.",
    ),
)


def library_opts() -> list[cfg.Opt]:
    """Return keystoneauth1's options that every auth_type has."""
    common = loading.get_auth_common_conf_options()
    session = loading.get_session_conf_options()
    adapter = loading.get_adapter_conf_options(include_deprecated=False)
    defaults = {"timeout": TIMEOUT, "service_type": SERVICE_TYPE, "valid_interfaces": ["internal", "public"]}
    for opt in (*session, *adapter):
        opt.default = defaults.get(opt.dest, opt.default)
    return [*common, *session, *adapter]


def register_library_opts(conf: cfg.ConfigOpts) -> None:
    """Register keystoneauth1's options of [placement]; those of the auth_type come with it."""
    conf.register_opts(library_opts(), group=GROUP.name)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return keystoneauth1's options with those of ``auth_type = password``, for oslo-config-generator."""
    known = library_opts()
    named = {opt.dest for opt in known}
    password = loading.get_auth_plugin_conf_options("password")
    return [(GROUP.name, [*known, *(opt for opt in password if opt.dest not in named)])]
