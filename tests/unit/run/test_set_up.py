"""The Python that `make setup` takes: 3.11 to 3.13, the default one if it serves, else another that is installed."""

import subprocess

import pytest
from conftest import ROOT

FAKE = """#!/bin/sh
case "$*" in
*sys.version.split*) echo {version} ;;
*) exit 9 ;;
esac
"""


def set_up(folder, versions: dict[str, str], **environment: str) -> subprocess.CompletedProcess:
    """Set-up in a folder of its own with interpreters of these versions alone; they fail at the first real task."""
    (folder / "envs").mkdir()
    (folder / "envs" / "set-up").write_bytes((ROOT / "envs" / "set-up").read_bytes())
    commands = folder / "bin"
    commands.mkdir()
    for name in ("bash", "dirname", "rm", "sh"):
        (commands / name).symlink_to(f"/bin/{name}")
    for name, version in versions.items():
        (commands / name).write_text(FAKE.format(version=version), encoding="utf-8")
        (commands / name).chmod(0o755)
    command = ["/bin/bash", "envs/set-up", "runtime"]
    environment = {"PATH": str(commands), "HOME": str(folder), **environment}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


SERVING = "set-up: Python 3.11, 3.12 and 3.13 are supported (later ones lack a wheel: immutables);"


@pytest.mark.parametrize(
    ("versions", "environment", "line"),
    [
        ({"python3": "3.12.4", "python3.11": "3.11.2"}, {}, "taking python3 (3.12.4)"),
        ({"python3": "3.14.0", "python3.11": "3.11.2"}, {}, "python3 is 3.14.0, taking python3.11 (3.11.2)"),
        ({"python3": "3.9.1", "python3.13": "3.13.1"}, {}, "python3 is 3.9.1, taking python3.13 (3.13.1)"),
        ({"python3": "3.12.4", "mine": "3.13.1"}, {"PYTHON": "mine"}, "taking mine (3.13.1)"),
    ],
)
def test_one_line_says_which_pythons_serve_and_which_is_taken(tmp_path, versions, environment, line):
    assert set_up(tmp_path, versions, **environment).stderr.splitlines()[0] == f"{SERVING} {line}"


@pytest.mark.parametrize(("versions", "seen"), [({}, ""), ({"python3": "3.14.0"}, " python3 is 3.14.0,")])
def test_the_line_appears_when_none_serves(tmp_path, versions, seen):
    done = set_up(tmp_path, versions)
    advice = "none of them was found: install one, or name it with PYTHON=/path/to/python3"
    assert (done.returncode, done.stderr.splitlines()) == (1, [f"{SERVING}{seen} {advice}"])
