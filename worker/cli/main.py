"""The command ``stocktake``: oslo.config's options first, then a subcommand, one clear line for whatever goes wrong."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib import metadata

from cliff import app as cliff_app
from cliff import command as cliff_command
from cliff import commandmanager
from oslo_config import cfg

from worker import conf as options
from worker import errors
from worker.cli import failures

NAMESPACE = "stocktake.cli"
UNCONFIGURED = ("complete", "help")
"""Commands that read no configuration."""
EMBEDDED = ("demo", "replay")
"""Commands that read only the files they are given: an installed configuration must not reach a real cloud's books."""

USAGE = "stocktake [OPTION ...] COMMAND [ARGUMENT ...]"
EPILOG = """\
"stocktake COMMAND --help" tells of a command. "-f json" among its arguments makes what it shows JSON.
Exit codes: 0 done, 1 refused or something was found wrong, 2 usage, configuration, or a database or a bus that cannot be
reached.
"""
CONFIG_FILE_HELP = "Read options from a file, stocktake.conf in ~/.stocktake, ~, /etc/stocktake or /etc by default."

_LOG_LEVELS = (logging.ERROR, logging.ERROR, logging.INFO, logging.DEBUG)
"""By -q, nothing, -v, -vv: what a command has to say goes to standard output."""


class Stocktake(cliff_app.App):
    """The application; ``conf`` is configured once the command line is read."""

    NAME = "stocktake"

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        """Take the options' home; it is empty yet."""
        super().__init__(
            description="Accounts of what every compute node of a cloud is used for.",
            version=metadata.version("stocktake"),
            command_manager=commandmanager.CommandManager(NAMESPACE),
            deferred_help=True,  # or "stocktake node show --help" would not tell of that command
        )
        self.conf = conf
        self.files_given = False
        self._code: int | None = None

    def build_option_parser(
        self, description: str | None, version: str | None, argparse_kwargs: dict[str, object] | None = None
    ) -> argparse.ArgumentParser:
        """Return the parser of what comes before the subcommand."""
        own = {"allow_abbrev": False, "usage": USAGE, "epilog": EPILOG}
        parser = super().build_option_parser(description, version, {**own, **(argparse_kwargs or {})})
        said = parser.add_argument_group("configuration")
        said.add_argument("--config-file", metavar="PATH", action="append", default=[], help=CONFIG_FILE_HELP)
        said.add_argument(
            "--config-dir", metavar="DIR", action="append", default=[], help="Read options from the *.conf of a folder."
        )
        return failures.in_one_line(parser)

    def configure_logging(self) -> None:
        """Show errors, more with -v, everything with -vv or --debug: what a command says goes to standard output."""
        verbose = len(_LOG_LEVELS) - 1 if self.options.debug else self.options.verbose_level
        level = _LOG_LEVELS[min(verbose, len(_LOG_LEVELS) - 1)]
        handlers: list[logging.Handler] = [logging.StreamHandler(self.stderr)]
        if self.options.log_file:
            handlers.append(logging.FileHandler(self.options.log_file))
        for handler in handlers:
            handler.setFormatter(failures.OneLine(tracebacks=self.options.debug))
            handler.setLevel(level)
        root = logging.getLogger()
        root.handlers[:] = handlers
        root.setLevel(level)

    def initialize_app(self, argv: list[str]) -> None:
        """Read the configuration that the command needs, or say what is wrong with the command line."""
        try:
            self._prepare(argv)
        except Exception as error:
            self._code = failures.exit_code(error)
            raise

    def _prepare(self, argv: Sequence[str]) -> None:
        if self.options.deferred_help:  # of the application: cliff shows it next
            return
        name = self._find(argv)
        self.files_given = bool(self.options.config_file or self.options.config_dir)
        if name not in UNCONFIGURED:
            own: dict[str, list[str]] = {"default_config_files": [], "default_config_dirs": []}
            options.configure(self.conf, self._oslo_arguments(), prog=self.NAME, **(own if name in EMBEDDED else {}))

    def run(self, argv: list[str]) -> int:
        """Carry out the command line and return the exit code."""
        try:
            result = super().run(argv)
        except errors.StocktakeError:
            # --debug: cliff has shown where it comes from and raises it again
            result = failures.REFUSED
        return result if self._code is None else self._code

    def clean_up(self, cmd: cliff_command.Command, result: int, err: BaseException | None) -> None:  # noqa: ARG002
        """Turn what went wrong into the exit code; cliff has written it to standard error."""
        if isinstance(err, Exception):
            self._code = failures.exit_code(err)

    def _oslo_arguments(self) -> list[str]:
        files = [f"--config-file={path}" for path in self.options.config_file]
        return files + [f"--config-dir={path}" for path in self.options.config_dir]

    def _find(self, argv: Sequence[str]) -> str:
        """Return the name of the command that is meant; raises Misconfigured."""
        if not argv:
            raise errors.Misconfigured("which command? see stocktake --help")
        names = {name for name, _ in self.command_manager}
        for words in (" ".join(argv[:2]), argv[0]):
            if words in names:
                return words
        near = sorted(name for name in names if name.split()[0] == argv[0])
        told = f"there is {', '.join(near)}" if near else "see stocktake --help"
        raise errors.Misconfigured(f"{' '.join(argv[:2])}: is not a command; {told}")


def run(argv: Sequence[str], conf: cfg.ConfigOpts) -> int:
    """Carry out a command line and return the exit code: 0 done, 1 refused or findings, 2 usage or configuration."""
    return Stocktake(conf).run(list(argv))


def main() -> int:
    """Be the command ``stocktake``."""
    # oslo.messaging registers its tracing options on the global object only, so that one is handed down
    return run(sys.argv[1:], cfg.CONF)  # noqa: TID251 - the composition root


if __name__ == "__main__":
    sys.exit(main())
