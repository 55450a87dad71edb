"""Score tables as files: CSV `clip,domain,anomaly,score`, one per branch or system and machine, sorted by clip."""

import csv
import math
from collections.abc import Iterable, Set
from pathlib import Path, PurePosixPath

import numpy as np

from workflow_lib.dataset.clip_name import fold
from workflow_lib.errors import UserError, and_more
from workflow_lib.files import write_csv
from workflow_lib.scoring.score_table import COLUMNS, ScoreTable


def write_scores(path: Path, table: ScoreTable) -> None:
    """Write a score table, sorted by clip; numbers in their shortest exact form."""
    table = ScoreTable.from_any(vars(table), str(path))
    labels = ["" if math.isnan(value) else int(value) for value in table.anomaly]
    scores = [repr(float(value)) for value in table.score]
    write_csv(path, COLUMNS, zip(table.clip, table.domain, labels, scores, strict=True))


def read_scores(path: str | Path) -> ScoreTable:
    """Read a score table, ours or another program's; UserError that says what is wrong with which clips."""
    rows = _rows(Path(path))
    if not rows:
        raise UserError(f"{path}: no clips: write a header {','.join(COLUMNS)} and one line per test clip")
    return ScoreTable.from_any(rows, str(path))


def read_normal_scores(path: str | Path, tested: Iterable[str] = ()) -> ScoreTable:
    """Read scores of normal training clips, which may be none; UserError that names clips of any other kind.

    tested: names of the machine's test clips. An empty label counts as normal, because of the file's purpose.
    """
    table = ScoreTable.from_any(_rows(Path(path)) or {name: [] for name in COLUMNS}, str(path))
    keys = set(map(_clip_key, tested))
    reasons = {c: _no_normal_clip(c, label, keys) for c, label in zip(table.clip.tolist(), table.anomaly, strict=True)}
    wrong = [f"{clip} ({reason})" for clip, reason in reasons.items() if reason]
    if wrong:
        raise UserError(
            f"{path}: only normal training clips belong there, a threshold comes from them: remove {and_more(wrong)}"
        )
    return ScoreTable(table.clip, table.domain, np.zeros(len(table.clip)), table.score)


def _no_normal_clip(clip: str, label: float, tested: Set[str]) -> str:
    """Why a clip is no normal training clip, or nothing."""
    if label == 1:
        return "labelled an anomaly"
    if _clip_key(clip) in tested:
        return "a test clip of this machine"
    return next((f"its name says {word}" for word in ("test", "anomaly") if word in _clip_key(clip).split("_")), "")


def _clip_key(clip: str) -> str:
    """A clip's name without folders, suffix and letter case."""
    return fold(PurePosixPath(clip).stem)


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows of a score table by column; UserError for a column that is missing."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as CSV ({error}): write columns {','.join(COLUMNS)}") from None
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing and (rows or reader.fieldnames):
        raise UserError(f"{path}: no column {', '.join(missing)}: the header must be {','.join(COLUMNS)}")
    return rows
