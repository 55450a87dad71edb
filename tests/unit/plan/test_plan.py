"""The plan says which model scores which machine, what is left out, and what is missing."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from workflow_lib.errors import UserError
from workflow_lib.plan.load import load_plan
from workflow_lib.plan.model_name import ModelName, chosen_branch, chosen_system, seed_of, seed_word
from workflow_lib.plan.requirements import missing_suites, missing_weights, wanted_weights
from workflow_lib.plan.studies import Studies
from workflow_lib.plan.submission import submitted

ROOT = Path(__file__).parents[3]
DEFAULTS = ROOT / "config.yaml"


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))


LABELLED = [f"section_00_source_test_{label}_0000_noAttribute.wav" for label in ("normal", "anomaly")]
UNLABELLED = ["section_00_0000.wav"]


def make_suite(root: Path, machines=("fan", "pump"), names=tuple(LABELLED)):
    for machine in machines:
        (root / machine / "train").mkdir(parents=True)
        for name in names:
            path = root / machine / "test" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")


def own(config, **suite):
    """As Snakemake would merge a user's file with one suite."""
    config["suites"]["mine"] = {"root": "mine", **suite}
    return config


def planned(config, names=tuple(LABELLED), **suite):
    """The plan of a suite of two machines, with test clips of these names, that runs what is run on published ones."""
    make_suite(Path("mine"), names=names)
    published = config["auto"]["published"]
    config["run"] |= {key: listed for key, listed in published.items() if config["run"][key] == "auto"}
    return load_plan(own(config, **suite), DEFAULTS)


def test_without_a_choice_the_users_own_suite_runs_or_all_shipped_ones(config):
    assert load_plan(config, DEFAULTS).run_suites == ("dev", "eval")
    plan = planned(config)
    assert plan.run_suites == ("mine",)
    assert plan.suites["mine"].machines == ("fan", "pump")
    config["run"]["suites"] = "dev"
    assert load_plan(config, DEFAULTS).run_suites == ("dev",)


def test_auto_is_what_needs_no_weights_for_ones_own_suite_and_the_papers_list_for_published_ones(config):
    paper = load_plan(config, DEFAULTS)
    assert paper.config["run"]["systems"][:2] == ["NearMah", "AEM2DFuse"]
    make_suite(Path("mine"))
    for run in (config["run"], "auto"):
        mine = load_plan(own({**config, "run": run, "suites": dict(config["suites"])}), DEFAULTS)
        assert mine.run_suites == ("mine",)
        assert mine.reported.systems("mine") == ["Spectral", "SpectralEvents"]
        assert mine.reported.branches("mine") == ["spectral", "spectral_power", "spectral_delta"]
        assert mine.config["run"]["protocols"] == ["complete_dev", "cross_fitted"]
        assert wanted_weights(mine) == []
    config["run"] |= {"systems": ["NearMah"]}
    assert load_plan(own(config), DEFAULTS).reported.systems("mine") == ["NearMah"]


def test_a_mono_suite_is_scored_on_near_where_a_branch_has_a_view_for_it(config):
    make_suite(Path("mine"))
    job = SimpleNamespace(suite="mine", model="logmel", machine="fan")
    for channels, view in ((2, ["cancelled"]), (1, ["near"])):
        plan = load_plan(own(config, channels=channels), DEFAULTS)
        assert [branch["view"] for branch in plan.scores.branches(job).values()] == [view] * 3
        assert plan.scores.channels(job) == view


def test_cancelled_is_computed_where_a_branch_uses_it(config):
    job = SimpleNamespace(suite="dev", model="eat", machine="fan")
    assert load_plan(config, DEFAULTS).scores.channels(job) == ["near", "far"]
    config["run"] |= {"branches": ["eat_cancelled"], "systems": []}
    assert load_plan(config, DEFAULTS).scores.channels(job) == ["near", "far", "cancelled"]
    config["run"] |= {"branches": ["spectral_near", "spectral_near_far"]}
    job.model = "logmel"
    assert load_plan(config, DEFAULTS).scores.channels(job) == ["near", "far"]


@pytest.mark.parametrize(
    ("names", "labelled"), [(LABELLED, True), ([f"day 1/{name}" for name in LABELLED], True), (UNLABELLED, False)]
)
def test_labels_are_read_from_the_names_also_in_nested_folders(config, names, labelled):
    assert planned(config, names).suites["mine"].labelled == labelled


