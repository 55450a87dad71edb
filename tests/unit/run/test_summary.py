"""The lines at the end of a run hold the official scores with protocol, seed and the word untrained."""

from workflow_lib.csv_rows import columns
from workflow_lib.evaluation.evidence_rows import OfficialRow
from workflow_lib.files import write_csv
from workflow_lib.run.summary import summary_lines


def test_scores_stand_with_protocol_seed_and_untrained(tmp_path):
    rows = [
        ("dev", "complete_dev", "branch", "ae_mse", "", "no", 7, "0.5616824"),
        ("dev", "cross_fitted", "system", "DualDL4", "13711", "yes", 7, ""),
    ]
    write_csv(tmp_path / "official.csv", columns(OfficialRow), rows)
    lines = summary_lines([str(tmp_path)])
    assert lines[0].split() == ["suite", "protocol", "kind", "name", "seed", "omega"]
    assert lines[1].split() == ["dev", "complete_dev", "branch", "ae_mse", "-", "0.5617"]
    assert lines[2].split() == ["dev", "cross_fitted", "system", "DualDL4", "13711", "undefined", "(untrained)"]


def test_a_suite_without_labels_says_nothing(tmp_path):
    write_csv(tmp_path / "official.csv", columns(OfficialRow), [])
    assert summary_lines([str(tmp_path), str(tmp_path / "not there")]) == []
