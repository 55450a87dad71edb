"""What a finished run says on the terminal: the official scores of each suite, each under its protocol."""

import csv
from collections.abc import Iterable
from pathlib import Path

COLUMNS = ("suite", "protocol", "kind", "name", "seed", "omega")


def summary_lines(folders: Iterable[str]) -> list[str]:
    """Aligned lines from the `official.csv` of table folders; a suite without labels has none."""
    rows = [row for folder in folders for row in _official(Path(folder, "official.csv"))]
    if not rows:
        return []
    cells = [COLUMNS, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(COLUMNS))]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _official(path: Path) -> list[tuple[str, ...]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [_cells(row) for row in csv.DictReader(file)]


def _cells(row: dict[str, str]) -> tuple[str, ...]:
    omega = f"{float(row['omega']):.4f}" if row["omega"] else "undefined"
    untrained = " (untrained)" if row["untrained"] == "yes" else ""
    return (row["suite"], row["protocol"], row["kind"], row["name"], row["seed"] or "-", omega + untrained)
