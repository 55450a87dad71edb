"""Studies: what they take from a run, the paper's value beside ours, protocols that never share a column."""

import copy
import csv
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from real_scores import GOLDEN, MACHINES, real_tables

from workflow_lib.config.checks import check_config
from workflow_lib.csv_rows import write_rows
from workflow_lib.errors import UserError
from workflow_lib.evaluation import Evidence, write_tables
from workflow_lib.evaluation.bootstrap import Resampling
from workflow_lib.evaluation.evidence_rows import (
    TABLES,
    DifferenceRow,
    MachineRow,
    OfficialRow,
    SeedsRow,
    UncertaintyRow,
)
from workflow_lib.fusion.cross_fit import cross_fit
from workflow_lib.plan.load import load_plan
from workflow_lib.plan.studies import Studies
from workflow_lib.scoring.score_file import write_scores
from workflow_lib.scoring.score_table import ScoreTable
from workflow_lib.studies.comparison import comparison_rows, scope_rows
from workflow_lib.studies.job import make_study
from workflow_lib.studies.latex import escape, latex_table
from workflow_lib.studies.lookup import EvidenceLookup

ROOT = Path(__file__).parents[3]
BOOTSTRAP = {"replicates": 50, "level": 0.95, "seed": 1}


@pytest.fixture
def config(monkeypatch, tmp_path):
    """The paper's configuration, in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    return yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))


def planned(config) -> Studies:
    return Studies(load_plan(config, ROOT / "config.yaml"))


@pytest.fixture
def tables(tmp_path) -> Path:
    """Tables of evidence: an autoencoder branch without seeds, an untrained adapted one with two, and two systems."""
    folder = tmp_path / "tables"
    folder.mkdir()
    mse = ("dev", "complete_dev", "branch", "ae_mse", "", False)
    adapted = [("dev", "complete_dev", "branch", "dualmic", seed, True) for seed in ("13711", "2026")]
    systems = [("dev", "cross_fitted", "system", name, "", False) for name in ("one", "two")]
    scored = list(zip([mse, *adapted, *systems], [0.56, 0.61, 0.63, 0.60, 0.65], strict=True))
    drawn = (0.95, 2000, 1)
    rows = {
        "official": [OfficialRow(*who, 2, omega) for who, omega in scored],
        "uncertainty": [UncertaintyRow(*who, omega, omega - 0.01, omega + 0.02, *drawn) for who, omega in scored],
        "seeds": [SeedsRow(*who[:4], who[5], 1, omega, None) for who, omega in scored if not who[4]],
        "differences": [
            DifferenceRow(*systems[0][:5], *systems[1][2:], -0.05, -0.08, -0.01, 0.95, 0.99, *drawn[1:]),
        ],
        "machines": [
            MachineRow(*who, machine, source_auc, 0.5, None, 0.6)
            for who, source_auc in zip(adapted, (0.7, 0.9), strict=True)
            for machine in ("fan", "valve")
        ],
    }
    rows["seeds"].append(SeedsRow(*adapted[0][:4], True, 2, 0.62, 0.0141421356))
    for name, of_table in rows.items():
        write_rows(folder / f"{name}.csv", TABLES[name], of_table)
    return folder


def row(**settings):
    found = {"detail": "", "kind": "branch", "stand_in": False, "seed": "", "published": None, "absent": ""}
    return {**found, "protocol": "complete_dev", **settings, "label": settings.get("label", settings["entry"])}


def settings(*rows, kind="comparison", suite="dev", **more):
    found = {"name": "mine", "kind": kind, "title": "a_b & c", "paper": "Table 9", "suite": suite, "rows": list(rows)}
    return {
        **found,
        "published_suite": "dev",
        "fewer_machines": "",
        "seeds": ["13711", "2026"],
        "bootstrap": BOOTSTRAP,
        "removal": {},
        **more,
    }


def made(tmp_path, study, tables, name="study") -> tuple[list[dict[str, str]], str, list[str]]:
    """(rows of the CSV, the LaTeX, all file names) of a study."""
    folder = tmp_path / name
    make_study(study, tables, folder)
    (table,) = folder.glob("mine*.csv")
    lines = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    tex = table.with_suffix(".tex").read_text(encoding="utf-8")
    return lines, tex, sorted(path.name for path in folder.iterdir())


# ---- rows ------------------------------------------------------------------------------------------------------------


def test_a_row_has_ours_the_interval_and_the_papers(tmp_path, tables):
    (line,), _, files = made(tmp_path, settings(row(entry="ae_mse", published=0.561682)), tables)
    assert (line["value"], line["low"], line["high"]) == ("0.56", repr(0.56 - 0.01), repr(0.56 + 0.02))
    assert (line["published"], line["protocol"], line["untrained"]) == ("0.561682", "complete_dev", "no")
    assert (line["seeds"], line["sd"], line["remark"]) == ("1", "", "")
    assert files == ["mine-complete_dev.csv", "mine-complete_dev.tex"]


def test_a_figure_over_seeds_is_a_mean_with_its_deviation_and_says_whose_interval_it_shows(tmp_path, tables):
    (mean, one), tex, _ = made(tmp_path, settings(row(entry="dualmic"), row(entry="dualmic", seed="2026")), tables)
    assert (mean["value"], mean["sd"], mean["seeds"]) == ("0.62", "0.0141421356", "2")
    assert (mean["low"], mean["remark"]) == (repr(0.61 - 0.01), "interval of seed 13711")
    assert (one["value"], one["low"], one["sd"], one["remark"]) == ("0.63", repr(0.63 - 0.01), "", "")
    assert r"0.6200 $\pm$ 0.0141 (2 seeds)" in tex
    assert "ours (dev, untrained)" in tex


def test_fewer_machines_than_were_published_are_said(tmp_path, tables):
    study = settings(row(entry="ae_mse"), fewer_machines="of 2 of 7 machines: fan, valveEmu")
    (line,), _, _ = made(tmp_path, study, tables)
    assert line["remark"] == "of 2 of 7 machines: fan, valveEmu"


def test_what_a_run_does_not_have_stays_in_the_table(tmp_path, tables):
    absent = row(entry="eat_raw", published=0.583375, absent="not part of this run: branch eat_raw")
    lines, tex, _ = made(tmp_path, settings(row(entry="ae_mse"), absent), tables)
    assert (lines[1]["value"], lines[1]["published"], lines[1]["untrained"]) == ("", "0.583375", "no")
    assert lines[1]["remark"] == "not part of this run: branch eat_raw"
    assert r"branch eat\_raw" in tex and "0.583375" in tex


def test_another_suite_and_a_stand_in_are_said(tmp_path, tables):
    stand_in = row(label="EAT", entry="dualmic", published=0.5, stand_in=True)
    (line,), tex, _ = made(tmp_path, settings(stand_in, suite="demo"), tables)
    assert line["remark"] == "stand-in: dualmic; interval of seed 13711; published: suite dev"
    assert (line["suite"], line["untrained"]) == ("demo", "yes")
    assert "ours (demo, untrained)" in tex


def test_untrained_rows_among_trained_ones_are_marked_one_by_one(tmp_path, tables):
    _, tex, _ = made(tmp_path, settings(row(entry="ae_mse"), row(entry="dualmic", seed="2026")), tables)
    assert "ours (dev, * untrained)" in tex
    assert "0.6300*" in tex and "0.5600 " in tex


def test_a_difference_is_taken_under_one_protocol_with_its_paired_interval(tmp_path, tables):
    rows = [row(entry=name, kind="system", protocol="cross_fitted") for name in ("one", "two")]
    lines, tex, _ = made(tmp_path, settings(*rows, against="one"), tables)
    (change,) = [line for line in lines if line["metric"] == "change"]
    assert float(change["value"]) == pytest.approx(0.05)
    assert (float(change["low"]), float(change["high"])) == (0.01, 0.08), "the table holds one minus two"
    assert (change["detail"], change["protocol"], change["published"]) == ("against one", "cross_fitted", "")
    assert "+0.0500" in tex and "[+0.0100, +0.0800]" in tex
    assert change["same_sign"] == "0.99"
    assert "the sign holds in 99.0 % of the replicates" in change["remark"] and r"99.0 \%" in tex


def test_a_difference_over_seeds_is_a_mean_with_its_deviation(tables):
    rows = [row(entry="dualmic"), row(entry="ae_mse")]
    change = comparison_rows(settings(*rows, against="ae_mse"), EvidenceLookup(tables))[-1]
    both = [
        comparison_rows(settings(row(entry="dualmic", seed=s)), EvidenceLookup(tables))[0] for s in ("13711", "2026")
    ]
    values = [one.value - 0.56 for one in both]
    assert change.seeds == 2
    assert change.value == pytest.approx(sum(values) / 2)
    assert change.sd == pytest.approx(abs(values[0] - values[1]) / 2**0.5)


def test_a_difference_without_a_paired_interval_has_none(tables):
    rows = [row(entry="ae_mse"), row(entry="dualmic", seed="13711")]
    change = comparison_rows(settings(*rows, against="ae_mse"), EvidenceLookup(tables))[-1]
    assert (change.metric, change.value, change.low, change.untrained) == ("change", 0.61 - 0.56, None, True)


def test_mixing_protocols_in_a_comparison_is_an_error(tables):
    mixed = settings(row(entry="ae_mse"), row(entry="one", kind="system", protocol="cross_fitted"))
    with pytest.raises(UserError, match="complete_dev and cross_fitted"):
        comparison_rows(mixed, EvidenceLookup(tables))


def test_scopes_stand_in_parts_of_their_own(tmp_path, tables):
    mixed = settings(row(entry="ae_mse"), row(entry="one", kind="system", protocol="cross_fitted"), kind="scopes")
    assert [line.protocol for line in scope_rows(mixed, EvidenceLookup(tables))] == ["complete_dev", "cross_fitted"]
    _, tex, _ = made(tmp_path, mixed, tables)
    assert tex.count(r"\midrule") == 2
    assert r"\emph{complete\_dev}" in tex and r"\emph{cross\_fitted}" in tex


def test_a_heat_map_has_every_machine_and_the_published_figures(tmp_path, tables):
    study = settings(
        row(entry="dualmic"), kind="heat_map", published={"fan": {"target_auc": 0.535}, "gear": {"pauc": 0.6}}
    )
    lines, _, files = made(tmp_path, study, tables)
    found = {(line["label"], line["metric"]): line for line in lines}
    assert (found["fan", "source_auc"]["value"], found["fan", "source_auc"]["seeds"]) == ("0.8", "2")
    assert float(found["fan", "source_auc"]["sd"]) == pytest.approx(0.1414213562)
    assert (found["fan", "target_auc"]["value"], found["fan", "target_auc"]["published"]) == ("0.5", "0.535")
    assert found["valve", "pauc"]["value"] == "" and "undefined" in found["valve", "pauc"]["remark"]
    assert found["gear", "pauc"]["remark"] == "not part of this run: machine gear"
    assert files == [f"mine-complete_dev.{kind}" for kind in ("csv", "png", "svg", "tex")]
    svg = (tmp_path / "study" / "mine-complete_dev.svg").read_text(encoding="utf-8")
    assert "complete_dev" in svg and "untrained" in svg and "paper 0.535" in svg
    title = re.search(r"<title>(.*?)</title>", svg)[1]
    assert title == "Table 9: a_b &amp; c: dualmic, protocol complete_dev; ours (dev, untrained), mean over 2 seeds"


# ---- leave one branch out --------------------------------------------------------------------------------------------

BRANCHES = ["ae_mse", "ae_mahalanobis", "alignment"]


def removal(*branches, absent="") -> dict:
    paths = {m: {b: str(GOLDEN / b / f"{m}.csv") for b in BRANCHES} for m in MACHINES}
    removed = [{"label": b.upper(), "branch": b, "published": p} for b, p in branches]
    whole = row(entry="three", label="all branches", kind="system", protocol="cross_fitted", absent=absent)
    system = {"branches": BRANCHES, "step": 0.25, "search": "grid"}
    found = {"branches": removed, "system": system, "folds": None, "tables": {} if absent else {"": paths}}
    return settings(whole, kind="leave_one_branch_out", removal=found)


@pytest.fixture
def three(tables) -> float:
    """Adds Ω of the whole system to the tables, as the workflow finds it."""
    omega = cross_fit(real_tables(BRANCHES), BRANCHES, 0.25).score
    with (tables / "official.csv").open("a") as file:
        file.write(f"dev,cross_fitted,system,three,,no,7,{omega!r}\n")
    with (tables / "seeds.csv").open("a") as file:
        file.write(f"dev,cross_fitted,system,three,no,1,{omega!r},\n")
    return omega


def test_removing_a_branch_repeats_calibration_and_choice(tmp_path, tables, three):
    study = removal(("alignment", -0.0166), ("ae_mse", None), ("ced", -0.0012))
    lines, tex, files = made(tmp_path, study, tables)
    whole, without, change, *_ = lines
    assert (whole["metric"], float(whole["value"])) == ("omega", three)
    rest = cross_fit(real_tables(BRANCHES[:2]), BRANCHES[:2], 0.25).score
    assert (without["metric"], without["published"]) == ("omega", "")
    assert float(without["value"]) == pytest.approx(rest, abs=1e-12)
    assert float(change["value"]) == pytest.approx(rest - three, abs=1e-12)
    assert float(change["low"]) <= float(change["value"]) <= float(change["high"])
    assert (change["published"], change["detail"]) == ("-0.0166", "without alignment")
    assert lines[-1]["remark"] == "not part of this run: three has no branch ced"
    assert "$-$0.0166" in tex
    assert files == [f"mine-cross_fitted.{kind}" for kind in ("csv", "png", "svg", "tex")]


def test_without_the_system_the_papers_changes_stand_alone(tmp_path, tables):
    absent = "not part of this run: system three"
    lines, _, _ = made(tmp_path, removal(("alignment", -0.0166), absent=absent), tables)
    assert [(line["value"], line["published"], line["remark"]) for line in lines] == [
        ("", "", absent),
        ("", "-0.0166", absent),
    ]


def test_the_same_tables_give_the_same_bytes(tmp_path, tables, three):
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        make_study(removal(("alignment", -0.0166)), tables, folder)
    for path in sorted(folders[0].iterdir()):
        assert path.read_bytes() == (folders[1] / path.name).read_bytes(), path.name


# ---- LaTeX -----------------------------------------------------------------------------------------------------------


def test_text_is_escaped_once():
    assert escape(r"50 % of a_b & {c} ~^ \x $1 Ω #") == (
        r"50 \% of a\_b \& \{c\} \textasciitilde{}\textasciicircum{} \textbackslash{}x \$1 $\Omega$ \#"
    )


def test_every_line_of_the_table_has_as_many_cells_as_columns(tables):
    rows = [row(entry="ae_mse", published=0.56, detail="50 % & more"), row(entry="dualmic")]
    tex = latex_table(comparison_rows(settings(*rows, against="ae_mse"), EvidenceLookup(tables)))
    columns = len(re.search(r"\\begin\{tabular\}\{(\w+)\}", tex)[1])
    lines = [line for line in tex.splitlines() if line.endswith(r"\\")]
    assert len(lines) == 1 + 3
    assert {len(re.findall(r"(?<!\\)&", line)) + 1 for line in lines} == {columns}
    assert tex.splitlines()[0].startswith("% Table 9: a_b & c.")
    for opened, closed in (("{", "}"), (r"\begin", r"\end")):
        plain = re.sub(r"\\[{}]", "", tex)
        assert plain.count(opened) == plain.count(closed)


# ---- what a run has --------------------------------------------------------------------------------------------------


def external(config, *branches, systems=None, **run):
    """The golden tables as branches of a suite of tables alone."""
    config["suites"]["real"] = {}
    config["branches"] |= {f"real_{name}": {"scores": str(GOLDEN / name)} for name in branches}
    config["systems"] |= systems or {}
    config["run"] |= {"suites": ["real"], "branches": [f"real_{b}" for b in branches], "systems": list(systems or {})}
    config["run"] |= {"protocols": ["complete_dev", "cross_fitted"], **run}
    return config


def test_studies_of_which_a_run_has_no_row_are_not_made(config):
    config = external(config, "ae_mse", "alignment")
    config["stand_ins"] = {"ae_mse": "real_ae_mse"}
    studies = planned(config)
    assert studies.names("real") == ["table_2", "autoencoder"]
    rows = studies.settings("real", "table_2")["rows"]
    assert (rows[0]["entry"], rows[0]["stand_in"], rows[0]["absent"]) == ("real_ae_mse", True, "")
    assert [r["absent"] for r in rows[1:3]] == [
        "not part of this run: branch ae_mahalanobis",
        "not part of this run: branch eat_raw",
    ]


def test_studies_that_are_named_are_made_whatever_the_run_has(config):
    config = external(config, "ae_mse", studies=["figure_3b"])
    studies = planned(config)
    assert studies.folders() == ["results/real/studies/figure_3b"]
    assert studies.settings("real", "figure_3b")["rows"][0]["absent"] == "not part of this run: system Screen5"


def test_a_row_says_which_protocol_or_seed_is_missing(config):
    systems = {"pair": {"branches": ["real_ae_mse", "real_alignment"]}}
    config = external(config, "ae_mse", "alignment", systems=systems, protocols=["complete_dev"])
    config["stand_ins"] = {"DualDL4": "pair", "dualmic": "real_ae_mse"}
    studies = planned(config)
    reasons = [row["absent"] for row in studies.settings("real", "table_3")["rows"][-2:]]
    assert reasons == ["not part of this run: system pair under cross_fitted", ""]
    assert studies.settings("real", "table_2")["rows"][-1]["absent"] == "not part of this run: seed 2026"


def test_the_papers_run_has_every_study_of_its_development_set(config):
    studies = planned(config)
    assert studies.names("dev") == [name for name, study in config["studies"].items() if "paper" in study]
    assert studies.names("eval") == [], "it has no labels"
    absent = {
        (name, row["label"])
        for name in studies.names("dev")
        for row in studies.settings("dev", name)["rows"]
        if row["absent"]
    }
    assert not absent


def test_removal_reads_each_machines_own_held_out_model(config):
    folders = planned(config).score_folders(SimpleNamespace(suite="dev"))
    adapted = [Path(folder) for folder in folders if "/dualmic@" in folder]
    assert len(folders) == 7 * 4 + 2 * 7 and len(adapted) == 2 * 7
    assert all(f"@without-{folder.name}-seed" in str(folder) for folder in adapted)


def test_roles_are_told_from_the_configuration(config, tmp_path):
    study = planned(config).settings("dev", "table_1")
    lines, _, _ = made(tmp_path, {**study, "name": "mine"}, tmp_path)
    told = {(line["label"], line["detail"]): line for line in lines}
    assert told["M2D", "conditioning"]["value"] == "standardised, PCA-768"
    assert told["M2D", "conditioning"]["published"] == "PCA-768"
    assert told["M2D", "score"]["value"] == "DLD, cosine, K = 8/5"
    assert told["DualMic-EAT", "microphones"]["value"] == "near; encoder adapted on near and far"
    assert told["AE", "score"]["value"].startswith("Mahalanobis (official)")
    assert {line["metric"] for line in lines} == {"text"}
    config["branches"]["m2d"]["conditioning"] = {"covariance": "ledoit_wolf"}
    lines, _, _ = made(tmp_path, {**planned(config).settings("dev", "table_1"), "name": "mine"}, tmp_path, "again")
    told = {(line["label"], line["detail"]): line["value"] for line in lines}
    assert told["M2D", "conditioning"] == "standardised, Ledoit-Wolf whitening"
    assert told["M2D", "evidence"] == "mean and standard deviation of block 10 of M2D"
    config["branches"]["m2d"]["scorer"]["metric"] = "euclidean"
    again = planned(config).settings("dev", "table_1")
    assert again["rows"][2]["branch"]["scorer"]["metric"] == "euclidean"


# ---- ranked by pseudo-anomalies --------------------------------------------------------------------------------------


def pseudo_table(folder: Path, machine: str, kinds: list[str]) -> str:
    """Scores of two untouched clips and two of each kind, on a grid so coarse that some are equal; its path."""
    rng = np.random.default_rng(len(machine))
    names = [f"section_00_source_test_normal_000{n}_spd_1.wav" for n in range(2)]
    names += [
        f"section_00_target_test_anomaly_000{n}_disturbance_{k}_ratio_10_spd_1.wav" for k in kinds for n in (0, 1)
    ]
    anomaly = np.array(["_anomaly_" in name for name in names], dtype=float)
    domain = np.array([name.split("_")[2] for name in names])
    write_scores(
        folder / f"{machine}.csv", ScoreTable(np.array(names), domain, anomaly, rng.integers(0, 4, len(names)))
    )
    return str(folder / f"{machine}.csv")


def plain_auc(path: str, kind: str) -> float:
    with Path(path).open(encoding="utf-8") as file:
        lines = [(line["clip"], float(line["score"])) for line in csv.DictReader(file)]
    normal = [score for clip, score in lines if "_normal_" in clip]
    disturbed = [score for clip, score in lines if f"disturbance_{kind}" in clip]
    return float(np.mean([(b > a) + 0.5 * (b == a) for a in normal for b in disturbed]))


def test_a_branch_is_ranked_by_the_mean_over_machines_of_all_kinds_and_of_each(tmp_path, tables):
    """One machine has no clip with another machine's sound; beside the mean of all kinds stands Omega."""
    paths = {m: pseudo_table(tmp_path, m, kinds) for m, kinds in (("a", ["noise", "machine"]), ("bbb", ["noise"]))}
    study = settings(row(entry="ae_mse"), kind="pseudo", pseudo={"ae_mse": paths}, labelled=True)
    lines, tex, _ = made(tmp_path, study, tables)
    found = {(line["detail"], line["metric"]): line for line in lines}
    assert list(found) == [
        ("all kinds", "pseudo_auc"),
        ("all kinds", "omega"),
        *((k, "pseudo_auc") for k in ("noise", "machine")),
    ]
    values = {detail: float(line["value"]) for (detail, metric), line in found.items() if metric == "pseudo_auc"}
    assert values["all kinds"] == pytest.approx(np.mean([plain_auc(path, "") for path in paths.values()]))
    assert values["noise"] == pytest.approx(np.mean([plain_auc(path, "noise") for path in paths.values()]))
    assert values["machine"] == pytest.approx(plain_auc(paths["a"], "machine"))
    assert len(set(values.values())) == 3 and float(found["all kinds", "omega"]["value"]) == 0.56
    assert found["all kinds", "pseudo_auc"]["remark"] == "an indication: no real fault is in it"
    assert "AUC, pseudo-anomalies" in tex
    unlabelled, _, _ = made(tmp_path, {**study, "labelled": False}, tmp_path / "nothing", "unlabelled")
    assert [line["metric"] for line in unlabelled] == ["pseudo_auc"] * 3


