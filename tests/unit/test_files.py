"""YAML files: a key that stands twice is one line with both places, in every file that makes the configuration."""

from pathlib import Path

import pytest
import yaml

from workflow_lib.errors import UserError
from workflow_lib.files import read_yaml
from workflow_lib.plan.load import load_plan

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("a: 1\nb: 2\na: 3\n", ["duplicate key a (lines 1 and 3): keep one"]),
        ("a:\n  b:\n    c: 1\n    d: 2\n    c: 3\n", ["duplicate key a.b.c (lines 3 and 5): keep one"]),
        ("- x\n- a: 1\n  a: 2\n", ["duplicate key [1].a (lines 2 and 3): keep one"]),
        ("a: 1\n'a': 2\n\"a\": 3\n", ["duplicate key a (lines 1, 2 and 3): keep one"]),
        ("{a: {b: 1, b: 2}}\n", ["duplicate key a.b (lines 1 and 1): keep one"]),
        ("5: x\n0x5: y\n", ["duplicate key 5 (lines 1 and 2): keep one"]),
        ("yes: x\ntrue: y\n", ["duplicate key yes (lines 1 and 2): keep one"]),
        ("a: &x {b: 1, b: 2}\nc: *x\nd: [*x]\n", ["duplicate key a.b (lines 1 and 1): keep one"]),
        ("a: &x {b: 1}\nc: {<<: *x, d: 1, d: 2}\n", ["duplicate key c.d (lines 2 and 2): keep one"]),
        (
            "a: 1\na: 2\nb: {c: 1, c: 2}\n",
            ["duplicate key a (lines 1 and 2): keep one", "duplicate key b.c (lines 3 and 3): keep"],
        ),
    ],
)
def test_a_key_that_stands_twice_is_one_line_with_both_places(tmp_path, text, faults):
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_yaml(tmp_path / "mine.yaml")
    found = str(caught.value).splitlines()
    assert len(found) == len(faults)
    for line, fault in zip(found, faults, strict=True):
        assert line.startswith(f"{tmp_path / 'mine.yaml'}: {fault}")


@pytest.mark.parametrize(
    "text",
    [
        "5: x\n'5': y\n",
        "a: {b: 1}\nc: {b: 1}\nb: 1\n",
        "a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}\ne: {<<: *x, <<: {f: 1}}\ng: {<<: [*x, {b: 4}]}\n",
        "a: &x {b: 1}\nh: &y {<<: *x, b: 5}\ni: {<<: *y}\n",
        "",
        "# nothing\n",
        "[]",
    ],
)
def test_equal_keys_of_different_mappings_and_merge_keys_are_read_as_yaml_reads_them(tmp_path, text):
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    assert read_yaml(tmp_path / "mine.yaml") == yaml.safe_load(text)


def test_a_mapping_that_holds_itself_is_read(tmp_path):
    (tmp_path / "mine.yaml").write_text("a: &x {b: *x}\n", encoding="utf-8")
    found = read_yaml(tmp_path / "mine.yaml")
    assert found["a"]["b"] is found["a"]


def test_the_files_behind_the_configuration_are_read_again_for_their_keys(tmp_path):
    """Snakemake keeps the last of two equal keys without a word."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    files = {"two.json": '{"a":\t1}', "one.yaml": "run: {seeds: [1]}\nrun: {seeds: [2]}\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_plan(config, ROOT / "config.yaml", [tmp_path / name for name in files])
    assert str(caught.value) == f"{tmp_path / 'one.yaml'}: duplicate key run (lines 1 and 2): keep one"


@pytest.mark.parametrize(
    "path", [*ROOT.glob("*.yaml"), *ROOT.glob("profiles/*/*.yaml"), *ROOT.glob("workflow_lib/**/*.yaml")], ids=str
)
def test_no_shipped_file_has_a_key_twice(path):
    read_yaml(path)
