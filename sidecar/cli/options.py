"""The flags of the settings, for the commands that need settings; their table is ``sidecar.config.SETTINGS``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Mapping

from sidecar.cli.parser import SETTING
from sidecar.config import SETTINGS, Config, Surroundings
from sidecar.config import load as load_config
from sidecar.config.settings import SECTIONS
from sidecar.secrets import MASKER


def add_settings(parser: argparse.ArgumentParser, *, shown: Collection[str] | None = None) -> None:
    """Give a command ``--config`` and a flag for each setting.

    ``shown`` names the sections that its help lists; the flags of others work all the same, so that one set of flags
    fits every command. None lists all.
    """
    head = parser.add_argument_group("settings", "they win over the environment, which wins over the file")
    head.add_argument("--config", metavar="FILE.yaml", help="file with settings")
    groups = {"": head}
    for setting in SETTINGS.values():
        section = setting.section
        visible = shown is None or section in shown
        if section not in groups and visible:
            groups[section] = parser.add_argument_group(section, (SECTIONS[section].__doc__ or "").splitlines()[0])
        groups.get(section, head).add_argument(
            setting.flag,
            dest=SETTING + setting.name,
            metavar=setting.kind.metavar,
            help=_help(setting.help, setting.shown_default or setting.default) if visible else argparse.SUPPRESS,
        )
    if shown is not None:
        head.description = f"{head.description}; every setting of 'run --help' is taken"


def load(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Config:
    """Return the effective settings of a command; raises ``Misconfigured`` with every fault."""
    flags = {
        dest.removeprefix(SETTING): text
        for dest, text in vars(arguments).items()
        if dest.startswith(SETTING) and text is not None
    }
    return load_config(flags, file=arguments.config, surroundings=Surroundings(environ=environ))


def load_and_warn(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Config:
    """Return the effective settings of a command that writes no log: names that are no settings are told on stderr.

    Not what Kubernetes injects for a Service, for whoever types a command in a pod cannot help that. Nor what is odd
    and works: ``run`` and ``check-config`` tell it.
    """
    config = load(arguments, environ)
    for mistake in config.mistakes:
        sys.stderr.write(MASKER.mask(f"warning: {mistake}\n"))
    return config


def _help(meaning: str, default: str) -> str:
    return f"{meaning} (default: {default})".replace("%", "%%") if default else meaning.replace("%", "%%")