COUNTS = {"train_source": 2, "train_target": 1, "test_per_cell": 1}
SIMULATE = {"seed": 1, "seconds": 1.0, **COUNTS, "severity": [0.5, 1]}


@pytest.mark.parametrize(
    ("labelled", "unlabelled", "suite", "words"),
    [
        (["fan", "pump"], [], {"machines": ["fan", "pmup"]}, ["suites.mine.machines", "write pump"]),
        ([], [], {}, ["config: suites.mine.root: mine"]),
        ([], [], {"root": None, "machines": ["fan", "geerbox"], "simulate": SIMULATE}, ["write gearbox"]),
        (["fan"], ["pump"], {}, ["test clips of fan carry labels, those of pump do not"]),
        ([], ["fan", "pump"], {"labels": True}, ["suites.mine.labels: the test clips of fan, pump carry no labels"]),
        *(
            (["fan", name], [], {}, ["rename its folder"])  # paths and names of adapted models could not carry it
            for name in ("fan {1}", "pump+motor", "fan@2", "none", "a{b}")
        ),
    ],
)
def test_a_suite_that_cannot_be_planned_is_one_line(config, labelled, unlabelled, suite, words):
    make_suite(Path("mine"), labelled)
    make_suite(Path("mine"), unlabelled, UNLABELLED)
    config["suites"]["mine"] = {key: value for key, value in {"root": "mine", **suite}.items() if value is not None}
    with pytest.raises(UserError) as caught:
        load_plan(config, DEFAULTS)
    assert "\n" not in str(caught.value) and all(word in str(caught.value) for word in words)


def test_missing_data_and_weights_are_named_before_a_real_run_but_the_plan_stands(config):
    plan = load_plan(config, DEFAULTS)
    models = ["ced", "dualmic@full-seed13711", "eat", "m2d"]
    lines = missing_suites(plan, {"dev": ["fan"], "eval": ["Sander"]}) + missing_weights(plan, models)
    assert [line.split(":")[0] for line in lines] == [
        "suites.dev.root",
        "suites.eval.root",
        "models.ced.checkpoint",
        "models.eat.checkpoint",
        "models.m2d.checkpoint",
    ]
    assert all("\n" not in line for line in lines)


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        ("eat", ("eat",)),
        ("dualmic@full-seed13711", ("dualmic", (), "13711")),
        ("dualmic@without-fan-seed7", ("dualmic", ("fan",), "7")),
        ("my-model@without-a-seed1+fold-01-seed2026", ("my-model", ("a-seed1", "fold-01"), "2026")),
    ],
)
def test_a_models_name_is_read_as_it_is_written(written, parts):
    assert ModelName.parse(written) == ModelName(*parts) and str(ModelName(*parts)) == written


def test_other_words_of_paths_are_read_as_they_are_written():
    assert [seed_of(seed_word(seed)) for seed in ("", "13711")] == ["", "13711"]
    assert (seed_word(""), seed_word("13711")) == ("noseed", "seed13711")
    assert (chosen_branch(chosen_system("ced")), chosen_branch("ced")) == ("ced", None)
    for wrong in ("dualmic@", "dualmic@full", "dualmic@fan-seed7", "dualmic@without--seedx"):
        with pytest.raises(UserError, match="is no name of a model"):
            ModelName.parse(wrong)


def scored_by(config, *arguments) -> str:
    return str(load_plan(config, DEFAULTS).models.scoring(*arguments))


def test_an_adapted_branch_is_scored_by_the_model_that_its_protocol_names(config):
    assert scored_by(config, "dualmic", "dev", "complete_dev", "fan", "13711") == "dualmic@full-seed13711"
    assert scored_by(config, "dualmic", "dev", "fixed_lomo", "fan", "2026") == "dualmic@without-fan-seed2026"
    assert scored_by(config, "dualmic", "dev", "cross_fitted", "fan", "2026") == "dualmic@without-fan-seed2026"
    assert scored_by(config, "dualmic", "eval", "complete_dev", "Sander", "2026") == "dualmic@full-seed2026"
    assert scored_by(config, "ced", "dev", "cross_fitted", "fan", "") == "ced"


def fold_of(protocol, held_out="fan", machine="fan"):
    """Wildcards of the rules that fit a fold and fuse a machine."""
    return SimpleNamespace(suite="dev", protocol=protocol, held_out=held_out, machine=machine)


