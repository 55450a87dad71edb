"""`snakemake fetch_weights` through Snakemake: refused, accepted, and nothing to do."""

import copy
import shutil

import pytest
from conftest import ROOT, SMALL, Workflow
from fetch_server import fill_hub_cache

from workflow_lib.fetch.published import published

WEIGHTS = ROOT / "tests" / "golden" / "ced" / "hf_layout_model.safetensors"
CED = published()["ced"][0]


def settings(accepted: list[str]) -> dict:
    found = copy.deepcopy(SMALL)
    found["suites"]["small"]["machines"] = ["fan"]
    place = {"checkpoint": "weights/ced/model.safetensors", "num_heads": 4, "blocks": [2]}
    found["models"] = {"small_ced": {"kind": "frozen", "encoder": "ced", **place}}
    found["branches"] = {"small_ced": {**SMALL["branches"]["tiny_raw"], "model": "small_ced"}}
    found["systems"] = {}
    found["run"] = {"suites": ["small"], "systems": [], "branches": ["small_ced"], "protocols": ["complete_dev"]}
    return {**found, "fetch": {"accept_licence": accepted, "attempts": 2}}


@pytest.fixture
def site(site, tmp_path, monkeypatch):
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    monkeypatch.setenv("HF_ENDPOINT", site.url("/hf"))
    monkeypatch.setenv("NO_PROXY", "*")
    site.put_weights(CED.huggingface, CED.file, WEIGHTS.read_bytes())
    return site


def test_weights_are_refused_accepted_and_fetched_once(site, tmp_path, monkeypatch):
    workflow = Workflow(tmp_path / "run")
    workflow.configure(**settings([]))
    done = workflow.run("fetch_weights")
    assert done.returncode != 0
    assert "CED-Base is under GPL-3.0" in done.stdout and "add ced to fetch.accept_licence" in done.stdout
    assert "Traceback" not in done.stdout and not site.requests
    assert not (workflow.folder / "weights").exists()

    workflow.configure(**settings(["ced"]))
    assert f"{CED.title}: {CED.licence}, {CED.licence_url}" in workflow.make("fetch_weights")
    assert (workflow.folder / "weights/ced/model.safetensors").read_bytes() == WEIGHTS.read_bytes()
    asked = len(site.requests)
    assert "there already" in workflow.make("fetch_weights")
    assert len(site.requests) == asked

    shutil.rmtree(workflow.folder / "weights")
    fill_hub_cache(tmp_path / "huggingface" / "hub", CED.huggingface, CED.file, WEIGHTS.read_bytes())
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    workflow.make("fetch_weights")
    assert (workflow.folder / "weights/ced/model.safetensors").read_bytes() == WEIGHTS.read_bytes()
    assert len(site.requests) == asked