def test_without_such_a_system_in_the_run_the_ranking_is_made_only_if_it_is_named(config, tmp_path):
    assert "pseudo" not in planned(config).names("dev")
    config["run"]["studies"] = "pseudo"
    studies = planned(config)
    assert (studies.names("dev"), studies.names("eval")) == (["pseudo"], ["pseudo"])
    lines, _, _ = made(tmp_path, {**studies.settings("dev", "pseudo"), "name": "mine"}, tmp_path)
    reason = "not part of this run: system SpectralPseudo"
    assert {(line["label"], line["value"], line["remark"]) for line in lines} == {
        (branch, "", reason) for branch in ("spectral", "spectral_power", "spectral_delta")
    }
    config["run"] |= {"studies": "auto", "systems": ["SpectralPseudo"], "branches": []}
    assert "pseudo" in planned(config).names("dev")
    assert planned(config).names("eval") == ["pseudo"], "without labels"


def lay(below, above):
    """A configuration laid over another, as Snakemake does it."""
    both = below.keys() & above.keys() if isinstance(below, dict) and isinstance(above, dict) else None
    return above if both is None else {**below, **above, **{key: lay(below[key], above[key]) for key in both}}


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> dict[str, list[dict[str, str]]]:
    """Every study of the demo, from score tables drawn by chance: its configuration decides what is shown."""
    folder = tmp_path_factory.mktemp("demo")
    files = (ROOT / "config.yaml", ROOT / "profiles" / "demo" / "workflow.yaml")
    config = lay(*(yaml.safe_load(path.read_text(encoding="utf-8")) for path in files))
    plan = load_plan({**config, "results": str(folder)}, ROOT / "config.yaml")
    studies, rng = Studies(plan), np.random.default_rng(0)
    scored = [path for e in plan.evaluations.by_suite["demo"] for path in e.tables.values()]
    removed = studies.settings("demo", "figure_3a")["removal"]["tables"].values()
    scored += [path for machines in removed for paths in machines.values() for path in paths.values()]
    normal = {path for e in plan.evaluations.by_suite["demo"] for of in e.normal.values() for path in of.values()}
    for path in dict.fromkeys([*scored, *sorted(normal)]):
        labels = (0,) if path in normal else (0, 1)
        clips = [f"{domain}-{label}-{i}" for domain in ("source", "target") for label in labels for i in range(6)]
        cells = [clip.split("-") for clip in clips]
        columns = [clips, [c[0] for c in cells], [float(c[1]) for c in cells], rng.normal(size=len(clips))]
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_scores(Path(path), ScoreTable(*map(np.array, columns)))
    rows, few = [vars(e) for e in plan.evaluations.by_suite["demo"]], Resampling(replicates=20)
    evidence = Evidence("demo", True, rows, plan.config, [], [], [], [], bootstrap=few)
    write_tables(evidence, folder / "tables")
    found = {}
    for name in studies.names("demo"):
        make_study({**studies.settings("demo", name), "bootstrap": BOOTSTRAP}, folder / "tables", folder / name)
        (table,) = (folder / name).glob(f"{name}*.csv")
        found[name] = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    return found