def test_a_held_out_machine_is_no_input_of_its_fold(config):
    plan = load_plan(config, DEFAULTS)
    manifests = plan.models.adaptation_manifests(SimpleNamespace(suite="dev", model="dualmic@without-fan-seed13711"))
    assert len(manifests) == 6 and not [path for path in manifests if "/fan" in path]
    pair = SimpleNamespace(suite="dev", model="dualmic@without-ToyCar+fan-seed13711")
    assert len(plan.models.adaptation_manifests(pair)) == 5
    folders = plan.scores.selection_scores(fold_of("cross_fitted"))
    assert len(folders) == 6 * (4 + 2), "autoencoder, three encoders, two seeds of the adapted one"
    assert not [folder for folder in folders if folder.endswith("/fan")]


def test_a_score_job_depends_on_the_files_of_its_scorers(config):
    config["branches"]["eat_raw"]["scorer"] = {"kind": "gaussian"}
    plan = load_plan(config, DEFAULTS)
    job = SimpleNamespace(suite="dev", model="eat", machine="fan")
    assert plan.scores.modules(job) == ["scoring.scorers.gaussian", "scoring.scorers.local_density"]
    assert plan.scores.modules(SimpleNamespace(suite="dev", model="ae", machine="fan")) == []


def test_one_job_scores_all_branches_of_a_model_and_fuses_all_systems_of_a_machine(config):
    plan = load_plan(config, DEFAULTS)
    job = SimpleNamespace(suite="dev", model="eat", machine="fan")
    asked, candidates = list(plan.scores.branches(job))[:3], list(plan.scores.branches(job))[3:]
    assert asked == ["eat_raw", "eat_pca512w", "eat_pca768w"]
    assert len(candidates) == 3 and all(name.startswith("eat_pca768w.") for name in candidates)
    assert plan.scores.sources(job) == ["results/dev/embeddings/eat/fan.h5"]
    searched = {"AEM2DFuse": 1, "DualDL4": 2, "DualDL4Fine": 2, "DualDL4Program": 2, "Screen5": 2}
    systems = plan.scores.systems(fold_of("cross_fitted"))
    twins = {f"{name}@equal": seeds for name, seeds in searched.items()}
    assert {name: len(system["seeds"]) for name, system in systems.items()} == {**searched, **twins}
    assert systems["DualDL4"]["models"]["ae_mahalanobis"] == "ae"
    with pytest.raises(UserError, match="no branch of this run is scored by this model"):
        plan.scores.branches(SimpleNamespace(suite="eval", model="dualmic@without-fan-seed2026", machine="Sander"))


def test_the_evaluation_suite_is_fused_with_what_dev_chose(config):
    plan = load_plan(config, DEFAULTS)
    assert plan.scores.fold_folder("eval", "complete_dev", "Sander") == "results/dev/fusion/complete_dev/none"
    (line,) = (e for e in plan.evaluations.by_suite["eval"] if (e.name, e.seed) == ("DualDL4", "13711"))
    assert line.folds["Sander"] == "results/dev/fusion/complete_dev/none/DualDL4/seed13711.json"
    config["run"] |= {"suites": ["dev", "eval"], "protocols": ["cross_fitted"]}
    chosen_for_eval = load_plan(config, DEFAULTS).scores.systems(fold_of("complete_dev"))
    assert "DualDL4" in chosen_for_eval, "dev itself is not evaluated so"


def reported_as(plan, suite, name):
    """Protocols under which a system is in the evidence of a suite."""
    return [e.protocol for e in plan.evaluations.by_suite[suite] if e.kind == "system" and e.name == name]


def test_beside_each_system_with_searched_weights_stands_its_equal_weight_twin(config):
    config["run"]["protocols"] = [*config["auto"]["published"]["protocols"], "nested_lomo"]
    plan = load_plan(config, DEFAULTS)
    names = {e.name for suite in ("dev", "eval") for e in plan.evaluations.by_suite[suite] if e.kind == "system"}
    searched = {"AEM2DFuse", "DualDL4", "DualDL4Fine", "DualDL4Program", "Screen5", "PreDual4"}
    assert {name for name in names if "@" in name} == {f"{name}@equal" for name in searched}
    for name in searched:
        for suite in ("dev", "eval"):
            assert reported_as(plan, suite, f"{name}@equal") == reported_as(plan, suite, name)
    systems = plan.scores.systems(fold_of("nested_lomo"))
    for key in ("candidates", "models", "seeds"):
        assert systems["PreDual4@equal"][key] == systems["PreDual4"][key]
    settings = systems["PreDual4"]["settings"]
    assert systems["PreDual4@equal"]["settings"] == {**settings, "search": "none", "calibration": "selection"}
    assert not [row for row in submitted(plan, "eval") if "@" in row["system"]]


