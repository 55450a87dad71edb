"""Digests that decide which jobs run again: of the library modules of a rule, and of the settings it reads."""

import ast
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = "workflow_lib"
ROOT = Path(__file__).parent
DATA_SUFFIXES = (".yaml", ".j2", ".css", ".js")


@cache
def code_digest(script: str, *modules: str) -> str:
    """Digest of a rule's script and of all modules of this package that it imports, read as text, never imported.

    Imports inside functions are not followed: a rule names them in `modules`. Snakemake misses an edit in an imported
    library and mistakes the new time stamps of a checkout for one; this digest among a rule's params corrects both.
    """
    first = ROOT.parent / "scripts" / f"{script}.py"
    named = (path for name in modules for path in _files(f"{PACKAGE}.{name}"))
    digest = hashlib.sha256()
    for path in sorted(_reachable([first, *named])):
        digest.update(path.relative_to(ROOT.parent).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def settings_digest(settings: object) -> str:
    """Digest of anything that JSON can hold, independent of key order."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def _reachable(waiting: list[Path]) -> set[Path]:
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            imports = _imports(path) if path.suffix == ".py" else ()
            waiting.extend(file for name in imports for file in _files(name))
    return found


@cache
def _imports(path: Path) -> tuple[str, ...]:
    names: list[str] = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = [PACKAGE, *path.relative_to(ROOT).parts[: -node.level]] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return tuple(name for name in names if name.split(".")[0] == PACKAGE)


def _files(name: str) -> Iterator[Path]:
    """The files of a dotted name: a module, or a package's own file and its data (templates, schemas)."""
    base = ROOT.joinpath(*name.split(".")[1:])
    if base == ROOT:
        return
    if base.with_suffix(".py").is_file():
        yield base.with_suffix(".py")
    elif base.is_dir():
        yield base / "__init__.py"
        yield from (path for path in base.rglob("*") if path.suffix in DATA_SUFFIXES and path.is_file())
