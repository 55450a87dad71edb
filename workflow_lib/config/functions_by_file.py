"""Functions that the files of a folder define by their own names, read from the text: an import would bring torch."""

import ast
from functools import cache
from pathlib import Path

from workflow_lib.errors import UserError


@cache
def functions_by_file(folder: Path, prefix: str) -> dict[str, ast.FunctionDef]:
    """Name -> the function `<prefix>_<name>` of `<name>.py`, of all files that define theirs; sorted by name."""
    found = {}
    for path in sorted(folder.glob("*.py")):
        try:
            definitions = ast.parse(path.read_text(encoding="utf-8")).body
        except (SyntaxError, ValueError) as fault:
            raise UserError(f"{path}: this is no Python ({fault}): correct it, or take it out of the folder") from fault
        for node in definitions:
            if isinstance(node, ast.FunctionDef) and node.name == f"{prefix}_{path.stem}":
                found[path.stem] = node
    return found
