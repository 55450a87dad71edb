"""The command `snakemake` of this clone's environment: Snakemake's own, with profiles in `profiles/` and stage lines.

Snakemake itself finds `--profile slurm` in `./slurm`, the user's and the site's configuration folder only; its
`--workflow-profile` looks into `profiles/` already. `envs/set-up` puts this command into the environment.
"""

import gc
import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import yaml

from workflow_lib.errors import UserError
from workflow_lib.files import read_yaml


def main() -> None:
    """Run Snakemake on the arguments of this process."""
    from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

    from workflow_lib.run import terminal

    LoggerPluginRegistry().register_plugin("stages", terminal)
    # The DAG lives as long as the process: searching it for garbage takes a tenth of the planning time. Young objects
    # are searched still, or the tasks of asyncio that Snakemake leaves behind would slow down each new one.
    gc.set_threshold(50_000, 20, 1_000)
    from snakemake.cli import main as snakemake

    sys.argv[1:] = ["--logger=stages", *with_profile_paths(sys.argv[1:], Path.cwd())]
    try:
        check_profiles(sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))
    sys.exit(snakemake())


def with_profile_paths(arguments: Sequence[str], folder: Path) -> list[str]:
    """The arguments, with `profiles/<name>` for `--profile <name>` where the folder has it.

    A path in the folder named `<name>` comes first, as in Snakemake's own search.
    """
    found, previous, end = [], "", (*arguments, "--").index("--")
    for argument in arguments[:end]:
        name, sign, value = argument.partition("=")
        if previous == "--profile":
            found.append(_place(argument, folder))
        elif name == "--profile" and sign:
            found.append(f"--profile={_place(value, folder)}")
        else:
            found.append(argument)
        previous = argument
    return [*found, *arguments[end:]]


def check_profiles(arguments: Sequence[str]) -> None:
    """UserError for keys that stand twice in a profile, of which Snakemake keeps the last without a word."""
    from snakemake.cli import get_profile_dir

    parser = ArgumentParser(add_help=False)
    parser.add_argument("--profile", action="append", nargs="?")
    named = parser.parse_known_args(arguments)[0].profile or [os.environ.get("SNAKEMAKE_PROFILE")]
    for found in [get_profile_dir(name) for name in named if name]:
        with suppress(OSError, UnicodeDecodeError, yaml.YAMLError):  # Snakemake itself refuses it
            if found:
                read_yaml(found[1])


def _place(name: str, folder: Path) -> str:
    here = Path("profiles", name)
    is_name = bool(name) and "/" not in name and not (folder / name).exists()
    return str(here) if is_name and (folder / here / "config.yaml").is_file() else name
