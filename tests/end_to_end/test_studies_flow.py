"""Fusion and studies through Snakemake, from score tables made elsewhere: public detectors on the real set of 2026."""

import csv
import html
import json
from itertools import combinations

import pytest
from conftest import ROOT, Workflow

GOLDEN = ROOT / "tests" / "golden" / "fusion"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))["grid_0.1"]
NAMES = EXPECTED["branches"]
BRANCHES = [f"real_{name}" for name in NAMES]
THREE = ["real_ae_mahalanobis", "real_ae_mse", "real_alignment"]


def table_3_like() -> dict:
    """As docs/studies.md shows it: single branches and the fusion, each under its own protocol."""
    single = [{"label": name, "branch": f"real_{name}", "protocol": "complete_dev"} for name in NAMES]
    fused = [
        {"label": label, "system": system, "protocol": protocol}
        for label, system in (("four branches", "four"), ("three branches, equal weights", "three@equal"))
        for protocol in ("cross_fitted", "complete_dev")
    ]
    return {"kind": "scopes", "title": "Public detectors, by selection scope", "rows": [*single, *fused]}


def removal() -> dict:
    rows = [{"label": name, "branch": f"real_{name}"} for name in NAMES]
    title = "One public detector removed"
    return {"kind": "leave_one_branch_out", "title": title, "protocol": "cross_fitted", "system": "four", "rows": rows}


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Workflow:
    workflow = Workflow(tmp_path_factory.mktemp("studies"))
    systems = {
        "four": {"branches": BRANCHES, "step": 0.1},
        "ranked": {"branches": BRANCHES, "search": "linear_program"},
        "three": {"branches": THREE, "shrink": [0, 0.25, 0.5, 0.75, 1]},
        "unlabelled": {"branches": BRANCHES, "search": "none"},  # there are no scores of normal training clips
    }
    workflow.configure(
        suites={"real": {}},
        branches={f"real_{name}": {"scores": str(GOLDEN / name)} for name in NAMES},
        systems=systems,
        run={
            "suites": ["real"],
            "branches": [],
            "systems": list(systems),
            "protocols": ["complete_dev", "cross_fitted"],
        },
        studies={"detectors": table_3_like(), "removal": removal()},
        stand_ins={"ae_mse": "real_ae_mse", "ae_mahalanobis": "real_ae_mahalanobis", "Screen5": "four"},
        evidence={"bootstrap": {"replicates": 200}},
    )
    workflow.make("studies")
    return workflow


def rows(workflow: Workflow, study: str) -> list[dict[str, str]]:
    (path,) = (workflow.results / "real" / "studies" / study).glob(f"{study}*.csv")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def omega(real) -> dict[tuple[str, str], float]:
    return {(row["name"], row["protocol"]): float(row["omega"]) for row in real.rows("real/tables/official.csv")}


def test_real_score_tables_give_the_expected_fusion(real, omega):
    """Weights exactly, figures to 1e-9."""
    for name in NAMES:
        assert omega[f"real_{name}", "complete_dev"] == pytest.approx(EXPECTED["single"][name], abs=1e-9)
    assert omega["four", "cross_fitted"] == pytest.approx(EXPECTED["cross_fitted_omega"], abs=1e-9)
    for machine, fold in EXPECTED["folds"].items():
        weights = real.read_json(f"real/fusion/cross_fitted/{machine}/four/noseed.json")["weights"]
        assert weights == {f"real_{name}": weight for name, weight in fold["weights"].items()}


def test_pairs_of_systems_and_branches_are_compared_and_folds_say_how_they_chose(real, omega):
    """Each pair of systems, of branches, and each system with the best branch."""
    found = {(row["protocol"], row["name_a"], row["name_b"]): row for row in real.rows("real/tables/differences.csv")}
    systems = [name for system in ("four", "ranked", "three") for name in (system, f"{system}@equal")]
    pairs = [(b, a) if b == f"{a}@equal" else (a, b) for a, b in combinations(systems, 2)]
    pairs += [*combinations(sorted(BRANCHES), 2), *((system, "real_alignment") for system in systems)]
    assert sorted(found) == sorted((protocol, *p) for protocol in ("complete_dev", "cross_fitted") for p in pairs)
    for (protocol, a, b), row in found.items():
        difference = float(row["difference"])
        assert difference == pytest.approx(omega[a, protocol] - omega[b, protocol], rel=0, abs=1e-12)
        assert float(row["low"]) <= difference <= float(row["high"])
        assert (row["replicates"], row["level"], row["bootstrap_seed"]) == ("200", "0.95", "13711")
    for system, search in (("four", "grid"), ("ranked", "linear_program")):
        facts = real.read_json(f"real/fusion/cross_fitted/fan/{system}/noseed.json")
        assert (facts["search"], facts["protocol"]) == (search, "cross_fitted")


