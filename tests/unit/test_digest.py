"""Digests follow the code that a rule uses, and nothing else."""

import shutil
from pathlib import Path

import pytest

from workflow_lib import digest

LIBRARY = Path(digest.__file__).parent


@pytest.fixture
def library(tmp_path, monkeypatch):
    copy = tmp_path / "workflow_lib"
    shutil.copytree(LIBRARY, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(digest, "ROOT", copy)
    return copy


def fresh(*modules: str) -> str:
    digest.code_digest.cache_clear()
    digest._imports.cache_clear()
    return digest.code_digest(*modules)


def test_an_edit_in_an_imported_module_changes_the_digest(library):
    before = fresh("fusing")
    with (library / "metrics.py").open("a", encoding="utf-8") as file:
        file.write("\n# changed\n")
    assert fresh("fusing") != before


def test_an_edit_elsewhere_does_not(library):
    before = fresh("fusing")
    with (library / "embedding.py").open("a", encoding="utf-8") as file:
        file.write("\n# changed\n")
    assert fresh("fusing") == before


def test_a_template_belongs_to_its_package(library):
    before = fresh("report")
    template = next(
        path for path in (library / "report").rglob("*") if path.suffix not in (".py", ".pyc") and path.is_file()
    )
    template.write_text(template.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert fresh("report") != before


def test_relative_and_package_imports_are_followed(library):
    (library / "one.py").write_text("from . import two\n", encoding="utf-8")
    (library / "two.py").write_text("import workflow_lib.three\n", encoding="utf-8")
    (library / "three.py").write_text("", encoding="utf-8")
    before = fresh("one")
    (library / "three.py").write_text("x = 1\n", encoding="utf-8")
    assert fresh("one") != before


def test_every_module_named_in_the_rules_exists():
    import re

    root = LIBRARY.parent
    calls = " ".join(path.read_text(encoding="utf-8") for path in sorted((root / "rules").glob("*.smk")))
    names = [
        name for call in re.findall(r"code_digest\(([^)]*)\)", calls) for name in re.findall(r'(?<!f)"([\w.]+)"', call)
    ]
    assert names
    for name in names:
        path = LIBRARY.joinpath(*name.split("."))
        assert path.with_suffix(".py").is_file() or path.is_dir(), name


def test_settings_digest_ignores_key_order():
    assert digest.settings_digest({"a": 1, "b": 2}) == digest.settings_digest({"b": 2, "a": 1})
    assert digest.settings_digest({"a": 1}) != digest.settings_digest({"a": 2})
