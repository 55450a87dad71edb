"""The published sets: which record and which archive holds which machine. Imported while the DAG is built."""

import logging
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from workflow_lib.errors import UserError, and_more
from workflow_lib.files import read_yaml

log = logging.getLogger(__name__)
SETS = Path(__file__).with_name("sets.yaml")
# A set of a year and the parts that it is made of; the splits that the archives of a part hold.
KINDS = {"dev": ("dev",), "eval": ("add_train", "eval_test")}
SPLITS = {"dev": ("train", "test"), "add_train": ("train",), "eval_test": ("test",)}


@dataclass(frozen=True)
class SetPart:
    """One record: an archive for each machine."""

    name: str  # dev, add_train or eval_test
    record: int
    archives: Mapping[str, str]  # machine -> archive

    @property
    def splits(self) -> tuple[str, ...]:
        """Folders of a machine that its archive holds."""
        return SPLITS[self.name]

    def archive(self, machine: str, listed: Collection[str]) -> str:
        """The archive of a machine among the files of the record, whose own list decides over the name noted here.

        Archives are replaced now and then (`dev_ToyCar_r2.zip`); UserError unless exactly one file can be meant.
        """
        noted = self.archives[machine]
        if noted in listed:
            return noted
        found = [name for name in listed if re.fullmatch(rf"(?:.*_)?{re.escape(machine)}(?:_.*)?\.zip", name)]
        if len(found) == 1:
            log.warning("record %d has %s in place of %s", self.record, found[0], noted)
            return found[0]
        has = f"it has {and_more(sorted(found or listed), 20)}"
        advice = "look at its page; leave the machine out with suites.<name>.machines"
        raise UserError(f"record {self.record} has no file {noted} ({machine}): {has}: {advice}")


@dataclass(frozen=True)
class PublishedSet:
    """What a suite can be fetched from, such as dcase2026/dev."""

    name: str
    channels: int
    parts: tuple[SetPart, ...]

    @property
    def machines(self) -> tuple[str, ...]:
        return tuple(self.parts[0].archives)

    @property
    def labelled(self) -> bool:
        """Whether the names of the test clips carry labels."""
        return self.name.endswith("/dev")

    def part(self, name: str) -> SetPart:
        """The part of a name: dev, add_train or eval_test."""
        return next(part for part in self.parts if part.name == name)


@cache
def published_sets() -> dict[str, PublishedSet]:
    """All sets by name."""
    sets = [_set(year, kind, facts) for year, facts in read_yaml(SETS).items() for kind in KINDS]
    return {published.name: published for published in sets}


def _set(year: int, kind: str, facts: Mapping) -> PublishedSet:
    parts = tuple(SetPart(name, facts[name]["record"], facts[name]["archives"]) for name in KINDS[kind])
    return PublishedSet(f"dcase{year}/{kind}", facts["channels"], parts)
