"""Labels of an evaluation set from the file that is published with the results: eval_data_list_<year>.csv.

A row of one cell opens the block of a machine; below it are published and true names of its clips:
`section_00_0000.wav,section_00_target_test_anomaly_0012_noAttribute.wav`. Standard library only: the DAG imports it.
"""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from workflow_lib.dataset.clip_name import CLIP_SUFFIXES, ClipName, parse_clip_name
from workflow_lib.errors import UserError

Truth = Mapping[str, ClipName]  # published clip name -> its true name
FORM = "write <published name>.wav,<true name>.wav below a line with the machine's name"


def read_ground_truth(path: str | Path) -> dict[str, dict[str, ClipName]]:
    """The true names of each machine's test clips; UserError names the line that is wrong."""
    truth: dict[str, dict[str, ClipName]] = {}
    machine = None
    for where, cells in _rows(Path(path)):
        if len(cells) == 1:
            machine = cells[0]
            if machine.lower().endswith(CLIP_SUFFIXES):
                raise UserError(f"{where}: {machine} stands alone, one of its two names is lost: {FORM}")
            if machine in truth:
                raise UserError(f"{where}: a second block of {machine}: join the two")
            truth[machine] = {}
        elif machine is None:
            raise UserError(f"{where}: a clip before any machine: {FORM}")
        else:
            _add(truth[machine], cells[0], cells[1], where)
    if not truth:
        raise UserError(f"{path}: no ground truth in it: {FORM}")
    return truth


def truth_of(path: str | Path | None, machine: str) -> Truth | None:
    """True names of one machine; None without a file, UserError if the machine is not in it."""
    if path is None:
        return None
    truth = read_ground_truth(path)
    if machine not in truth:
        raise UserError(f"{path}: no block of {machine}, but of {', '.join(truth)}: add it, or leave the machine out")
    return truth[machine]


def _rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Place and filled cells of each row, without blank rows and the empty cells of spreadsheets."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            for row in reader:
                if cells := [cell.strip() for cell in row if cell.strip()]:
                    yield f"{path}, line {reader.line_num}", cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read ({reason}): write where the ground truth lies") from None


def _add(block: dict[str, ClipName], published: str, true: str, where: str) -> None:
    try:
        name, section = parse_clip_name(true), parse_clip_name(published).section
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    if name.label is None or name.split != "test":
        raise UserError(f"{where}: {true} is no labelled test clip: {FORM}")
    if name.section != section:
        raise UserError(f"{where}: {true} is not of the section of {published}: correct one of the two")
    if published in block:
        raise UserError(f"{where}: {published} for the second time in this block: keep one of the two")
    if name in block.values():
        raise UserError(f"{where}: {true} for the second time in this block: two clips cannot be one")
    block[published] = name