PLAIN = {"branches": ["ae_mse", "ae_mahalanobis"], "search": "none"}


@pytest.mark.parametrize("machines", [["fan"], ["fan", "pump"]])
@pytest.mark.parametrize("names", [LABELLED, UNLABELLED])
def test_equal_weights_of_normal_scores_are_available_everywhere_and_need_no_fold(config, machines, names):
    make_suite(Path("mine"), machines, names)
    config["systems"]["Plain"] = PLAIN
    config["run"] |= {"systems": ["Plain", "NearRes"], "protocols": ["complete_dev", "fixed_lomo", "cross_fitted"]}
    plan = load_plan(own(config), DEFAULTS)
    alone = names == UNLABELLED or len(machines) == 1
    protocols = ["complete_dev"] if alone else ["complete_dev", "fixed_lomo", "cross_fitted"]
    assert reported_as(plan, "mine", "Plain") == protocols and not reported_as(plan, "mine", "Plain@equal")
    (line,) = (e for e in plan.evaluations.by_suite["mine"] if (e.name, e.protocol) == ("Plain", "complete_dev"))
    assert line.folds == {} and line.label_free["calibration"] == "normal"
    job = SimpleNamespace(suite="mine", protocol="complete_dev", machine="fan", held_out="none")
    assert plan.scores.machine_normal_scores(job) == ["results/mine/normal_scores/ae/fan"]
    assert "Plain" not in plan.scores.fitted_systems(job)
    assert bool(plan.scores.folds_of_machine(job)) == (names == LABELLED), "NearRes needs one where it is available"


def test_equal_weights_that_other_machines_calibrate_have_the_protocols_of_a_searched_system(config):
    config["systems"] |= {"Sigmoids": {**PLAIN, "calibration": "selection"}, "Plain": PLAIN}
    config["run"] |= {"systems": ["Sigmoids", "Plain"], "protocols": ["complete_dev", "fixed_lomo", "cross_fitted"]}
    plan = load_plan(config, DEFAULTS)
    assert reported_as(plan, "dev", "Sigmoids") == ["complete_dev", "cross_fitted"]
    assert reported_as(plan, "dev", "Plain") == config["run"]["protocols"]
    assert list(plan.scores.fitted_systems(fold_of("cross_fitted"))) == ["Sigmoids"]
    assert not plan.scores.selection_normal_scores(fold_of("cross_fitted"))
    assert plan.scores.fold_folder("eval", "complete_dev", "Sander").startswith("results/dev/")
    config["systems"]["Plain"] = {**PLAIN, "weights": {"ae_mse": 0.5, "ae_mahalanobis": 0.5}, "calibration": "normal"}
    del config["systems"]["Plain"]["search"]
    plan = load_plan(config, DEFAULTS)
    assert reported_as(plan, "dev", "Plain") == ["complete_dev", "fixed_lomo"]
    with pytest.raises(UserError, match="no system of suite dev is fused"):
        plan.scores.systems(fold_of("nested_lomo"))


def test_a_label_free_system_chooses_in_a_nested_fold_where_a_branch_declares_candidates(config):
    config["systems"] |= {"Plain": PLAIN, "Choosing": {"branches": ["ae_mse", "m2d"], "search": "none"}}
    config["run"] |= {"systems": ["Plain", "Choosing"], "branches": [], "protocols": ["nested_lomo"]}
    scores = load_plan(config, DEFAULTS).scores
    assert set(scores.systems(fold_of("nested_lomo"))) == {"Plain", "Choosing", "m2d@chosen"}
    assert set(scores.fitted_systems(fold_of("nested_lomo"))) == {"Choosing", "m2d@chosen"}
    assert len(scores.selection_normal_scores(fold_of("nested_lomo"))) == 6 * 2