def test_equal_weights_are_ahead_of_searched_ones_on_the_real_set(real, omega):
    """Six machines choose weights that lose on the seventh; a chosen shrinkage goes all the way to equal ones."""
    assert omega["three@equal", "cross_fitted"] == pytest.approx(0.5788, abs=5e-5)
    assert omega["three", "cross_fitted"] == pytest.approx(omega["three@equal", "cross_fitted"], rel=0, abs=1e-12)
    folds = [row for row in real.rows("real/tables/weights.csv") if row["system"] == "three"]
    assert {row["shrink"] for row in folds if row["protocol"] == "cross_fitted"} == {"1.0"}
    notes = {row["branch"]: row["note"] for row in real.rows("real/tables/notes.csv")}
    assert notes["unlabelled"].startswith("left out: branch real_ae_mse has no scores of normal training clips: put")


def test_table_3_like_rows_of_real_branches_have_the_expected_values(real, omega):
    lines = rows(real, "detectors")
    wanted = [("complete_dev", EXPECTED["single"][name]) for name in NAMES]
    wanted += [("cross_fitted", EXPECTED["cross_fitted_omega"]), ("complete_dev", EXPECTED["complete_dev"]["omega"])]
    wanted += [(protocol, omega["three@equal", protocol]) for protocol in ("cross_fitted", "complete_dev")]
    assert [line["protocol"] for line in lines] == [protocol for protocol, _ in wanted]
    for line, (_, value) in zip(lines, wanted, strict=True):
        assert float(line["value"]) == pytest.approx(value, abs=1e-9)
        assert float(line["low"]) < value < float(line["high"])
        assert (line["untrained"], line["seeds"], line["published"]) == ("no", "1", "")


def test_a_study_of_the_paper_takes_what_stands_in_and_names_the_rest(real):
    lines = rows(real, "table_2")
    assert len(lines) == 9
    assert [line["published"] for line in lines[:2]] == ["0.561682", "0.580897"]
    for line, name in zip(lines, ("ae_mse", "ae_mahalanobis"), strict=False):
        assert float(line["value"]) == pytest.approx(EXPECTED["single"][name], abs=1e-9)
        assert line["remark"] == f"stand-in: real_{name}; published: suite dev"
    assert all(line["value"] == "" and line["remark"].startswith("not part of this run") for line in lines[2:])
    tex = (real.results / "real/studies/table_2/table_2-complete_dev.tex").read_text(encoding="utf-8")
    assert "ours (real)" in tex and "0.561682" in tex


def test_the_figure_of_removed_branches_shows_their_changes(real):
    whole, *lines = rows(real, "removal")
    assert float(whole["value"]) == pytest.approx(EXPECTED["cross_fitted_omega"], abs=1e-9)
    changes = [line for line in lines if line["metric"] == "change"]
    without = [line for line in lines if line["metric"] == "omega"]
    assert [line["label"] for line in changes] == NAMES
    for change, rest in zip(changes, without, strict=True):
        assert float(rest["value"]) - float(whole["value"]) == pytest.approx(float(change["value"]), abs=1e-9)
    folder = real.results / "real/studies/removal"
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
    page = real.page()
    made = sorted(path.name for path in (real.results / "real/studies").iterdir() if path.is_dir())
    expected = {"detectors", "removal", "table_1", "table_2", "table_3", "figure_3a", "figure_3b", "autoencoder"}
    assert set(made) == expected
    for name in made:
        assert rows(real, name)[0]["title"] in html.unescape(page), name
        assert f"studies/{name}/" in page


def test_a_second_run_makes_nothing_and_the_studies_are_made_again_alone(real):
    assert "Nothing to be done" in real.make("studies")
    output = real.make("--forcerun", "make_studies", "--", "results/real/studies")
    assert "Make the studies of suite real" in output and "Tabulate" not in output
