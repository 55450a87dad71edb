"""The three encoders of the paper, from published file layouts, and one of transformers, through the whole workflow."""

import copy

import pytest
import torch
from conftest import ROOT, SMALL, Workflow

from workflow_lib.dataset.loader import read_waveform
from workflow_lib.dataset.manifest import read_manifest
from workflow_lib.embedding.store import open_store, read_statistics
from workflow_lib.encoders import load_encoder

GOLDEN = ROOT / "tests" / "golden"
SIZES = {"embed_dim": 32, "depth": 2, "num_heads": 2}
MODELS = {
    "eat_file": {"encoder": "eat", "checkpoint": str(GOLDEN / "eat" / "eat_small_pt.pt"), "blocks": [3]},
    "ced_file": {
        "encoder": "ced",
        "checkpoint": str(GOLDEN / "ced" / "hf_layout_model.safetensors"),
        "num_heads": 4,
        "blocks": [3],
    },
    "m2d_file": {
        "encoder": "m2d",
        "checkpoint": str(GOLDEN / "m2d" / "m2d_as_vit_base-80x608p16x16-240213"),
        "num_heads": 4,
        "blocks": [3],
    },
    "ast": {"encoder": "huggingface", "checkpoint": "random", "seed": 1, **SIZES, "blocks": [2]},
}
MACHINES = ["fan", "valve"]


def settings() -> dict:
    found = copy.deepcopy(SMALL)
    found["suites"]["small"]["machines"] = MACHINES
    found["models"] = {name: {"kind": "frozen", "length": "native", **model} for name, model in MODELS.items()}
    raw = SMALL["branches"]["tiny_raw"]
    found["branches"] = {name: {**raw, "model": name, "block": model["blocks"][0]} for name, model in MODELS.items()}
    found["systems"] = {"all": {"branches": list(MODELS), "step": 0.5}}
    found["run"] = {"suites": ["small"], "systems": ["all"], "branches": [], "protocols": ["cross_fitted"]}
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Workflow:
    workflow = Workflow(tmp_path_factory.mktemp("encoders"))
    workflow.configure(**settings())
    workflow.make("results/small/tables")
    return workflow


def store_of(workflow: Workflow, model: str, machine: str):
    return workflow.folder / "results" / "small" / "embeddings" / model / f"{machine}.h5"


@pytest.mark.parametrize("model", MODELS)
def test_the_stores_hold_what_the_library_computes_of_each_clip_alone(run, model):
    entry = MODELS[model]
    options = {key: value for key, value in entry.items() if key not in ("encoder", "checkpoint", "blocks")}
    encoder = load_encoder(entry["encoder"], entry["checkpoint"], **options)
    clips = read_manifest(run.folder / "results" / "small" / "manifest" / "fan.csv")
    with open_store(store_of(run, model, "fan")) as (content, stored):
        statistics = read_statistics(content, entry["blocks"][0])
    for index in (0, len(clips) - 1):
        assert stored.name[index] == clips[index].clip
        path = run.folder / clips[index].path
        wave = read_waveform(
            type(clips[index])(**{**vars(clips[index]), "path": str(path)}),
            {"sample_rate": 16000, "channels": 2, "resample": False},
        )
        with torch.inference_mode():
            expected = encoder.statistics(encoder.frontend(torch.from_numpy(wave)), entry["blocks"])
        for channel, values in zip((0, 1), (statistics["near"], statistics["far"]), strict=True):
            for found, moment in zip(values, expected[entry["blocks"][0]], strict=True):
                torch.testing.assert_close(torch.from_numpy(found[index]), moment[channel], rtol=0, atol=2e-5)


def test_stores_know_their_weights(run):
    facts = {}
    for model in MODELS:
        with open_store(store_of(run, model, "fan")) as (store, _):
            facts[model] = dict(store.attrs)
    assert {model: fact["trained"] for model, fact in facts.items()} == {
        "eat_file": "yes",
        "ced_file": "yes",
        "m2d_file": "yes",
        "ast": "no",
    }
    assert len({fact["weights_digest"] for fact in facts.values()}) == len(MODELS)


def test_a_damaged_checkpoint_is_one_line_and_leaves_no_store(run, tmp_path):
    damaged = tmp_path / "eat.pt"
    damaged.write_bytes((GOLDEN / "eat" / "eat_small_pt.pt").read_bytes()[:100_000])
    workflow, changed = Workflow(tmp_path / "again"), settings()
    changed["models"]["eat_file"]["checkpoint"] = str(damaged)
    workflow.configure(**changed)
    target = "results/small/embeddings/eat_file/fan.h5"
    done = workflow.run(target)
    assert done.returncode != 0
    lines = [line for line in done.stdout.splitlines() if "damaged or cut off" in line]
    assert lines and all(str(damaged) in line for line in lines)
    assert not (workflow.folder / target).exists()
    assert not list((workflow.folder / target).parent.glob(".*part*"))
