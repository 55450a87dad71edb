"""The files of the official baseline: the golden run's own, byte for byte, from its scores and its batch values."""

from pathlib import Path

import numpy as np
import pytest
from autoencoder_cases import EXPECTED, FOLDER, MACHINES, SEED

from workflow_lib.errors import UserError
from workflow_lib.scoring.score_table import ScoreTable
from workflow_lib.scoring.thresholds import Threshold, baseline_threshold
from workflow_lib.submission.baseline_files import MachineScores, baseline_files, baseline_folder


def golden_scores(machine, score, **changes):
    golden, key = EXPECTED[machine], score.lower()
    domain = np.where(golden["test_target"].astype(bool), "target", "source")
    clips = [Path(str(name)).name for name in golden["test_names"]]
    table = ScoreTable(clips, domain, golden["test_label"].astype(float), golden[key])
    threshold = baseline_threshold(golden[f"ypred_{key}"])
    return MachineScores(machine, SEED, **{"table": table, "threshold": threshold, **changes})


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("score", ["MSE", "MAHALA"])
def test_files_equal_the_baselines_byte_for_byte(machine, score):
    expected = {path.name: path.read_bytes() for path in (FOLDER / machine / "csv" / score).iterdir()}
    assert len(expected) == 3
    scores = golden_scores(machine, score)
    assert baseline_files(scores) == expected
    # The fit is kept whatever speaks against it.
    assert scores.threshold.value == pytest.approx(float(EXPECTED[machine][f"threshold_{score.lower()}"]), rel=1e-9)


def test_an_evaluation_set_has_its_own_folder_suffix_and_order_and_no_figures():
    clips = [f"section_00_{number:04d}.wav" for number in (2, 0, 1)]
    table = ScoreTable(clips, ["", "", ""], [np.nan] * 3, [2.5, 0.1, 1.0])
    files = baseline_files(MachineScores("fan", 7, table, Threshold(1.0, 20), evaluation=True))
    scores = b"section_00_0000.wav,0.10000000149011612\nsection_00_0001.wav,1.0\nsection_00_0002.wav,2.5\n"
    decisions = b"section_00_0000.wav,0\nsection_00_0001.wav,0\nsection_00_0002.wav,1\n"
    of = "DCASE2026T2fan_section_00_test_seed7_id(0_)_Eval.csv"
    assert files == {f"anomaly_score_{of}": scores, f"decision_result_{of}": decisions}
    assert baseline_folder("MAHALA", True) == "results/eval_data/baseline_MAHALA"


def figures_of(parts: list[tuple[str, str]], value: float) -> tuple[dict[str, bytes], list[list[str]]]:
    """All files, and the cells of the table of figures, of three normal and three anomalous clips in each part.

    parts: section and domain; scores rise from clip to clip, value is the threshold.
    """
    names = [f"section_{s}_{d}_test_{k}_{i}.wav" for s, d in parts for k in ("normal", "anomaly") for i in range(3)]
    domains, anomaly = [name.split("_")[2] for name in names], [float("anomaly" in name) for name in names]
    table = ScoreTable(names, domains, anomaly, np.arange(float(len(names))))
    files = baseline_files(MachineScores("fan", 7, table, Threshold(value, 20)))
    lines = files["result_DCASE2026T2fan_test_seed7_id(0_)_roc.csv"].decode().split("\n")
    return files, [line.split(",") for line in lines]


def test_sections_have_files_of_their_own_and_one_of_figures():
    files, cells = figures_of([(s, d) for s in ("00", "01") for d in ("source", "target")], 4.5)
    assert len(files) == 5
    assert [row[0] for row in cells] == ["section", "00", "01", "arithmetic mean", "harmonic mean", "", ""]
    assert cells[1][1:3] == ["1.0", repr(1 - 9 / 18)]


def test_a_section_without_one_of_the_domains_has_no_figure_of_it():
    _, (header, first, second, *_) = figures_of([("00", "source"), ("00", "target"), ("01", "source")], 4.5)
    undefined = [name for name, cell in zip(header, second, strict=True) if cell == "nan"]
    assert undefined == [name for name in header if name.endswith("(target)")]
    assert "nan" not in first


def test_one_domain_gives_the_columns_without_domains():
    _, (header, *_) = figures_of([("00", "source")], 3.5)
    assert header == ["section", "AUC", "pAUC", "precision", "recall", "F1 score"]


def test_a_fit_that_fails_says_so_and_decides_nothing():
    threshold = baseline_threshold([3.0, 3.0, 3.0])
    assert np.isnan(threshold.value) and threshold.note.startswith("gamma fit failed")
    files = baseline_files(golden_scores("fan", "MSE", threshold=threshold))
    assert [name.split("_DCASE")[0] for name in files] == ["anomaly_score"]


def test_a_threshold_that_the_baseline_keeps_carries_what_speaks_against_it():
    sample = np.r_[np.full(40, 1.0), np.linspace(1.0, 1.001, 40), np.full(40, 9.0)]
    threshold = baseline_threshold(sample)
    assert np.isfinite(threshold.value)
    assert threshold.note.endswith("kept as the baseline keeps it")


def test_clips_named_otherwise_are_refused_in_one_line():
    table = ScoreTable(["a.wav", "b.wav"], ["", ""], [np.nan] * 2, [1.0, 2.0])
    with pytest.raises(UserError, match=r"fan: .*a\.wav and 1 more does not begin with section_"):
        baseline_files(MachineScores("fan", 7, table, Threshold(1.0, 20)))