def test_a_system_on_its_own_scale_says_which_normal_scores_are_missing(config):
    config = with_tables(config, ["one", "two"], ["fan", "pump"])
    config["systems"]["all"]["search"] = "none"
    Path("one", "normal").mkdir()
    for machine in ("fan", "pump"):
        Path("one", "normal", f"{machine}.csv").write_text("clip,domain,anomaly,score\na.wav,source,0,1\n")
    plan = load_plan(config, DEFAULTS)
    reasons = dict(plan.reported.left_out("tables"))
    missing = "branch two has no scores of normal training clips: put them in two/normal/<machine>.csv (fan, pump)"
    assert reasons == {"all": missing}
    Path("one", "normal").rename(Path("two", "normal"))
    config["systems"]["all"] |= {"search": "grid", "calibration": "normal"}
    assert "branch one has no" in dict(load_plan(config, DEFAULTS).reported.left_out("tables"))["all"]
    config["systems"]["all"]["branches"] = ["two"]
    assert load_plan(config, DEFAULTS).reported.systems("tables") == ["all"], "one branch is not calibrated"


def test_a_system_of_one_branch_has_its_branchs_tables_and_no_fold(config):
    lines = {
        (e.name, e.protocol): e for e in load_plan(config, DEFAULTS).evaluations.by_suite["dev"] if e.kind == "system"
    }
    line = lines["NearMah", "cross_fitted"]
    assert line.tables["fan"] == "results/dev/scores/ae/fan/ae_mahalanobis.csv" and line.folds == {}
    assert line.normal["fan"] == {"ae_mahalanobis": "results/dev/normal_scores/ae/fan/ae_mahalanobis.csv"}


def test_all_that_the_evidence_names_lies_in_the_folders_that_its_job_takes(config):
    """Files are named in parameters and folders are inputs: what is named and no input would be read by chance."""
    plan = load_plan(config, DEFAULTS)
    for suite in ("dev", "eval"):
        taken, job = plan.evaluations, SimpleNamespace(suite=suite)
        folders = {
            *taken.score_folders(job),
            *taken.normal_folders(job),
            *taken.fused_folders(job),
            *taken.fold_folders(job),
        }
        lines = taken.by_suite[suite]
        named = {path for e in lines for paths in (e.tables, e.folds, *e.normal.values()) for path in paths.values()}
        for path in (*named, *taken.notes(job), *taken.fold_files(job)):
            assert not folders.isdisjoint(map(str, Path(path).parents)), path


@pytest.mark.parametrize(
    ("protocol", "held_out", "words"),
    [
        ("cross_fitted", "none", "complete_dev holds no machine out"),
        ("complete_dev", "fan", "complete_dev holds no machine out"),
        ("fixed_lomo", "fan", "no system of suite dev is fused under fixed_lomo"),
    ],
)
def test_no_fold_carries_the_name_of_another_protocol(config, protocol, held_out, words):
    plan = load_plan(config, DEFAULTS)
    with pytest.raises(UserError, match=words):
        plan.scores.selection_scores(fold_of(protocol, held_out))
    assert "DualDL4Paper" not in plan.scores.systems(fold_of("cross_fitted"))


def test_the_calibration_of_fixed_weights_is_held_out_too(config):
    config["systems"]["DualDL4Paper"]["protocols"] = ["fixed_lomo"]
    scores, fold = load_plan(config, DEFAULTS).scores, fold_of("fixed_lomo")
    assert list(scores.systems(fold)) == ["DualDL4Paper"]
    assert scores.fold_folder("dev", "fixed_lomo", "fan") == "results/dev/fusion/fixed_lomo/fan"
    folders = scores.selection_scores(fold)
    assert len(folders) == 6 * (3 + 2) and not [path for path in folders if Path(path).stem == "fan"]


def test_protocols_of_branches_and_systems(config):
    plan = load_plan(config, DEFAULTS)
    assert plan.reported.protocols("dev", "system", "DualDL4") == ["complete_dev", "cross_fitted"]
    assert plan.reported.protocols("dev", "system", "NearMah") == ["complete_dev", "fixed_lomo", "cross_fitted"]
    assert plan.reported.protocols("dev", "branch", "dualmic") == ["complete_dev", "fixed_lomo", "cross_fitted"]
    assert plan.reported.protocols("eval", "system", "DualDL4") == ["complete_dev"]


