"""The DAG of `search: pseudo`: no test clip, no label and no other machine's test enters a machine's weights."""

from pathlib import Path

import pytest
from conftest import Workflow
from test_paper_dag import Dag

MACHINES = ["fan", "pump", "valve"]
NAMES = {
    "train": [f"section_00_{d}_train_normal_{n:04d}_spd_1.wav" for d in ("source", "target") for n in range(5)],
    "test": [f"section_00_source_test_{label}_0000_spd_1.wav" for label in ("normal", "anomaly")],
}


@pytest.fixture(scope="module")
def dag(tmp_path_factory) -> Dag:
    """All jobs of a suite of one's own: spectra, and an autoencoder, which is trained without the left-out clips."""
    folder = tmp_path_factory.mktemp("pseudo")
    for machine in MACHINES:
        for split, names in NAMES.items():
            (folder / "mine" / machine / split).mkdir(parents=True)
            for name in names:
                (folder / "mine" / machine / split / name).touch()
    workflow = Workflow(folder)
    workflow.configure(
        run={"suites": ["mine"], "systems": ["own"], "branches": [], "protocols": ["complete_dev", "cross_fitted"]},
        suites={"mine": {"root": "mine"}},
        systems={"own": {"branches": ["spectral", "ae_mahalanobis"], "search": "pseudo"}},
        studies={"own": {"kind": "pseudo", "title": "Ranked", "protocol": "complete_dev", "system": "own"}},
    )
    return Dag.read(workflow, "all")


def test_nothing_of_the_test_clips_is_an_ancestor_of_the_weights(dag):
    made = [job for job in dag.jobs if job["output"] and "/mine@pseudo/" in job["output"][0]]
    assert {job["rule"] for job in made} == {
        *("disturb_machine", "index_machine", "embed_spectra", "train_autoencoder", "apply_autoencoder", "score_model"),
    }
    read = {path for job in dag.ancestors(path for job in made for path in job["output"]) for path in job["input"]}
    outside = {path for path in read if "/mine@pseudo/" not in path}
    assert outside == {f"mine/{machine}/train" for machine in MACHINES}, "recordings of the suite itself: training only"
    (fan,) = [job for job in made if job["rule"] == "disturb_machine" and Path(job["output"][0]).name == "fan"]
    assert fan["input"] == ["mine/fan/train", "mine/pump/train"]


def test_only_the_fusion_of_the_same_machine_and_the_study_read_pseudo_anomalies(dag):
    jobs = [job for job in dag.jobs if job["output"]]
    readers = {}
    for job in jobs:
        paths = [path for path in job["input"] if "/mine@pseudo/" in path]
        if paths and "/mine@pseudo/" not in job["output"][0]:
            readers.setdefault(job["rule"], []).append((Path(job["output"][0]).name, paths))
    assert set(readers) == {"fuse_machine", "make_studies"}
    for machine, paths in readers["fuse_machine"]:
        models = ("logmel", "ae")
        assert sorted(paths) == sorted(f"results/mine@pseudo/scores/{model}/{machine}" for model in models)
    assert not [job for job in jobs if job["rule"] == "fit_folds"]
