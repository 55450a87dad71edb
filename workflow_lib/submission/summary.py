"""The last lines of `snakemake submission`: the packages, and the systems that are not in them."""

from collections.abc import Iterable
from pathlib import Path

from workflow_lib.submission.job import AFTERWARDS


def submission_lines(packages: Iterable[str], remarks: Iterable[str]) -> list[str]:
    """Remarks, then a line for each zip, and for the figures where the labels are known."""
    lines = list(remarks)
    for package in map(Path, packages):
        (zipped,) = package.glob("*.zip")
        systems = sorted(path.name for path in package.glob("*/*") if path.is_dir())
        lines.append(f"{zipped}: {', '.join(systems)}: valid")
        if (package / AFTERWARDS).is_file():
            lines.append(f"{package / AFTERWARDS}: scored after the fact")
    return lines
