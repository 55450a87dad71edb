"""The configuration says in one line per fault where it is and what to write instead."""

import copy
import datetime
import inspect
import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from workflow_lib.config.adaptation import AdapterSettings
from workflow_lib.config.checks import check_config
from workflow_lib.config.faults import schema_faults
from workflow_lib.config.schema import config_schema, definition, filled, with_defaults
from workflow_lib.errors import UserError
from workflow_lib.scoring.local_density import domain_conditioned_score

ROOT = Path(__file__).parents[3]
RANDOM = {"kind": "frozen", "encoder": "eat", "checkpoint": "random", "blocks": [2]}
COUNTS = {"train_source": 4, "train_target": 2, "test_per_cell": 2}
SIMULATE = {"seed": 1, "seconds": 1.0, **COUNTS, "severity": [0.5, 1.0]}
TOO_DEEP = {"adapted_blocks": [13], "statistics_block": 13}
SHRUNK = {"covariance": "ledoit_wolf"}
RAW = {"standardise": False, "components": None, "whiten": False}
WEIGHTS = {"ae_mahalanobis": 0.3, "ced": 0.1, "m2d": 0.2, "dualmic": 0.4}


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


def test_what_is_shipped_and_what_the_documentation_shows_is_valid(config):
    def lay(below, above):
        both = below.keys() & above.keys() if isinstance(below, dict) and isinstance(above, dict) else None
        return above if both is None else {**below, **above, **{key: lay(below[key], above[key]) for key in both}}

    check_config(config)
    check_config(lay(config, yaml.safe_load((ROOT / "profiles/demo/workflow.yaml").read_text(encoding="utf-8"))))
    check_config(put(config, "systems.DualDL4.weights", WEIGHTS))
    check_config(put(config, "branches.ced.conditioning", SHRUNK))
    check_config(put(config, "branches.ced.conditioning", {**RAW, "covariance": None}))
    for scorer in ({"banks": "pooled", "k": 1}, {"banks": "pooled", "k": [3, 3]}, {"k": 4, "form": "difference"}):
        check_config(put(config, "branches.ced.scorer", {"kind": "local_density", **scorer}))
    check_config(put(config, "branches.ced.scorer", {"kind": "gaussian"}))
    check_config(put(config, "fetch.accept_licence", ["m2d", "ced"]))


def properties(schema) -> Iterator[tuple[str, dict]]:
    """(key, its schema) of all keys of a schema, at any depth."""
    for key, rule in schema.items() if isinstance(schema, dict) else enumerate(schema):
        if key == "properties":
            yield from rule.items()
        if isinstance(rule, dict | list):
            yield from properties(rule)


def test_every_key_has_a_comment_in_the_shipped_configuration():
    text = (ROOT / "config.yaml").read_text(encoding="utf-8")
    words = set(re.findall(r"\w+", "\n".join(line.partition("#")[2] for line in text.splitlines())))
    commented = set(re.findall(r"(\w+):[^#\n]*#", text))
    assert {key for key, _ in properties(config_schema())} - words - commented == set()


def test_defaults_are_what_the_comments_and_the_functions_say():
    """The commented-out settings of the adaptation are its defaults; those of the density score are its function's."""
    lines = re.findall(r"^    # (\w+: .*?)  +# \S", (ROOT / "config.yaml").read_text(encoding="utf-8"), re.MULTILINE)
    assert yaml.safe_load("\n".join(lines)) == filled({}, definition("adaptation"))
    scorer = filled({"kind": "local_density"}, definition("local_density_scorer"))
    density = {p.name: p.default for p in inspect.signature(domain_conditioned_score).parameters.values()}
    assert {**scorer, "k": tuple(scorer["k"])} == {"kind": "local_density"} | {
        k: density[k] for k in scorer.keys() & density
    }


