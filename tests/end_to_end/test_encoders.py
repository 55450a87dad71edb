"""The three encoders of the paper, from published file layouts, and one of transformers, through the whole workflow."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import ROOT, SMALL, Workflow

from workflow_lib.dataset.loader import read_waveform
from workflow_lib.dataset.manifest import read_manifest
from workflow_lib.embedding.store import open_store, read_statistics
from workflow_lib.encoders import load_encoder
from workflow_lib.scoring.score_file import read_scores

GOLDEN = ROOT / "tests" / "golden"
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
    "ast": {
        "encoder": "huggingface",
        "checkpoint": "random",
        "seed": 1,
        "embed_dim": 32,
        "depth": 2,
        "num_heads": 2,
        "blocks": [2],
    },
}


def settings() -> dict:
    raw = SMALL["branches"]["tiny_raw"]
    return {
        **SMALL,
        "models": {name: {"kind": "frozen", "length": "native", **model} for name, model in MODELS.items()},
        "branches": {name: {**raw, "model": name, "block": model["blocks"][0]} for name, model in MODELS.items()},
        "systems": {"all": {"branches": list(MODELS), "step": 0.5}},
        "run": {"suites": ["small"], "systems": ["all"], "branches": [], "protocols": ["cross_fitted"]},
    }


@pytest.fixture(scope="module")
def run(small_run, tmp_path_factory) -> Workflow:
    """The recordings of the small run, one of its machines embedded and scored with all encoders."""
    workflow = small_run.copy(tmp_path_factory.mktemp("encoders") / "run")
    workflow.configure(**settings())
    workflow.make(*(f"results/small/scores/{model}/fan" for model in MODELS))
    return workflow


def store_of(workflow: Workflow, model: str) -> Path:
    return workflow.results / "small" / "embeddings" / model / "fan.h5"


@pytest.mark.parametrize("model", MODELS)
def test_stores_and_scores_hold_what_the_library_computes_of_each_clip_alone(run, model):
    entry = MODELS[model]
    options = {key: value for key, value in entry.items() if key not in ("encoder", "checkpoint", "blocks")}
    encoder, (block,) = load_encoder(entry["encoder"], entry["checkpoint"], **options), entry["blocks"]
    clips = read_manifest(run.results / "small" / "manifest" / "fan.csv")
    with open_store(store_of(run, model)) as (content, stored):
        statistics = read_statistics(content, block)
    for index in (0, len(clips) - 1):
        assert stored.name[index] == clips[index].clip
        clip = replace(clips[index], path=str(run.folder / clips[index].path))
        wave = read_waveform(clip, {"sample_rate": 16000, "channels": 2, "resample": False})
        with torch.inference_mode():
            expected = encoder.statistics(encoder.frontend(torch.from_numpy(wave)), [block])[block]
        for channel, values in enumerate((statistics["near"], statistics["far"])):
            for name, moment in zip(("mean", "std"), expected, strict=True):
                torch.testing.assert_close(torch.from_numpy(values[name][index]), moment[channel], rtol=0, atol=2e-5)
    scores = read_scores(run.results / f"small/scores/{model}/fan/{model}.csv")
    assert sorted(scores.clip) == sorted(clip.clip for clip in clips if clip.split == "test")


def test_stores_know_their_weights(run):
    facts = {}
    for model in MODELS:
        with open_store(store_of(run, model)) as (store, _):
            facts[model] = dict(store.attrs)
    assert {model: fact["trained"] for model, fact in facts.items()} == {
        model: "no" if model == "ast" else "yes" for model in MODELS
    }
    assert len({fact["weights_digest"] for fact in facts.values()}) == len(MODELS)


def test_a_damaged_checkpoint_is_one_line_and_leaves_no_store(small_run, tmp_path):
    damaged = tmp_path / "eat.pt"
    damaged.write_bytes((GOLDEN / "eat" / "eat_small_pt.pt").read_bytes()[:100_000])
    workflow, changed = small_run.copy(tmp_path / "again"), settings()
    changed["models"]["eat_file"]["checkpoint"] = str(damaged)
    workflow.configure(**changed)
    target = "results/small/embeddings/eat_file/fan.h5"
    done = workflow.run(target)
    assert done.returncode != 0
    lines = [line for line in done.stdout.splitlines() if "damaged or cut off" in line]
    assert lines and all(str(damaged) in line for line in lines)
    assert not (workflow.folder / target).exists()
    assert not list((workflow.folder / target).parent.glob(".*part*"))
