"""What can be wrong with score and decision files: no header, file name and value, one row per test clip."""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from workflow_lib.errors import and_more

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
    pairs = {line: row for line, row in enumerate(rows[header:], 1 + header) if len(row) == 2}
    found = Counter(clip for clip, _ in pairs.values())
    wanted = "a finite number" if kind == "anomaly_score" else "0 or 1"
    faults: dict[str, Iterable[object]] = {
        "not two columns (file name,value) in line": sorted(set(range(1 + header, len(rows) + 1)) - pairs.keys()),
        f"the value must be {wanted}, but is not in line": [
            f"{line} ({value[:20]!r})" for line, (_, value) in pairs.items() if not _is_value(value, kind)
        ],
        "more than one row for": sorted(clip for clip, count in found.items() if count > 1),
        "no row for": sorted(set(clips) - found.keys()),
        "no such test clip:": [clip[:60] for clip in sorted(found.keys() - set(clips))],
    }
    yield from (f"{name}: {problem} {and_more(places)}" for problem, places in faults.items() if places)


def disagreements(scores: bytes, decisions: bytes) -> Iterator[str]:
    """How the two files of one machine disagree: on the clips, or by a decision that no one threshold can give."""
    scored, decided = _pairs(scores), _pairs(decisions)
    if only := sorted(scored.keys() ^ decided.keys()):
        yield f"differ in clips: only one has {and_more((clip[:60] for clip in only), shown=1)}"
    places = [(float(value), clip) for clip, value in scored.items() if _is_value(value, "anomaly_score")]
    normal = max((place for place in places if decided.get(place[1]) == "0"), default=None)
    anomalous = min((place for place in places if decided.get(place[1]) == "1"), default=None)
    if normal and anomalous and normal[0] > anomalous[0]:
        low, high = (f"{clip[:60]} has {value:g}" for value, clip in (anomalous, normal))
        yield f"contradict each other, the more anomalous has 1: {low} and decision 1, {high} and decision 0"


def _pairs(content: bytes) -> dict[str, str]:
    """{clip: value} of a file, as far as it can be read."""
    rows, _ = _rows(content)
    return {row[0]: row[1] for row in rows[_is_header(rows) :] if len(row) == 2}


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
    return bool(rows) and len(rows[0]) > 1 and not NUMBER.fullmatch(rows[0][1]) and "." not in rows[0][0]


def _is_value(text: str, kind: str) -> bool:
    if kind == "decision_result":
        return text in ("0", "1")
    return bool(NUMBER.fullmatch(text)) and math.isfinite(float(text))