def test_a_default_is_valid_and_filled_in_behind_what_is_written(config):
    for key, rule in properties(config_schema()):
        if rule.get("default") not in (None, "", []):
            assert schema_faults(rule["default"], {"$defs": config_schema()["$defs"], **rule}) == [], key
    config["branches"]["mine"] = {"model": "ae", "scorer": {"kind": "mahalanobis"}}
    config["systems"]["mine"] = {"branches": ["mine"]}
    config["models"]["dualmic"]["adaptation"] = {"epochs": 3}
    written, found = copy.deepcopy(config), with_defaults(config)
    assert config == written and with_defaults(found) == found
    assert found["branches"]["mine"]["scorer"] == {"kind": "mahalanobis", "reading": "official", "shrinkage": 0.0}
    assert found["branches"]["ae_mse"]["scorer"] == {"kind": "mse"}
    assert found["branches"]["mine"]["candidates"] == [] and found["branches"]["mine"]["protocols"] is None
    chosen = {"search": "grid", "calibration": "selection", "shrink": 0, "step": 0.1}
    assert found["systems"]["mine"] == {"branches": ["mine"], **chosen, "protocols": None}
    assert list(found["models"]["dualmic"]["adaptation"])[:2] == ["epochs", "adapted_blocks"]
    assert (found["suites"]["eval"]["labels"], found["suites"]["eval"]["sample_rate"]) == (False, 16000)


