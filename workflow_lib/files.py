"""What every stage does with files: read YAML, write CSV, let a file appear whole or not at all."""

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from workflow_lib.errors import UserError

MERGE = "tag:yaml.org,2002:merge"


def read_yaml(path: Path) -> Any:
    """What a file holds.

    UserError for keys that stand twice in a mapping, of which YAML readers keep the last: a line for each, with its
    line numbers. OSError, UnicodeDecodeError, yaml.YAMLError: not there, not UTF-8, not YAML.
    """
    # libyaml where it is built in is ten times as fast, at the start of each job.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(path.read_text(encoding="utf-8"))
    try:
        node = loader.get_single_node()
        repeated = [f"{path}: {fault}" for fault in _repeated_keys(loader, node, "", set())]
        if repeated:
            raise UserError("\n".join(repeated))
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _repeated_keys(loader: Any, node: yaml.Node | None, place: str, seen: set[int]) -> Iterator[str]:
    """Each key that stands more than once in a mapping of a tree; `<<` may, since all of them are merged."""
    if node is None or id(node) in seen:  # an alias
        return
    seen.add(id(node))
    below: list[tuple[str, yaml.Node]] = []
    keys: dict[Any, list[yaml.Node]] = {}
    if isinstance(node, yaml.SequenceNode):
        below = [(f"{place}[{number}]", item) for number, item in enumerate(node.value)]
    elif isinstance(node, yaml.MappingNode):
        below = [(f"{place}.{key.value}" if place else str(key.value), value) for key, value in node.value]
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != MERGE:
                keys.setdefault(loader.construct_object(key), []).append(key)  # 'a' is a; '5' is text, and 5 is not
    for found in keys.values():
        if len(found) > 1:
            name = f"{place}.{found[0].value}" if place else found[0].value
            *lines, last = dict.fromkeys(str(key.start_mark.line + 1) for key in found)
            where = f"lines {', '.join(lines)} and {last}" if lines else f"line {last}"
            yield f"{name} stands {'twice' if len(found) == 2 else f'{len(found)} times'}, in {where}: keep one"
    for name, item in below:
        yield from _repeated_keys(loader, item, name, seen)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table with one header and LF line ends."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden path beside `path` to write to; it takes the place of `path` at the end, or is removed on an error.

    The process number in its name keeps two processes that write the same file apart.
    """
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
