"""``python -m tests.chaos --seed N --seconds S [--faults a,b,c]``: workers under load on services that fail.

It starts a RabbitMQ, a PostgreSQL and two daemons of its own, and ends them. The same seed gives the same casts and the
same faults at the same times. Exit code 0: everything is as the plain model says; 1: what is not is told; 2: something
that is needed is missing.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
import warnings

from tests.chaos import programs, schedule


def main() -> int:
    """Be the command."""
    said = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    order = runs.Order(said.seed, said.seconds, said.faults, said.rate, said.keep)
    _say(
        f"seed {order.seed}, {order.seconds:g} s, {order.rate:g} casts a second, faults: {','.join(order.kinds) or 'none'}"
    )
    began = time.monotonic()
    try:
        report = runs.run(order, _say)
    except programs.Missing as error:
        _say(f"missing: {error}")
        return 2
    except KeyboardInterrupt:
        _say("interrupted: everything is ended")
        return 1
    _show(report, time.monotonic() - began)
    return int(bool(report.differences))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the casts and of the faults")
    parser.add_argument("--seconds", type=float, default=60, help="for which faults are done; the end takes longer")
    parser.add_argument(
        "--faults", type=_kinds, default=tuple(schedule.KINDS), metavar="A,B", help=f"of {','.join(schedule.KINDS)}"
    )
    parser.add_argument("--rate", type=float, default=100, help="casts a second")
    parser.add_argument("--keep", action="store_true", help="keep the logs of a good run, too")
    return parser.parse_args()


def _kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(name for name in text.split(",") if name)
    unknown = sorted({*kinds} - {*schedule.KINDS})
    if unknown:
        raise argparse.ArgumentTypeError(f"no such fault: {', '.join(unknown)}; there are {', '.join(schedule.KINDS)}")
    return kinds


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _show(report: runs.Report, seconds: float) -> None:
    rows: dict[str, object] = {f"fault: {kind}": count for kind, count in sorted(report.faults.items())}
    rows |= report.figures | {"seconds in all": round(seconds, 1)}
    for name, value in rows.items():
        _say(f"{name:34} {value}")
    for line in report.differences:
        _say(f"DIFFERENCE {line}")
    _say(f"{len(report.differences)} differences")


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what oslo.messaging brings in has something to say about itself
    from tests.chaos import runs

if __name__ == "__main__":
    sys.exit(main())