def test_a_nested_fold_holds_out_the_scored_machine_as_well(config):
    config["run"]["protocols"] = ["nested_lomo"]
    plan, fold = load_plan(config, DEFAULTS), fold_of("nested_lomo")
    adapted = [Path(path) for path in plan.scores.selection_scores(fold) if "seed2026" in path]
    models = {path.parent.name for path in adapted}
    assert "dualmic@without-ToyCar+fan-seed2026" in models, "in the order of the names"
    assert "dualmic@without-fan+valveEmu-seed2026" in models and len(models) == len(adapted) == 6
    assert {p.split("/")[-2] for p in plan.scores.machine_scores(fold) if "seed2026" in p} == {
        "dualmic@without-fan-seed2026"
    }
    assert plan.scores.fold_folder("dev", "nested_lomo", "fan") == "results/dev/fusion/nested_lomo/fan"
    adapters = plan.evaluations.adapters(SimpleNamespace(suite="dev"))
    assert len([folder for folder in adapters if "@without" in folder]) == 2 * (7 + 21)
    candidates = {"suite": "dev", "model": "dualmic@without-ToyCar+fan-seed2026"}
    assert len(plan.scores.branches(SimpleNamespace(**candidates, machine="fan"))) >= 8
    with pytest.raises(UserError, match="no branch"):
        plan.scores.branches(SimpleNamespace(**candidates, machine="valveEmu"))
    config["run"] |= {"systems": [], "branches": ["dualmic_head"]}
    adapters = load_plan(config, DEFAULTS).evaluations.adapters(SimpleNamespace(suite="dev"))
    assert len(adapters) == 2 * 7, "no fold chooses anything of a branch without candidates"


@pytest.mark.parametrize(("machines", "missing"), [(1, "2 machines"), (2, "3 machines")])
def test_a_protocol_without_enough_machines_is_named(config, machines, missing):
    make_suite(Path("mine"), machines=["fan", "pump"][:machines])
    config["run"]["protocols"] = ["complete_dev", "cross_fitted", "nested_lomo"]
    plan = load_plan(own(config), DEFAULTS)
    reasons = dict(plan.reported.left_out("mine"))
    assert missing in reasons["cross_fitted" if machines == 1 else "nested_lomo"]


def test_a_mono_suite_runs_what_needs_no_far_channel_and_says_the_rest(config):
    plan = planned(config, channels=1)
    assert "ae_mse" in plan.reported.branches("mine")
    assert "eat_raw" in plan.reported.branches("mine")
    assert plan.reported.systems("mine") == ["NearMah"]
    assert {name for name, _ in plan.reported.left_out("mine")} >= {"ResMah", "DualDL4", "dualmic_raw"}


def test_an_unlabelled_suite_ranks_single_branch_systems_and_says_why_others_need_labels(config):
    plan = planned(config, UNLABELLED)
    assert plan.reported.systems("mine") == ["NearMah", "ResMah"]
    reasons = dict(plan.reported.left_out("mine"))
    assert "suites.mine.select_on" in reasons["DualDL4"]


def with_tables(config, branches, machines):
    """The configuration with a suite of score tables made elsewhere, the first branch and a system of several."""
    for branch in branches:
        Path(branch).mkdir()
        for machine in machines:
            rows = "clip,domain,anomaly,score\na.wav,source,0,0.1\nb.wav,source,1,0.2\n"
            Path(branch, f"{machine}.csv").write_text(rows, encoding="utf-8")
        config["branches"][branch] = {"scores": branch}
    config["suites"]["tables"] = {}
    config["systems"]["all"] = {"branches": branches}
    config["run"] |= {"branches": branches[:1], "systems": ["all"] if len(branches) > 1 else []}
    return config


def test_score_tables_made_elsewhere_make_a_suite(config):
    plan = load_plan(with_tables(config, ["one", "two"], ["fan", "pump"]), DEFAULTS)
    assert plan.suites["tables"].machines == ("fan", "pump")
    assert plan.reported.systems("tables") == ["all"]
    assert missing_suites(plan, {"tables": []}) == []


def test_a_table_that_is_missing_is_said_and_hidden_files_are_no_machines(config):
    plan = load_plan(with_tables(config, ["one"], ["fan", "._fan"]), DEFAULTS)
    assert plan.suites["tables"].machines == ("fan",)
    config["suites"]["tables"] = {"machines": ["fan", "pump"]}
    with pytest.raises(UserError, match="one has no table for pump"):
        load_plan(config, DEFAULTS)


