"""What can be wrong with score and decision files: no header, file name and value, one row per test clip."""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Collection, Iterator

from workflow_lib.errors import and_more

DECISIONS = ("0", "1")
# As other programs read numbers: Python alone takes 1_000 and digits of other scripts.
NUMBER = re.compile(r" *[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)? *")


def output_faults(name: str, content: bytes, kind: str, clips: Collection[str]) -> Iterator[str]:
    """Faults of one file; `clips` are the names that it must hold, once each."""
    rows, fault = _rows(content)
    if fault:
        yield f"{name}: {fault}"
        return
    if header := _is_header(rows):
        yield f"{name}: line 1 is a header ({','.join(rows[0])[:60]}): leave it out"
    rows_by_line = {line: row for line, row in enumerate(rows, 1) if line > header}
    wrong = [str(line) for line, row in rows_by_line.items() if len(row) != 2]
    if wrong:
        yield f"{name}: not two columns (file name,value) in line {and_more(wrong)}"
    pairs = {line: row for line, row in rows_by_line.items() if len(row) == 2}
    bad = [f"{line} ({row[1][:20]!r})" for line, row in pairs.items() if not _is_value(row[1], kind)]
    if bad:
        wanted = "a finite number" if kind == "anomaly_score" else "0 or 1"
        yield f"{name}: the value must be {wanted}, but is not in line {and_more(bad)}"
    yield from _clip_faults(name, [row[0] for row in pairs.values()], clips)


def clips_of(content: bytes) -> set[str]:
    """Clip names of a file, as far as it can be read."""
    rows, _ = _rows(content)
    return {row[0] for row in rows[_is_header(rows) :] if len(row) == 2}


def contradiction(scores: bytes, decisions: bytes) -> str:
    """Two clips of which the one decided anomalous has the lower score, as a sentence; empty if there are none."""
    decided = dict(row for row in _rows(decisions)[0] if len(row) == 2)
    pairs = (row for row in _rows(scores)[0] if len(row) == 2 and _is_value(row[1], "anomaly_score"))
    places = [(float(value), clip) for clip, value in pairs]
    normal = max((place for place in places if decided.get(place[1]) == "0"), default=None)
    anomalous = min((place for place in places if decided.get(place[1]) == "1"), default=None)
    if normal is None or anomalous is None or normal[0] <= anomalous[0]:
        return ""
    return f"{anomalous[1][:60]} has {anomalous[0]:g} and decision 1, {normal[1][:60]} {normal[0]:g} and decision 0"


def _clip_faults(name: str, found: list[str], clips: Collection[str]) -> Iterator[str]:
    twice = sorted(clip for clip, count in Counter(found).items() if count > 1)
    missing, unknown = sorted(set(clips) - set(found)), sorted(set(found) - set(clips))
    if twice:
        yield f"{name}: more than one row for {and_more(twice)}"
    if missing:
        yield f"{name}: no row for {and_more(missing)}"
    if unknown:
        yield f"{name}: no such test clip: {and_more(clip[:60] for clip in unknown)}"


def _rows(content: bytes) -> tuple[list[list[str]], str]:
    """Rows, and the fault of a file that has none."""
    if content.startswith(b"\xef\xbb\xbf"):
        return [], "it begins with a byte order mark: save it as plain UTF-8"
    if b"\r" in content.replace(b"\r\n", b"\n"):
        return [], "its lines end with CR alone, which other programs read as one line: save it with LF"
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        return [], f"cannot be read as CSV ({error})"
    return rows, "" if rows else "it is empty"


def _is_header(rows: list[list[str]]) -> bool:
    """Whether the first row names columns: no clip and no number in it."""
    return bool(rows) and len(rows[0]) > 1 and not _is_number(rows[0][1]) and "." not in rows[0][0]


def _is_value(text: str, kind: str) -> bool:
    return _is_number(text) and math.isfinite(float(text)) if kind == "anomaly_score" else text in DECISIONS


def _is_number(text: str) -> bool:
    return bool(NUMBER.fullmatch(text))
