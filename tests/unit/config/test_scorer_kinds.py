"""A scorer is found by its file, with the options that the schema defines, or none."""

import pytest
from one_line import one_line_error

from workflow_lib.config import scorers
from workflow_lib.config.faults import schema_faults
from workflow_lib.config.functions_by_file import functions_by_file


def definitions(**more):
    branch = {"scorer": {"type": "object", "kinds": {}}, "candidates": {"properties": {}}}
    return {"embedding_branch": {"properties": branch}, **more}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(scorers, "_FOLDER", tmp_path)
    for name in ("first", "second", "third"):
        (tmp_path / f"{name}.py").write_text(f"def fit_{name}(source, target):\n    pass\n", encoding="utf-8")
    (tmp_path / "helper.py").write_text("import no_such_module\n", encoding="utf-8")
    return tmp_path


def faults(found, settings):
    branch = {"$defs": found, **found["embedding_branch"]["properties"]["scorer"]}
    return schema_faults(settings, branch, "scorer")


def test_files_become_kinds_with_their_options(folder):
    options = {"type": "object", "additionalProperties": False, "properties": {"kind": {}, "power": {"minimum": 1}}}
    found = definitions(first_scorer=options)
    scorers.add_scorers(found)
    assert faults(found, {"kind": "first", "power": 2}) == faults(found, {"kind": "second"}) == []
    assert faults(found, {"kind": "second", "power": 2}) == ["scorer.power: unknown key: write one of: kind"]
    assert faults(found, {"kind": "secnd"})[0].startswith("scorer.kind: 'secnd' is not possible: write one of: second")
    assert faults(found, {"kind": "helper"})[0].startswith("scorer.kind: 'helper' is not possible")
    assert list(found["embedding_branch"]["properties"]["candidates"]["properties"]) == ["power"]


def test_an_option_that_two_scorers_define_differently_is_left_to_each_of_them(folder):
    def option(**rule):
        return {"type": "object", "properties": {"kind": {}, "power": rule}}

    grids = []
    for second in ({"minimum": 1, "default": 3}, {"enum": ["a"]}):
        found = definitions(
            first_scorer=option(minimum=1), second_scorer=option(**second), third_scorer=option(minimum=1)
        )
        scorers.add_scorers(found)
        grids.append(found["embedding_branch"]["properties"]["candidates"]["properties"]["power"])
    assert grids[0]["items"] == {"minimum": 1} and "items" not in grids[1]
    assert grids[0]["uniqueItems"] and grids[1]["uniqueItems"]


def test_a_file_that_is_no_python_is_named(tmp_path):
    (tmp_path / "mine.py").write_text("def fit_mine(", encoding="utf-8")
    with one_line_error(r"mine\.py: this is no Python"):
        functions_by_file(tmp_path, "fit")