def test_a_mix_of_labelled_and_unlabelled_machines_can_be_taken_as_unlabelled(config):
    make_suite(Path("mine"), machines=["fan"])
    make_suite(Path("mine"), machines=["pump"], names=UNLABELLED)
    assert not load_plan(own(config, labels=False), DEFAULTS).suites["mine"].labelled


@pytest.mark.parametrize(
    ("choosing", "protocols"), [(["fan", "pump"], ["complete_dev", "cross_fitted"]), (["fan"], ["complete_dev"])]
)
@pytest.mark.parametrize("quiet", [["quiet"], []])
def test_weights_are_chosen_only_where_there_are_normal_and_anomalous_clips(config, choosing, quiet, protocols):
    config["run"]["systems"] = ["NearMah", "NearRes"]
    make_suite(Path("mine"), machines=choosing)
    make_suite(Path("mine"), machines=quiet, names=LABELLED[:1])
    plan = load_plan(own(config), DEFAULTS)
    assert plan.suites["mine"].selection_machines == tuple(choosing)
    assert plan.reported.protocols("mine", "system", "NearRes") == protocols
    if [*choosing, *quiet] == ["fan"]:
        assert plan.reported.protocols("mine", "branch", "ae_mse") == ["complete_dev"]
    if quiet:
        config["suites"]["mine"]["machines"] = quiet
        plan = load_plan(config, DEFAULTS)
        assert plan.reported.systems("mine") == ["NearMah"]
        assert "none can choose its weights" in dict(plan.reported.left_out("mine"))["NearRes"]


def test_a_suite_to_select_on_must_have_labels(config):
    make_suite(Path("other"), names=UNLABELLED)
    config["suites"]["other"] = {"root": "other"}
    with pytest.raises(UserError, match=r"suites\.mine\.select_on: suite other has no labels"):
        planned(config, select_on="other")


def test_a_mono_suite_to_select_on_leaves_out_what_needs_the_far_channel(config):
    make_suite(Path("other"))
    config["suites"]["other"] = {"root": "other", "channels": 1}
    plan = planned(config, UNLABELLED, select_on="other")
    assert "mono" in dict(plan.reported.left_out("mine"))["DualDL4"]
    assert "NearMah" in plan.reported.systems("mine")


def test_a_replaced_recording_changes_the_fingerprint(config):
    suite = planned(config).suites["mine"]
    before = suite.fingerprint("fan")
    assert suite.fingerprint("fan") == before
    Path("mine", "fan", "test", LABELLED[0]).write_bytes(b"other")
    assert suite.fingerprint("fan") != before


# ---- weights to fetch ------------------------------------------------------------------------------------------------


def wanted_models(config, **run):
    config["run"] |= run
    return [entry["model"] for entry in wanted_weights(load_plan(config, DEFAULTS))]


def test_only_weights_of_branches_that_run_are_wanted_an_adapted_models_of_its_base(config):
    wanted = wanted_weights(load_plan(config, DEFAULTS))
    assert {(entry["model"], entry["encoder"], entry["checkpoint"]) for entry in wanted} == {
        (name, name, config["models"][name]["checkpoint"]) for name in ("eat", "ced", "m2d")
    }
    assert wanted_models(config, systems=["AEM2DFuse"], branches=["ae_mse"]) == ["m2d"]
    assert wanted_models(config, systems=["NearMah"]) == []
    assert wanted_models(config, systems=[], branches=["dualmic"]) == ["eat"]


def test_random_weights_are_not_wanted_and_a_file_that_two_models_share_once(config):
    config["models"]["eat"]["checkpoint"] = "random"
    assert sorted(wanted_models(config)) == ["ced", "m2d"]
    config["models"]["ced2"] = dict(config["models"]["ced"])
    config["branches"]["ced2"] = {**config["branches"]["ced"], "model": "ced2"}
    assert len(wanted_models(config, systems=[], branches=["ced", "ced2"])) == 1


def test_defaults_are_filled_in_and_what_is_written_is_kept(config):
    """models.csv lists the settings of a model as they are written."""
    plan = load_plan(config, DEFAULTS)
    assert plan.written["models"] == config["models"]
    assert plan.config["models"]["dualmic"]["adaptation"]["lora_rank"] == 8


