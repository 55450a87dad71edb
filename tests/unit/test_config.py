"""The configuration says in one line per fault where it is and what to write instead."""

import copy
from pathlib import Path

import pytest
import yaml

from workflow_lib.config import check_config
from workflow_lib.errors import UserError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config():
    return yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))


def faults(config) -> list[str]:
    with pytest.raises(UserError) as caught:
        check_config(config)
    return str(caught.value).splitlines()


def put(config, place: str, value):
    config = copy.deepcopy(config)
    *path, last = place.split(".")
    entry = config
    for key in path:
        entry = entry[key]
    entry[last] = value
    return config


def test_the_shipped_configuration_is_valid(config):
    check_config(config)


def test_every_key_of_the_shipped_configuration_has_a_comment_nearby():
    """Each key is named in a comment, or carries one where an entry of its kind first stands."""
    lines = (ROOT / "config.yaml").read_text(encoding="utf-8").splitlines()
    explained = {
        line.split("#")[0].split(":")[0].strip(" -") for line in lines if "#" in line and ":" in line.split("#")[0]
    }
    text = "\n".join(line for line in lines if line.lstrip().startswith("#"))
    keys = {line.split(":")[0].strip(" -") for line in lines if ":" in line and not line.lstrip().startswith("#")}
    named_by_user = {
        "compute",
        "kind",
        "model",
        "encoder",
        "base",
        "branches",
        "suites",
        "models",
        "systems",
        "root",
        "machines",
        "title",
    }
    missing = {key for key in keys - explained - named_by_user if key not in text and "{" not in key}
    assert not missing


@pytest.mark.parametrize(
    ("place", "value", "line"),
    [
        ("run.suite", ["dev"], "config: run.suite: unknown key: write suites"),
        ("compute.threads", "two", "config: compute.threads: 'two' is of the wrong type: write a whole number"),
        ("compute.device", "gpu", "config: compute.device: 'gpu' is not possible: write"),
        ("suites.dev.root", 5, "config: suites.dev.root: 5 is of the wrong type: write text"),
        ("suites.dev.rot", "x", "config: suites.dev.rot: unknown key: write root"),
        ("models.eat.kind", "frosen", "config: models.eat.kind: 'frosen' is no kind of model: write one of"),
        ("models.eat.lenght", "native", "config: models.eat.lenght: unknown key: write length"),
        ("models.eat.blocks", [10, 13], "config: models.eat.blocks: there is no block 13: write 1 to 12"),
        ("models.dualmic.base", "eet", "config: models.dualmic.base: there is no frozen model 'eet': write eat"),
        ("models.dualmic.base", "ced", "config: models.dualmic.base: only eat encoders can be adapted"),
        (
            "models.dualmic.adaptation",
            {"lora_rnk": 4},
            "config: models.dualmic.adaptation: adapter settings: unknown key",
        ),
        ("branches.ced.model", "cad", "config: branches.ced.model: there is no model 'cad': write ced"),
        ("branches.ced.block", 9, "config: branches.ced.block: models.ced.blocks has no block 9: write one of 10"),
        ("branches.ced.view", ["nearfar"], "config: branches.ced.view[0]: 'nearfar' is not possible: write near-far"),
        ("branches.ced.view", ["head"], "config: branches.ced.view: ced has no head"),
        (
            "branches.ae_mse.scorer",
            {"kind": "mes"},
            "config: branches.ae_mse.scorer.kind: 'mes' is not possible: write mse",
        ),
        ("systems.NearMah.branches", ["ae_mahalnobis"], "there is no branch 'ae_mahalnobis': write ae_mahalanobis"),
        ("systems.NearMah.step", 0.3, "config: systems.NearMah.step: 1 is no multiple of 0.3"),
        ("systems.DualDL4.weights", {"ced": 1.0}, "config: systems.DualDL4.weights: name each branch"),
        ("run.suites", ["def"], "config: run.suites: there is no suite 'def': write dev"),
        ("run.systems", ["NearMa"], "config: run.systems: there is no system 'NearMa': write NearMah"),
        ("run.branches", ["ae_mes"], "config: run.branches: there is no branch 'ae_mes': write ae_mse"),
        ("run.seeds", [], "config: run.seeds"),
        ("run.protocols", ["cross_fited"], "'cross_fited' is not possible: write cross_fitted"),
        ("suites.eval.select_on", "deb", "config: suites.eval.select_on: there is no other suite 'deb': write dev"),
        ("suites.my suite", {"root": "x"}, "config: suites.my suite: a name becomes part of file names"),
    ],
)
def test_a_fault_is_one_line_with_place_and_remedy(config, place, value, line):
    found = faults(put(config, place, value))
    assert len(found) == 1, found
    assert line in found[0]


def test_a_missing_key_is_named(config):
    del config["branches"]["ced"]["view"]
    assert faults(config) == ["config: branches.ced.view: missing: add it (config.yaml shows every key)"]


def test_all_faults_are_said_at_once(config):
    config = put(put(config, "run.sedes", [1]), "compute.threads", 0)
    assert len(faults(config)) == 2


def test_fixed_weights_must_sum_to_one(config):
    weights = {"ae_mahalanobis": 0.3, "ced": 0.1, "m2d": 0.2, "dualmic": 0.4}
    check_config(put(config, "systems.DualDL4.weights", weights))
    assert "make them sum to 1" in faults(put(config, "systems.DualDL4.weights", {**weights, "ced": 0.2}))[0]
