"""Digests follow the code that a rule uses, and nothing else."""

import re
import shutil
from pathlib import Path

import pytest

from workflow_lib import digest

LIBRARY = Path(digest.__file__).parent


@pytest.fixture
def library(tmp_path, monkeypatch):
    copy = tmp_path / "workflow_lib"
    shutil.copytree(LIBRARY, copy, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(LIBRARY.parent / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(digest, "ROOT", copy)
    return copy


def fresh(*modules: str) -> str:
    digest.code_digest.cache_clear()
    digest._imports.cache_clear()
    return digest.code_digest(*modules)


def test_an_edit_in_an_imported_module_changes_the_digest(library):
    before = fresh("fit_folds")
    with (library / "metrics.py").open("a", encoding="utf-8") as file:
        file.write("\n# changed\n")
    assert fresh("fit_folds") != before


def test_an_edit_in_the_script_changes_the_digest(library):
    before = fresh("fit_folds")
    with (library.parent / "scripts" / "fit_folds.py").open("a", encoding="utf-8") as file:
        file.write("\n# changed\n")
    assert fresh("fit_folds") != before


def test_how_an_adapter_is_trained_is_no_matter_of_a_frozen_embedding(library):
    before = fresh("embed_machine", "encoders.eat")
    with (library / "adaptation" / "loss.py").open("a", encoding="utf-8") as file:
        file.write("\n# changed\n")
    assert fresh("embed_machine", "encoders.eat") == before
    assert fresh("train_adapter") != fresh("embed_machine")


def test_an_edit_elsewhere_does_not(library):
    before = fresh("fit_folds")
    with (library / "embedding.py").open("a", encoding="utf-8") as file:
        file.write("\n# changed\n")
    assert fresh("fit_folds") == before


def test_a_template_belongs_to_its_package(library):
    before = fresh("write_report")
    template = next(
        path for path in (library / "report").rglob("*") if path.suffix not in (".py", ".pyc") and path.is_file()
    )
    template.write_text(template.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert fresh("write_report") != before


def test_relative_and_package_imports_are_followed(library):
    (library.parent / "scripts" / "one.py").write_text("from workflow_lib.one import x\n", encoding="utf-8")
    (library / "one.py").write_text("from . import two\n", encoding="utf-8")
    (library / "two.py").write_text("import workflow_lib.three\n", encoding="utf-8")
    (library / "three.py").write_text("", encoding="utf-8")
    before = fresh("one")
    (library / "three.py").write_text("x = 1\n", encoding="utf-8")
    assert fresh("one") != before


def test_every_script_and_module_named_in_the_rules_exists():
    rules = " ".join(path.read_text(encoding="utf-8") for path in sorted((LIBRARY.parent / "rules").glob("*.smk")))
    calls = [re.findall(r'(?<!f)"([\w.]+)"', call) for call in re.findall(r"code_digest\(([^)]*)\)", rules)]
    assert len(calls) == rules.count("    script:")  # target rules run nothing
    for script, *modules in calls:
        assert (LIBRARY.parent / "scripts" / f"{script}.py").is_file(), script
        for name in modules:
            assert LIBRARY.joinpath(*name.split(".")).with_suffix(".py").is_file(), name


def test_settings_digest_ignores_key_order():
    assert digest.settings_digest({"a": 1, "b": 2}) == digest.settings_digest({"b": 2, "a": 1})
    assert digest.settings_digest({"a": 1}) != digest.settings_digest({"a": 2})