# ---- pseudo-anomalies ------------------------------------------------------------------------------------------------


def pseudo_plan(config, names=tuple(LABELLED), machines=("fan", "pump"), systems=("SpectralPseudo",)):
    make_suite(Path("mine"), machines, names)
    config["run"].update(systems=list(systems), branches=[])
    return load_plan(own(config), DEFAULTS)


def fused(protocol, machine="fan"):
    return SimpleNamespace(suite="mine", protocol=protocol, machine=machine)


def test_pseudo_anomalies_are_a_suite_of_their_own_that_is_not_reported(config):
    """Its recordings are made of S's training folders, its scores read where the machine is fused, without a fold."""
    plan = pseudo_plan(config)
    assert set(plan.suites) == {"mine", "mine@pseudo"} and plan.run_suites == ("mine",)
    here = plan.suites["mine@pseudo"]
    assert here.recordings("fan") == [f"{plan.paths.results}/mine@pseudo/recordings/fan"]
    made = SimpleNamespace(suite="mine@pseudo", machine="pump")
    assert plan.recordings.disturbed_from(made) == ["mine/pump/train", "mine/fan/train"]
    assert plan.recordings.disturbing(made)["another"] == "mine/fan/train"
    assert not plan.evaluations.by_suite["mine@pseudo"]
    scores = f"{plan.paths.results}/mine@pseudo/scores/logmel/fan"
    for protocol in ("complete_dev", "cross_fitted"):
        assert plan.scores.pseudo_scores(fused(protocol)) == [scores]
        assert not plan.scores.folds_of_machine(fused(protocol))
    scored = SimpleNamespace(suite="mine@pseudo", model="logmel", machine="fan")
    branches = ["spectral", "spectral_power", "spectral_delta"]
    assert list(plan.scores.branches(scored)) == branches and plan.scores.channels(scored) == ["cancelled"]
    assert not plan.reported.protocols("mine", "system", "SpectralPseudo").count("nested_lomo")


def test_without_such_a_system_there_is_no_such_suite(config):
    plan = pseudo_plan(config, systems=["SpectralEvents"])
    assert set(plan.suites) == {"mine"} and not plan.scores.pseudo_scores(fused("complete_dev"))


def test_the_fingerprint_of_disturbed_clips_is_that_of_training_clips(config):
    plan = pseudo_plan(config)
    made = SimpleNamespace(suite="mine@pseudo", machine="fan")
    before, everything = plan.recordings.disturbing(made), plan.suites["mine"].fingerprint("fan")
    (Path("mine/fan/test") / LABELLED[0]).write_bytes(b"other")
    assert plan.recordings.disturbing(made) == before and plan.suites["mine"].fingerprint("fan") != everything
    Path("mine/pump/train/section_00_source_train_normal_0000_noAttribute.wav").write_bytes(b"new")
    assert plan.recordings.disturbing(made)["files"] != before["files"]


@pytest.mark.parametrize("names", [LABELLED, UNLABELLED])
def test_pseudo_anomalies_need_neither_labels_nor_a_second_machine(config, names):
    plan = pseudo_plan(config, names=names, machines=("fan",))
    assert plan.reported.systems("mine") == ["SpectralPseudo"]
    assert plan.recordings.disturbing(SimpleNamespace(suite="mine@pseudo", machine="fan"))["another"] is None
    assert Studies(plan).names("mine") == ["pseudo"]


@pytest.mark.parametrize(
    ("branch", "reason"),
    [
        ("dualmic", "search: pseudo: the adapted model of branch dualmic was trained on the clips that are disturbed"),
        ("elsewhere", "search: pseudo: branch elsewhere is of score tables made elsewhere, which have no disturbed"),
    ],
)
def test_branches_that_cannot_be_scored_without_the_left_out_clips_make_a_system_unavailable(config, branch, reason):
    for folder in ("tables", "tables/normal"):
        Path(folder).mkdir()
        for machine in ("fan", "pump"):
            Path(folder, f"{machine}.csv").write_text("clip,domain,anomaly,score\n", encoding="utf-8")
    config["branches"]["elsewhere"] = {"scores": "tables"}
    config["systems"]["mixed"] = {"branches": ["spectral", branch], "search": "pseudo"}
    plan = pseudo_plan(config, systems=["Spectral", "mixed"])
    assert dict(plan.reported.left_out("mine"))["mixed"].startswith(reason)