def test_all_studies_come_out_of_the_demo(demo, config):
    assert set(demo) == set(config["studies"]) - {"pseudo"}, "the demo disturbs no clips"
    empty = {
        (name, line["label"]): line["remark"] for name, lines in demo.items() for line in lines if not line["value"]
    }
    assert len(demo["table_2"]) == 9
    machines = {"ToyCarEmu", "bearingEmu", "sliderEmu"}
    other_seed = empty.pop(("table_2", "DualMic-EAT, s = 2026"))
    assert "not part of this run: seed 2026" in other_seed
    assert "not part of this run: system SpectralPseudo" in empty.pop(("fusion", "pseudo-anomalies"))
    assert {label for _, label in empty} == machines, "the demo has other machines"
    assert all(f"not part of this run: machine {label}" in remark for (_, label), remark in empty.items())


def test_what_the_demo_shows_is_called_untrained_and_of_another_suite(demo):
    for name, lines in demo.items():
        for line in lines:
            assert line["suite"] == "demo"
            trained = line["entry"].startswith(("ae_", "spectral", "Spectral")) or line["entry"] in (
                "NearMah",
                "ResMah",
            )
            assert line["untrained"] == ("no" if trained or not line["value"] else "yes"), (name, line["label"])
            if line["published"] and line["value"] and line["metric"] != "text":
                assert "published: suite dev" in line["remark"]


