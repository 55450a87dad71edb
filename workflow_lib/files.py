"""Files that every stage reads or writes: YAML and CSV."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

# libyaml where it is built in is ten times as fast, at the start of each job.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: Path) -> Any:
    """What a file holds. OSError, UnicodeDecodeError, yaml.YAMLError: not there, not UTF-8, not YAML."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table with one header and LF line ends."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
