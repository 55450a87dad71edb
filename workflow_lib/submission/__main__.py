"""Check a submission package: a line for each fault and exit status 1, or one line `valid` and 0."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from workflow_lib.config.submission_form import REPORT, expected_in
from workflow_lib.dataset.clip_name import one_line
from workflow_lib.errors import UserError
from workflow_lib.submission.reading import read_package
from workflow_lib.submission.validation import package_faults


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the number is its exit status."""
    parser = argparse.ArgumentParser(prog="python -m workflow_lib.submission", description=__doc__)
    parser.add_argument("package", type=Path, help="zip or folder, of any team")
    parser.add_argument(
        "--recordings", type=Path, help="folder with <machine>/test/*.wav to compare with, instead of the clips of 2026"
    )
    options = parser.parse_args(arguments)
    try:
        faults = package_faults(options.package, expected_in(options.recordings) if options.recordings else None)
    except UserError as error:
        faults = [str(error)]
    for fault in faults:
        _say(fault)
    if faults:
        return 1
    reports = [name for name in read_package(options.package).files if name.endswith(REPORT)]
    remark = "" if reports else " (no technical report in it; the challenge asks for one)"
    _say(f"{options.package}: valid{remark}")
    return 0


def _say(text: str) -> None:
    """Print one line on any terminal, whatever its encoding."""
    encoding = sys.stdout.encoding or "utf-8"
    print(one_line(text).encode(encoding, "backslashreplace").decode(encoding))


if __name__ == "__main__":
    sys.exit(main())
