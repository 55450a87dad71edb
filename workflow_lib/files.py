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
        if repeated := [f"{path}: {fault}" for fault in repeated_keys(loader, node)]:
            raise UserError("\n".join(repeated))
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def repeated_keys(loader: Any, root: yaml.Node | None) -> Iterator[str]:
    """Each key that stands more than once in a mapping below a node; `<<` may, since all of them are merged."""
    waiting, seen = [("", root)] if root else [], set()
    while waiting:
        place, node = waiting.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += reversed([(f"{place}[{number}]", item) for number, item in enumerate(node.value)])
        if not isinstance(node, yaml.MappingNode):
            continue
        pairs = [(f"{place}.{key.value}" if place else str(key.value), key, value) for key, value in node.value]
        waiting += [(name, value) for name, _, value in reversed(pairs)]
        keys: dict[Any, list[tuple[str, int]]] = {}
        for name, key, _ in pairs:
            if isinstance(key, yaml.ScalarNode) and key.tag != MERGE:
                # As Python objects: 'a' is a, and 5 is not '5'.
                keys.setdefault(loader.construct_object(key), []).append((name, key.start_mark.line + 1))
        for (name, first), *others in keys.values():
            if others:
                *lines, last = [first, *(line for _, line in others)]
                yield f"duplicate key {name} (lines {', '.join(map(str, lines))} and {last}): keep one"


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