@pytest.mark.parametrize(
    ("place", "value", "line"),
    [
        ("run.suite", ["dev"], "config: run.suite: unknown key: write suites"),
        ("compute.threads", "two", "config: compute.threads: 'two' is of the wrong type: write a whole number"),
        ("compute.device", "gpu", "config: compute.device: 'gpu' is not possible: write one of: cuda, auto, cpu"),
        ("suites.dev.root", 5, "config: suites.dev.root: 5 is of the wrong type: write text"),
        ("suites.dev.rot", "x", "config: suites.dev.rot: unknown key: write root"),
        ("models.eat.kind", "frosen", "config: models.eat.kind: 'frosen' is not possible: write one of: frozen, auto"),
        ("models.eat.lenght", "native", "config: models.eat.lenght: unknown key: write length"),
        ("models.eat.blocks", [10, 13], "config: models.eat.blocks: there is no block 13: write 1 to 12"),
        ("models.dualmic.base", "eet", "config: models.dualmic.base: there is no frozen model 'eet': write eat"),
        ("models.dualmic.base", "ced", "config: models.dualmic.base: only eat encoders can be adapted"),
        ("models.dualmic.adaptation.lora_rnk", 4, "models.dualmic.adaptation.lora_rnk: unknown key: write lora_rank"),
        ("branches.ced.model", "cad", "config: branches.ced.model: there is no model 'cad': write ced"),
        ("branches.ced.block", 9, "branches.ced.block: models.ced.blocks has no block 9: write one of 8, 10, 12"),
        ("branches.ced.view", ["nearfar"], "branches.ced.view[0]: 'nearfar' is not possible: write one of: near-"),
        ("branches.ced.view", ["head"], "config: branches.ced.view: ced has no head"),
        ("branches.ae_mse.scorer.kind", "mes", "ae_mse.scorer.kind: 'mes' is not possible: write one of: mse, maha"),
        ("systems.NearMah.branches", ["ae_mahalnobis"], "there is no branch 'ae_mahalnobis': write ae_mahalanobis"),
        ("systems.NearMah.step", 0.3, "config: systems.NearMah.step: 1 is no multiple of 0.3"),
        ("systems.DualDL4.weights", {"ced": 1.0}, "config: systems.DualDL4.weights: name each branch"),
        ("systems.DualDL4.weights", {**WEIGHTS, "ced": 0.2}, "DualDL4.weights: they sum to 1.1: make them sum to 1"),
        ("fetch.accept_licence", ["md2", "ced"], "config: fetch.accept_licence: 'md2' needs no acceptance: write m2d"),
        ("systems.DualDL4.search", "lp", "systems.DualDL4.search: 'lp' is not possible: write one of: grid, linear_"),
        ("systems.SpectralPseudo.calibration", "selection", "calibration: `search: pseudo` needs no other machine"),
        ("systems.SpectralPseudo.protocols", ["nested_lomo"], "protocols: nested_lomo: it is of each machine alone"),
        ("studies.pseudo.system", "SpectralEvents", "studies.pseudo.system: SpectralEvents has no pseudo-anomalies"),
        ("pseudo.levels_db", [0, 99], "config: pseudo.levels_db[1]: 99 is not possible: write -60 to 60"),
        ("pseudo.left_out", 0, "config: pseudo.left_out: 0 is not possible: write 1 to 10000"),
        ("evidence.bootstrap.replicates", 10, "evidence.bootstrap.replicates: 10 is not possible: write 100 to"),
        ("evidence.bootstrap.level", 95, "evidence.bootstrap.level: 95 is not possible: write 0.5 to 0.999"),
        ("run.suites", ["def"], "config: run.suites: there is no suite 'def': write dev"),
        ("run.systems", ["NearMa"], "config: run.systems: there is no system 'NearMa': write NearMah"),
        ("run.branches", ["ae_mes"], "config: run.branches: there is no branch 'ae_mes': write ae_mse"),
        ("run.seeds", [], "config: run.seeds"),
        ("run.protocols", ["cross_fited"], "write one of: cross_fitted, complete_dev, fixed_lomo"),
        (
            "branches.eat_raw.scorer.kind",
            "gaussian",
            "branches.eat_raw.scorer: k, match, metric, scale: not of kind gaussian: leave them out, under a name",
        ),
        (
            "models.logmel.low_hz",
            8000,
            "models.logmel.low_hz: 8000 is not below high_hz, 8000: write a lower frequency",
        ),
        ("models.logmel.checkpoint", "a.pt", "the encoder logmel has no weights: leave out checkpoint"),
        ("branches.spectral.mono_view", ["cancelled"], "branches.spectral.mono_view[0]: 'cancelled' is not possible"),
        ("branches.spectral.block", 1, "branches.spectral.block: logmel has no blocks: leave it out"),
        ("branches.ced.statistics", ["power"], "branches.ced.statistics: power: only of the encoder logmel"),
        ("run.protocols", [], "config: run.protocols: [] is not possible: write auto, or a list of protocols"),
        ("run.protocols", ["complete_dev"] * 2, "name each once (complete_dev)"),
        ("run.suites", [], "config: run.suites: [] is not possible: name at least one"),
        ("run.suites", ["dev", "dev"], "run.suites: ['dev', 'dev'] is not possible: name each once (dev)"),
        ("run.suites", None, "run.suites: null is of the wrong type: write text or a list"),
        ("run.systems", [5], "run.systems[0]: 5 is of the wrong type: write text, in quotes"),
        ("results", "", "results: '' is not possible: write the name of a folder, without { and }"),
        ("results", "out{1}", "results: 'out{1}' is not possible: write the name of a folder, without { and }"),
        ("compute.threads", 0, "compute.threads: 0 is not possible: write 1 or more"),
        ("compute.threads", 2.0, "compute.threads: 2.0 is of the wrong type: write a whole number"),
        ("compute.threads", None, "compute.threads: null is of the wrong type"),
        ("compute", [], "config: compute: [] is of the wrong type: write a mapping"),
        ("suites", ["dev"], "config: suites: ['dev'] is of the wrong type: write a mapping"),
        ("models", None, "config: models: null is of the wrong type: write a mapping"),
        ("models.ae", None, "config: models.ae: null is of the wrong type: write a mapping"),
        ("models.ae", ["mse"], "config: models.ae: ['mse'] is of the wrong type: write a mapping"),
        ("models.ae.kind", ["x"], "config: models.ae.kind: ['x'] is not possible: write one of: autoencoder, fr"),
        ("models.ae.epoch", 3, "config: models.ae.epoch: unknown key: write epochs"),
        ("models.ae.learning_rate", "1e-3", "'1e-3' is text for YAML: write 0.001 or 1.0e-3"),
        ("folds.size", "20", "'20' is text: write 20 without quotes in a --configfile (--config {…} holds text)"),
        ("models.ae.epochs", "1e1", "models.ae.epochs: '1e1' is text for YAML: write 10"),
        ("models.ae.learning_rate", math.nan, "learning_rate: nan is of the wrong type: write a finite number"),
        ("models.ae.learning_rate", 0, "learning_rate: 0 is not possible: write a number above 0"),
        ("models.ae.batch_size", 1, "models.ae.batch_size: 1 is not possible: write 2 or more"),
        ("models.ae.seed", 2**40, "models.ae.seed: 1099511627776 is not possible: write 0 to 4294967295"),
        ("models.eat.encoder", "eet", "config: models.eat.encoder: there is no encoder 'eet': write eat"),
        ("models.mine", {**RANDOM, "chunk_frames": 608}, "models.mine: the encoder eat takes no chunk_frames: leave"),
        ("models.m2d.chunk_frames", 608, "config: models.m2d.chunk_frames: only for `checkpoint: random`: leave it"),
        ("models.m2d.chunk_frames", 609, "models.m2d.chunk_frames: 609 is not possible"),
        ("models.eat.trust_pickle", "numpy.dtype", "models.eat.trust_pickle: 'numpy.dtype' is of the wrong type"),
        ("compute.precision", "bf16", "config: compute.precision: 'bf16' is not possible: write one of"),
        ("compute.compile", "yes", "config: compute.compile: 'yes' is of the wrong type: write true or false"),
        ("models.eat.blocks", [10, 10], "models.eat.blocks: [10, 10] is not possible: name each once (10)"),
        ("models.eat.embed_dim", 96, "models.eat.embed_dim: only for `checkpoint: random`: leave it out"),
        ("models.mine", {**RANDOM, "embed_dim": 100, "num_heads": 12}, "embed_dim: 100 is no multiple of num_heads"),
        ("models.mine", {**RANDOM, "embed_dim": 6, "num_heads": 2}, "6 is no multiple of 4, as eat needs: write 8"),
        ("models.mine", {**RANDOM, "embed_dim": 96}, "models.mine.num_heads: missing"),
        ("models.mine", {**RANDOM, "trust_pickle": ["x"]}, "trust_pickle: only for a published checkpoint: leave it"),
        ("suites.mine", {"fetch": "dcase2026/dev"}, "suites.mine: fetch needs root: write the folder"),
        ("models.dualmic.blocks", [10, 13], "models.dualmic.blocks: there is no block 13: write 1 to 12"),
        ("models.dualmic.blocks", [9], "models.dualmic.blocks: block 10 is adapted for: add it"),
        ("models.dualmic.adaptation", TOO_DEEP, "models.dualmic.adaptation: there is no block 13 of 12"),
        ("models.dualmic.adaptation.learning_rate", "1e-4", "'1e-4' is text for YAML: write 0.0001 or 1.0e-4"),
        ("models.dualmic.adaptation.arcface_scale", 10**400, "adaptation.arcface_scale: 1000000000"),
        ("models.dualmic.adaptation", {5: 1}, "models.dualmic.adaptation.5: unknown key: write one of: adapted_blocks"),
        ("models.dualmic.adaptation.adapted_blocks", [6, 11], "adaptation.adapted_blocks: block 11 is adapted but the"),
        ("models.dualmic.adaptation.adapted_blocks", [0, 1], "adapted_blocks[0]: 0 is not possible: write 1"),
        ("models.dualmic.adaptation.arcface_margin_rad", 2, "2 is not possible: write 0 to 1.5707 (a right angle)"),
        ("branches.ced.model", ["ced"], "branches.ced.model: ['ced'] is of the wrong type: write text"),
        ("branches.ced.model", {"ced": 1}, "branches.ced.model: {'ced': 1} is of the wrong type: write text"),
        ("branches.ced.model", 5, "branches.ced.model: 5 is of the wrong type: write text, in quotes"),
        ("branches.ced.model", None, "branches.ced.model: null is of the wrong type: write text"),
        ("branches.ced", None, "branches.ced: null is of the wrong type: write a mapping"),
        ("branches.mine", {"score": "x"}, "branches.mine: has neither model nor scores: write `model: <name>`, or"),
        ("branches.mine", {}, "branches.mine: has neither model nor scores"),
        ("branches.ced.scores", "x", "ced.scores: excludes model: leave out block, candidates, conditioning, model"),
        ("branches.ced.view", ["near", "near"], "branches.ced.view: ['near', 'near'] is not possible: name each once"),
        ("branches.ced.view", [], "branches.ced.view: [] is not possible: name at least one"),
        ("branches.ced.conditioning.components", 0, "conditioning.components: 0 is not possible: write 1 or more"),
        ("branches.ced.conditioning.whiten", True, "branches.ced.conditioning.whiten: whitening needs components"),
        ("branches.ced.conditioning.components", "x", "write a whole number or null"),
        ("branches.ced.conditioning", {"standardise": True, "whiten": False}, "conditioning.components: missing"),
        ("branches.ced.conditioning", {**SHRUNK, "whiten": True}, "branches.ced.conditioning: covariance excludes"),
        (
            "branches.ced.conditioning",
            {**SHRUNK, **RAW},
            "in a branch with a name of its own where config.yaml has them",
        ),
        ("branches.ced.conditioning", {"covariance": "ledoit"}, "'ledoit' is not possible: write one of: ledoit_wolf"),
        (
            "branches.ced.scorer.kind",
            "mse",
            "ced.scorer.kind: 'mse' is not possible: write one of: gaussian, local_density",
        ),
        ("branches.ced.scorer.k", [8], "branches.ced.scorer.k: [8] is not possible: write 2 numbers"),
        ("branches.ced.scorer.kind", "local_densty", "'local_densty' is not possible: write one of: local_density, ga"),
        ("branches.ced.scorer", {"kind": "gaussian", "k": [8, 5]}, "branches.ced.scorer.k: unknown key: write one of"),
        ("branches.ced.scorer.k", 0, "branches.ced.scorer.k: 0 is not possible: write 1 or more"),
        (
            "branches.ced.scorer.k",
            2.5,
            "branches.ced.scorer.k: 2.5 is of the wrong type: write a list or a whole",
        ),
        ("branches.ced.scorer.banks", "pooled", "scorer.k: [8, 5]: one bank of both domains has one number of neighb"),
        ("branches.ced.scorer.form", "quotient", "form: 'quotient' is not possible: write one of"),
        ("branches.ced.scorer.eps", math.inf, "branches.ced.scorer.eps: inf is of the wrong type: write a finite"),
        ("branches.ae_mse.scorer.reading", "official", "branches.ae_mse.scorer.reading: only for `kind: mahalanobis`"),
        ("branches.ae_mse.scorer.k", [8, 5], "branches.ae_mse.scorer.k: unknown key: write one of: kind"),
        ("systems.NearMah.step", math.nan, "systems.NearMah.step: nan is of the wrong type: write a finite number"),
        ("systems.NearMah.step", 1e-300, "systems.NearMah.step: 1e-300 is not possible: write 0.0001 to 1"),
        ("systems.NearMah.step", "5e-2", "'5e-2' is text for YAML: write 0.05 or 5.0e-2"),
        ("systems.DualDL4.step", 0.002, "step: 0.002 gives 21,084,251 combinations of weights, at most 2,000,000"),
        ("systems.NearMah.branches", [], "systems.NearMah.branches: [] is not possible: name at least one"),
        ("systems.NearMah.weights", {5: 1.0}, "systems.NearMah.weights.5: YAML reads this name as a number"),
        ("systems.NearMah.weights", {"ae_mahalanobis": math.nan}, "write a finite number"),
        ("suites.dev.machines", ["fan", "fan"], "suites.dev.machines: ['fan', 'fan'] is not possible: name each once"),
        ("suites.dev.sample_rate", 48000, "write 16000; clips of another rate need resample: true"),
        ("suites.dev.channels", 3, "suites.dev.channels: 3 is not possible: write 1 to 2"),
        ("suites.dev.select_on", "dev", "suites.dev.select_on: 'dev' is this suite itself"),
        ("suites.mine", {"root": "x", "select_on": "eval"}, "suites.mine.select_on: 'eval' has a select_on of its own"),
        ("suites.demo", {"simulate": {**SIMULATE, "seconds": 0.4}}, "seconds: 0.4 is not possible: write 0.5 to 600"),
        ("suites.demo", {"simulate": {**SIMULATE, "seconds": math.inf}}, "write a finite number"),
        ("suites.demo", {"simulate": {**SIMULATE, "severity": [1, 0.5]}}, "severity: 1 is above 0.5: write [0.5, 1]"),
        ("suites.demo", {"simulate": {**SIMULATE, "severity": [0.5, 2]}}, "a number above 0, at most 1"),
        ("suites.demo", {"simulate": {**SIMULATE, "train_source": 10001}}, "write 1 to 10000"),
        ("suites.eval.select_on", "deb", "config: suites.eval.select_on: there is no other suite 'deb': write dev"),
        ("suites.my suite", {"root": "x"}, "config: suites.my suite: a name becomes part of file names"),
    ],
)
def test_a_fault_is_one_line_with_place_and_remedy(config, place, value, line):
    found = faults(put(config, place, value))
    assert len(found) == 1, found
    assert line in found[0]