def test_the_demos_removal_study_has_the_papers_five_branches(demo):
    changes = [line for line in demo["figure_3a"] if line["metric"] == "change"]
    assert [line["published"] for line in changes] == ["-0.0166", "-0.0039", "-0.0026", "-0.0012", "0.0005"]
    assert all(line["value"] and line["low"] and line["protocol"] == "cross_fitted" for line in changes)


# ---- the configuration -----------------------------------------------------------------------------------------------


def study(kind="comparison", rows=({"label": "a", "branch": "ced"},), **more):
    return {"kind": kind, "title": "mine", "rows": [dict(r) for r in rows], **more}


DEV = {"protocol": "complete_dev"}
TWO = [{"label": "a", "branch": "ced", **DEV}, {"label": "b", "branch": "ced", "protocol": "fixed_lomo"}]


REMOVED = {"kind": "leave_one_branch_out", "protocol": "cross_fitted"}
FAULTY = [
    (study("comparisn"), "studies.mine.kind: 'comparisn' is not possible: write one of: comp"),
    (study(rows=TWO), "studies.mine: its rows mix the protocols complete_dev, fixed_lomo in one"),
    (study(), "studies.mine: protocol is missing: write protocol in each row"),
    (study(protocol="complete_dev", against="c"), "studies.mine.against: no row has the label 'c': write one of: a"),
    (study(rows=[{"label": "a", "branch": "cad"}], **DEV), "mine.rows[0].branch: there is no branch 'cad': write ced"),
    (study(rows=[{"label": "a"}], **DEV), "rows[0]: write either branch or system"),
    (study("scopes", **DEV), "studies.mine.protocol: unknown key"),
    (study(**REMOVED, system="AEM2DFuse"), "studies.mine.rows[0].branch: ced is no branch of AEM2DFuse: write"),
    (study(**REMOVED, system="DualDL4Paper"), "studies.mine.system: DualDL4Paper has fixed weights"),
    (study(**{**REMOVED, "protocol": "nested_lomo"}, system="DualDL4"), "mine.protocol: 'nested_lomo' is not possible"),
]


