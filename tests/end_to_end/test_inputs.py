"""What users bring: faulty recordings, unlabelled clips, machines without target clips, broken tables."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import ROOT, SMALL, Workflow

from workflow_lib.scoring.score_file import read_normal_scores, read_scores
from workflow_lib.scoring.thresholds import decision_threshold

AE_ONLY = {"branches": ["ae_mse"], "systems": ["NearMah"], "protocols": ["complete_dev", "cross_fitted"]}
LABELLED = [
    f"section_00_{domain}_test_{label}_{i:04d}_noAttribute.wav"
    for domain in ("source", "target")
    for label in ("normal", "anomaly")
    for i in range(3)
]


def write_machine(folder: Path, test_names: list[str], *, target: int = 2) -> None:
    rng = np.random.default_rng(len(folder.name))
    names = [f"train/section_00_source_train_normal_{i:04d}_noAttribute.wav" for i in range(8)]
    names += [f"train/section_00_target_train_normal_{i:04d}_noAttribute.wav" for i in range(target)]
    for name in [*names, *(f"test/{name}" for name in test_names)]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * rng.standard_normal((8000, 2)), 16000, subtype="PCM_16")


def own(tmp_path: Path, *, run=None, suites=None, **settings) -> Workflow:
    workflow, suites = Workflow(tmp_path / "run"), suites or {"mine": {}}
    workflow.configure(
        suites={name: {"root": f"../my recordings/{name}", **suite} for name, suite in suites.items()},
        run={**AE_ONLY, **(run or {})},
        models={"ae": {"epochs": 1}, "ae_residual": {"epochs": 1}, **settings.pop("models", {})},
        compute={"threads": 1, "device": "cpu"},
        **settings,
    )
    return workflow


def test_faulty_recordings_are_listed_together_and_nothing_is_written(tmp_path):
    root = tmp_path / "my recordings" / "mine"
    for machine in ("fan", "pump", "sound press"):
        write_machine(root / machine, LABELLED)
    (root / "fan" / "train" / "section_00_source_train_normal_0003_noAttribute.wav").write_bytes(b"no sound")
    truncated = root / "pump" / "test" / LABELLED[0]
    truncated.write_bytes(truncated.read_bytes()[:900])
    (root / "pump" / "train" / "a clip.wav").write_bytes((root / "pump" / "test" / LABELLED[1]).read_bytes())
    soundfile.write(root / "sound press" / "test" / LABELLED[2], np.zeros((8000, 2)), 44100)
    soundfile.write(root / "sound press" / "test" / LABELLED[3], np.zeros((1600, 2)), 16000)
    soundfile.write(root / "sound press" / "test" / LABELLED[4], np.full((8000, 2), 1e30), 16000, subtype="FLOAT")
    done = own(tmp_path).run()
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    faulty = [line for line in done.stdout.splitlines() if line.startswith("../my recordings/mine/")]
    assert len(faulty) == 6, done.stdout
    assert not (tmp_path / "run" / "results").exists()


@pytest.fixture(scope="module")
def three_suites(tmp_path_factory) -> Workflow:
    """Suites without labels, without target clips, and with a machine whose test clips are all normal, in one run."""
    folder = tmp_path_factory.mktemp("inputs")
    recordings = folder / "my recordings"
    for machine in ("fan", "pump"):
        write_machine(recordings / "unlabelled" / machine, [f"section_00_{i:04d}.wav" for i in range(5)])
        write_machine(recordings / "quiet" / machine, LABELLED)
    write_machine(recordings / "quiet" / "quiet", [name for name in LABELLED if "normal" in name])
    write_machine(recordings / "source" / "fan", [name for name in LABELLED if "source" in name], target=0)
    suites = {"unlabelled": {}, "quiet": {}, "source": {}}
    run = {"systems": ["NearMah", "NearRes", "Plain"]}
    systems = {"Plain": {"branches": ["ae_mse", "ae_mahalanobis"], "search": "none"}}
    assert "allow_no_target" in own(folder, run=run, suites=suites, systems=systems).run().stdout
    workflow = own(folder, run=run, suites={**suites, "source": {"allow_no_target": True}}, systems=systems)
    workflow.make()
    return workflow


def test_unlabelled_clips_are_ranked_and_not_evaluated(three_suites):
    ranking = three_suites.rows("unlabelled/tables/ranking.csv")
    assert {(row["name"], row["machine"]) for row in ranking} == {
        (name, machine) for name in ("ae_mse", "ae_mahalanobis", "NearMah", "Plain") for machine in ("fan", "pump")
    }
    first = [row for row in ranking if (row["name"], row["machine"]) == ("NearMah", "fan")]
    assert [int(row["rank"]) for row in first] == [1, 2, 3, 4, 5]
    assert [float(row["score"]) for row in first] == sorted((float(row["score"]) for row in first), reverse=True)
    assert three_suites.rows("unlabelled/tables/official.csv") == []
    assert "not evaluated" in three_suites.page()


@pytest.mark.parametrize(
    ("suite", "machine", "protocols"),
    [
        ("unlabelled", "pump", ["complete_dev"]),
        ("source", "fan", ["complete_dev"]),  # its only machine
        ("quiet", "quiet", ["complete_dev", "cross_fitted"]),
    ],
)
def test_equal_weights_of_z_need_no_label_and_no_other_machine(three_suites, suite, machine, protocols):
    """The fused scores and their threshold, computed plainly; no fold is fitted for the system."""
    folder = three_suites.results / suite
    branches = ("ae_mse", "ae_mahalanobis")
    tables = {b: read_scores(folder / f"scores/ae/{machine}/{b}.csv") for b in branches}
    normal = {b: read_normal_scores(folder / f"normal_scores/ae/{machine}/{b}.csv").score for b in branches}

    def fused(scores):
        return sum((scores[b] - normal[b].mean()) / normal[b].std() for b in branches) / 2

    wanted, thresholds = fused({b: table.score for b, table in tables.items()}), []
    for protocol in protocols:
        found = read_scores(folder / f"fused/{protocol}/{machine}/Plain/noseed.csv")
        np.testing.assert_allclose(found.score, wanted, rtol=1e-12)
        rows = three_suites.rows(f"{suite}/tables/thresholds.csv")
        thresholds += [row for row in rows if (row["name"], row["machine"]) == ("Plain", machine)]
        assert not (folder / f"fusion/{protocol}" / machine / "Plain").exists()
    clips = len(normal["ae_mse"])
    assert thresholds and {row["normal_clips"] for row in thresholds} == {str(clips)}
    for row in thresholds:  # eight normal clips are too few for a gamma fit
        expected = decision_threshold(fused(normal), row["method"], float(row["quantile"])).value
        assert float(row["threshold"] or "nan") == pytest.approx(expected, rel=1e-6, nan_ok=True)
    weights = [row for row in three_suites.rows(f"{suite}/tables/weights.csv") if row["system"] == "Plain"]
    assert {(row["branch"], row["weight"], row["median"]) for row in weights} == {(b, "0.5", "") for b in branches}
    assert "Plain: each machine is calibrated by its own normal training clips." in three_suites.page()


def official(workflow: Workflow, suite: str) -> dict[tuple[str, str], str]:
    rows = workflow.rows(f"{suite}/tables/official.csv")
    return {(row["name"], row["protocol"]): row["omega"] for row in rows}


def test_a_machine_without_target_clips_runs_when_it_is_allowed(three_suites):
    assert official(three_suites, "source")["ae_mse", "complete_dev"] == ""
    row = three_suites.rows("source/tables/machines.csv")[0]
    assert row["target_auc"] == ""
    assert 0 <= float(row["source_auc"]) <= 1


def test_a_machine_with_normal_test_clips_only_costs_no_other_its_report(three_suites):
    rows = three_suites.rows("quiet/tables/machines.csv")
    source_auc = {(row["name"], row["protocol"], row["machine"]): row["source_auc"] for row in rows}
    assert source_auc["NearRes", "cross_fitted", "fan"]
    assert source_auc["NearRes", "cross_fitted", "quiet"] == ""
    assert official(three_suites, "quiet")["NearRes", "cross_fitted"] == ""


def test_silent_clips_and_mixed_rates_go_through_both_paths(tmp_path):
    """All normals of one machine equal, rates mixed: said in the notes, never a crash or a NaN."""
    root = tmp_path / "my recordings" / "mine"
    write_machine(root / "fan", LABELLED)
    write_machine(root / "silent", LABELLED)
    for path in sorted((root / "silent").rglob("*.wav")):
        soundfile.write(path, np.zeros((8000, 2)), 16000)
    soundfile.write(root / "fan" / "test" / LABELLED[0], 0.1 * np.ones((22050, 2)), 44100)
    workflow = own(
        tmp_path,
        run={"branches": ["tiny_whitened"], "systems": [], "protocols": ["complete_dev"]},
        suites={"mine": {"resample": True}},
        models={"tiny": SMALL["models"]["tiny"]},
        branches={"tiny_whitened": SMALL["branches"]["tiny_whitened"]},
    )
    workflow.make("results/mine/tables")
    notes = [row["note"] for row in workflow.rows("mine/tables/notes.csv")]
    assert any("no PCA and no whitening: 10 normal training clips with one and the same vector" in n for n in notes)
    assert "nan" not in (workflow.results / "mine/tables/ranking.csv").read_text(encoding="utf-8")


def test_listing_the_recordings_asks_for_no_weights_and_says_what_lies_beside_the_machines(tmp_path):
    root = tmp_path / "my recordings" / "mine"
    write_machine(root / "fan", LABELLED)
    (root / "Pump" / "Train").mkdir(parents=True)
    workflow = Workflow(tmp_path / "run")
    run = {"systems": ["NearMah"], "branches": ["eat_raw"]}
    workflow.configure(run=run, suites={"mine": {"root": "../my recordings/mine"}})
    assert "suite mine: not a machine of it, not used: Pump" in workflow.make("index")
    assert workflow.files("mine/manifest/fan.csv")
    assert "models.eat.checkpoint: there is no" in workflow.run().stdout


def test_a_failing_job_ends_the_output_with_its_one_line(tmp_path):
    """A table made elsewhere that breaks in the middle: the line comes last, after all that Snakemake says."""
    workflow = Workflow(tmp_path / "run")
    (tmp_path / "tables").mkdir()
    text = (ROOT / "tests/golden/fusion/ae_mse/fan.csv").read_text(encoding="utf-8")
    (tmp_path / "tables" / "fan.csv").write_text(text.replace(",source,1,8.6", ",source,1,x8.6", 1), encoding="utf-8")
    workflow.configure(
        suites={"real": {}},
        branches={"broken": {"scores": "../tables"}},
        run={"suites": ["real"], "branches": ["broken"], "systems": [], "protocols": ["complete_dev"]},
    )
    done = workflow.run()
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    end = done.stdout.partition("Exiting because a job execution failed")[2]
    assert "../tables/fan.csv: clips whose score is not a finite number" in end, done.stdout[-1500:]