@pytest.mark.parametrize("section", ["suites", "models", "branches", "systems"])
@pytest.mark.parametrize("name", [5, 1.5, None, True, datetime.date(2026, 1, 1)])
def test_a_name_that_yaml_does_not_read_as_text_is_one_line(config, section, name):
    entry = {"suites": "dev", "models": "ae", "branches": "ced", "systems": "NearMah"}[section]
    config[section][name] = copy.deepcopy(config[section][entry])
    (line,) = faults(config)
    assert line.startswith(f"config: {section}.")
    assert line.endswith("not as text: write it in quotes")


@pytest.mark.parametrize("value", [None, [], "text", 5])
def test_a_configuration_that_is_no_mapping_is_one_line(value):
    (line,) = faults(value)
    assert line.startswith("config: the whole file: ")


@pytest.mark.parametrize("value", [None, [1], "text", 5, math.nan, {5: None}, datetime.date(2026, 1, 1), [[]], True])
def test_any_value_at_any_place_is_valid_or_a_user_error(config, value):
    def places(entry, path=()):
        for key in entry:
            yield (*path, key)
            if isinstance(entry[key], dict):
                yield from places(entry[key], (*path, key))

    for *path, last in places(config):
        entry = changed = copy.deepcopy(config)
        for key in path:
            entry = entry[key]
        entry[last] = value
        try:
            check_config(changed)
        except UserError as error:
            assert all(line.startswith("config: ") for line in str(error).splitlines())