@pytest.mark.parametrize(
    ("place", "value", "line"),
    [
        *(("studies.mine", value, line) for value, line in FAULTY),
        ("run.studies", ["table_9"], "config: run.studies: there is no study 'table_9': write table_"),
        ("studies.figure_3b.system", "Screen", "studies.figure_3b.system: there is no system 'Screen': write Screen5"),
        ("studies.table_2.rows", [], "studies.table_2.rows: [] is not possible: name at least one"),
        ("stand_ins", {"eat_row": "ced"}, "stand_ins.eat_row: there is no branch or system 'eat_row': write eat_raw"),
        ("stand_ins", {"eat_raw": "NearMah"}, "stand_ins.eat_raw: there is no branch 'NearMah'"),
    ],
)
def test_a_fault_is_one_line_with_its_place(config, place, value, line):
    config = copy.deepcopy(config)
    *path, last = place.split(".")
    entry = config
    for key in path:
        entry = entry[key]
    entry[last] = value
    with pytest.raises(UserError) as caught:
        check_config(config)
    assert line in str(caught.value)
    assert all(part.startswith("config: ") for part in str(caught.value).splitlines())


def test_every_published_value_stands_in_the_paper(config):
    """The values of the report, as its text and tables give them: nothing was rounded or made up."""
    told = {
        "table_2": [0.561682, 0.580897, 0.583375, 0.602619, 0.607410, 0.558972, 0.592583, 0.614391, 0.613875],
        "table_3": [0.601961, 0.616416, 0.623988, 0.625003, 0.635498],
        "figure_3a": [-0.0166, -0.0039, -0.0026, -0.0012, 0.0005],
        "near_difference": [0.614391, 0.6114],
        "neighbours": [0.616416, 0.618768],
        "weight_search": [0.625003, 0.6220, None],
        "autoencoder": [0.561682, 0.580897, None],
    }
    found = {name: [row.get("published") for row in config["studies"][name]["rows"]] for name in told}
    assert found == told
