"""Which scorers of clip vectors there are: the files of workflow_lib/scoring/scorers, which an import would load."""

from pathlib import Path
from typing import Any

from workflow_lib.config.functions_by_file import functions_by_file

_FOLDER = Path(__file__).parents[1] / "scoring" / "scorers"


def scorer_names() -> list[str]:
    """Return the names that `fit_scorer` knows, sorted."""
    return sorted(functions_by_file(_FOLDER, "fit"))


def add_scorers(definitions: dict[str, Any]) -> None:
    """Add the scorers to the definitions of the schema: the kinds of an embedding branch and the keys of its grid.

    The options of a scorer are `<name>_scorer`; without that definition it takes none. A key of a grid that several
    scorers define differently is checked with each point of the grid alone.
    """
    branch = definitions["embedding_branch"]["properties"]
    grid = branch["candidates"]["properties"]
    for name in scorer_names():
        kind = {"type": "object", "additionalProperties": False, "properties": {"kind": {"const": name}}}
        options = definitions.setdefault(f"{name}_scorer", kind)["properties"]
        branch["scorer"]["kinds"][name] = {"$ref": f"#/$defs/{name}_scorer"}
        for key, rule in options.items():
            item = {word: value for word, value in rule.items() if word != "default"}
            if key != "kind":
                same = key not in grid or grid[key].get("items") == item
                grid[key] = {"type": "array", "minItems": 1, "uniqueItems": True} | ({"items": item} if same else {})