def test_faults_are_said_at_once_and_missing_keys_are_named(config):
    assert len(faults(put(put(config, "run.sedes", [1]), "compute.threads", 0))) == 2
    assert len(faults(put(config, "models.ae", {"kind": "autoencoder"}))) == 5
    config["branches"]["ced"].pop("view")
    assert faults(config) == ["config: branches.ced.view: missing: add it (config.yaml shows every key)"]
    config["branches"]["ced"]["view"] = ["near"]
    config["run"]["sedes"] = config["run"].pop("seeds")
    assert faults(config) == ["config: run.sedes: unknown key: write seeds"]


BAD_SETTINGS = {
    "lora_rank": [0, 2.5, True],
    "learning_rate": ["5e-5", math.nan, 0],
    "epochs": [0],
    "warmup_fraction": [1.5],
    "lora_dropout": [1.0],
    "domain_weight": [-0.1],
    "precision": ["float16"],
    "mask_sharing": ["same"],
    "adapted_blocks": [6, [], [6, 6]],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in BAD_SETTINGS.items() for value in values])
def test_a_bad_setting_of_the_adaptation_is_refused_by_name(config, key, value):
    (line,) = faults(put(config, f"models.dualmic.adaptation.{key}", value))
    assert line.startswith(f"config: models.dualmic.adaptation.{key}: ")
    with pytest.raises(UserError, match=f"^{key}: "):
        AdapterSettings.from_mapping({key: value})


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"search": "none", "shrink": 0.5}, "shrink: it shrinks the weights of `search: grid`"),
        ({"search": "linear_program", "shrink": [0, 1]}, "shrink: it shrinks the weights of `search: grid`"),
        ({"weights": WEIGHTS, "shrink": 1}, "shrink: it shrinks the weights of `search: grid`"),
        ({"shrink": 1.5}, "shrink: 1.5 is not possible: write 0 to 1"),
        ({"shrink": [0, -1]}, "shrink[1]: -1 is not possible: write 0 to 1"),
        ({"shrink": []}, "shrink: [] is not possible: name at least one"),
        ({"calibration": "norml"}, "calibration: 'norml' is not possible: write one of: normal, selection"),
        (
            {"search": "none", "calibration": "selection", "protocols": ["fixed_lomo"]},
            "calibration is of other machines",
        ),
        *(({"shrink": shrink}, None) for shrink in (0, 1, 0.25, [0, 0.5, 1])),
        ({"search": "none", "shrink": 0, "protocols": ["fixed_lomo", "nested_lomo"]}, None),
        ({"weights": WEIGHTS, "calibration": "normal"}, None),
    ],
)
def test_shrinkage_is_of_the_grid_and_calibration_has_two_kinds(config, settings, line):
    config["systems"]["DualDL4"] = {"branches": list(WEIGHTS), **settings}
    if line is None:
        check_config(config)
    else:
        (found,) = faults(config)
        assert found.startswith("config: systems.DualDL4.") and line in found


