"""Studies through Snakemake, from score tables made elsewhere: four public detectors on the real development set."""

import csv
import html
import json

import pytest
from conftest import ROOT, Workflow

GOLDEN = ROOT / "tests" / "golden" / "fusion"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))["grid_0.1"]
BRANCHES = EXPECTED["branches"]


def table_3_like() -> dict:
    """As docs/studies.md shows it: single branches and the fusion, each under its own protocol."""
    single = [{"label": name, "branch": f"real_{name}", "protocol": "complete_dev"} for name in BRANCHES]
    fused = [
        {"label": "four branches", "system": "four", "protocol": protocol}
        for protocol in ("cross_fitted", "complete_dev")
    ]
    return {"kind": "scopes", "title": "Public detectors, by selection scope", "rows": [*single, *fused]}


def removal() -> dict:
    rows = [{"label": name, "branch": f"real_{name}"} for name in BRANCHES]
    title = "One public detector removed"
    return {"kind": "leave_one_branch_out", "title": title, "protocol": "cross_fitted", "system": "four", "rows": rows}


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Workflow:
    workflow = Workflow(tmp_path_factory.mktemp("studies"))
    workflow.configure(
        suites={"real": {}},
        branches={f"real_{name}": {"scores": str(GOLDEN / name)} for name in BRANCHES},
        systems={"four": {"branches": [f"real_{name}" for name in BRANCHES], "step": 0.1}},
        run={"suites": ["real"], "branches": [], "systems": ["four"], "protocols": ["complete_dev", "cross_fitted"]},
        studies={"detectors": table_3_like(), "removal": removal()},
        stand_ins={"ae_mse": "real_ae_mse", "ae_mahalanobis": "real_ae_mahalanobis", "Screen5": "four"},
        evidence={"bootstrap": {"replicates": 100}},
    )
    workflow.make("studies")
    return workflow


def rows(workflow: Workflow, study: str) -> list[dict[str, str]]:
    (path,) = (workflow.folder / "results" / "real" / "studies" / study).glob(f"{study}*.csv")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_table_3_like_rows_of_real_branches_have_the_expected_values(real):
    lines = rows(real, "detectors")
    wanted = [("complete_dev", EXPECTED["single"][name]) for name in BRANCHES]
    wanted += [("cross_fitted", EXPECTED["cross_fitted_omega"]), ("complete_dev", EXPECTED["complete_dev"]["omega"])]
    assert [line["protocol"] for line in lines] == [protocol for protocol, _ in wanted]
    for line, (_, omega) in zip(lines, wanted, strict=True):
        assert float(line["value"]) == pytest.approx(omega, abs=1e-9)
        assert float(line["low"]) < omega < float(line["high"])
        assert (line["untrained"], line["seeds"], line["published"]) == ("no", "1", "")


def test_a_study_of_the_paper_takes_what_stands_in_and_names_the_rest(real):
    lines = rows(real, "table_2")
    assert len(lines) == 9
    assert [line["published"] for line in lines[:2]] == ["0.561682", "0.580897"]
    for line, name in zip(lines, ("ae_mse", "ae_mahalanobis"), strict=False):
        assert float(line["value"]) == pytest.approx(EXPECTED["single"][name], abs=1e-9)
        assert line["remark"] == f"stand-in: real_{name}; published: suite dev"
    assert all(line["value"] == "" and line["remark"].startswith("not part of this run") for line in lines[2:])
    tex = (real.folder / "results/real/studies/table_2/table_2-complete_dev.tex").read_text(encoding="utf-8")
    assert "ours (real)" in tex and "0.561682" in tex


def test_the_figure_of_removed_branches_shows_their_changes(real):
    whole, *lines = rows(real, "removal")
    assert float(whole["value"]) == pytest.approx(EXPECTED["cross_fitted_omega"], abs=1e-9)
    changes = [line for line in lines if line["metric"] == "change"]
    without = [line for line in lines if line["metric"] == "omega"]
    assert [line["label"] for line in changes] == BRANCHES
    for change, rest in zip(changes, without, strict=True):
        assert float(rest["value"]) - float(whole["value"]) == pytest.approx(float(change["value"]), abs=1e-9)
    folder = real.folder / "results/real/studies/removal"
    svg = (folder / "removal-cross_fitted.svg").read_text(encoding="utf-8")
    assert "protocol cross_fitted" in svg and "alignment" in svg
    assert (folder / "removal-cross_fitted.png").stat().st_size > 1000


def test_the_heat_map_holds_the_folds_figures(real):
    found = {(line["label"], line["metric"]): line for line in rows(real, "figure_3b")}
    for machine, fold in EXPECTED["folds"].items():
        for metric, key in (("source_auc", "source"), ("target_auc", "target"), ("pauc", "pauc")):
            assert float(found[machine, metric]["value"]) == pytest.approx(fold[key], abs=1e-9)
    assert found["fan", "target_auc"]["published"] == "0.535"


def test_the_report_shows_every_study(real):
    page = (real.folder / "results" / "report.html").read_text(encoding="utf-8")
    made = sorted(path.name for path in (real.folder / "results/real/studies").iterdir())
    expected = {"detectors", "removal", "table_1", "table_2", "table_3", "figure_3a", "figure_3b", "autoencoder"}
    assert set(made) == expected
    for name in made:
        assert rows(real, name)[0]["title"] in html.unescape(page), name
        assert f"studies/{name}/" in page


def test_a_second_run_makes_nothing_and_one_study_is_made_alone(real):
    assert "Nothing to be done" in real.make("studies")
    real.make("--config", "run={studies: [table_2]}", "--", "results/real/studies")
    assert [path.name for path in (real.folder / "results/real/studies").iterdir()] == ["table_2"]