def test_the_default_of_calibration_follows_from_the_search(config):
    config["systems"] |= {
        search: {"branches": ["ced"], "search": search} for search in ("grid", "linear_program", "none")
    }
    config["systems"]["kept"] = {"branches": ["ced"], "search": "none", "calibration": "selection"}
    found = with_defaults(config)["systems"]
    names = ("grid", "linear_program", "none", "kept", "DualDL4Paper")
    wanted = ["selection", "selection", "normal", "selection", "selection"]
    assert [found[name]["calibration"] for name in names] == wanted


def test_studies_may_name_the_equal_weight_twin_of_a_system_with_searched_weights(config):
    def study(system, kind="comparison", **more):
        rows = [{"label": "twin", "system": system, "protocol": "cross_fitted"}]
        return put(config, "studies.mine", {"kind": kind, "title": "x", "rows": rows, **more})

    check_config(study("DualDL4@equal"))
    for name in ("DualDL4Paper@equal", "NearMah@equal", "DualDL4@chosen"):
        (line,) = faults(study(name))
        assert line.startswith(f"config: studies.mine.rows[0].system: there is no system {name!r}")


@pytest.mark.parametrize("search", ["grid", "linear_program"])
def test_weights_are_given_or_searched_for_and_only_a_grid_is_limited(config, search):
    fine = put(config, "systems.DualDL4.step", 0.002)
    assert "combinations of weights" in faults(fine)[0]
    check_config(put(fine, "systems.DualDL4.search", "linear_program"))
    check_config(given := put(fine, "systems.DualDL4.weights", WEIGHTS))
    (line,) = faults(put(given, "systems.DualDL4.search", search))
    assert line.startswith("config: systems.DualDL4: search and weights exclude each other")
