"""The DAG of the paper's configuration, read by a dry run: job counts, and what no fold may depend on."""

import gzip
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from conftest import ROOT, Workflow

NAMES = ROOT / "tests" / "golden" / "dcase2026" / "filenames.txt.gz"
EVAL = {"BlowerDustCollector", "Sander", "SewingMachine", "ToothBrush", "ToyDrone"}
DEMOS = {"profiles/demo/workflow.yaml": 95, "tests/end_to_end/full_demo.yaml": 129}  # jobs of each
# 12 machines (7 dev, 5 eval), 2 seeds, 3 frozen encoders, 2 autoencoders; adapted: full and one per machine, per seed.
SCORED = 5 * 12 + 2 * (7 + 7 + 5)
EXPECTED = {
    "index_machine": 12,
    "check_machine": 12,
    "train_autoencoder": 24,
    "apply_autoencoder": 24,
    "train_adapter": 2 * 8,
    "embed_machine": SCORED - 24,
    "score_model": SCORED,
    "fit_folds": 1 + 7 + 7,  # complete_dev, cross_fitted, nested_lomo
    "fuse_machine": 3 * 7 + 5,
    "tabulate_health": 2,
    "tabulate_suite": 2,
    "illustrate_clips": 2,
    "make_studies": 1,
    "write_report": 1,
    "all": 1,
}


def job_counts(output: str) -> dict[str, int]:
    table = output.split("Job stats:")[1].split("total")[0]
    return {name: int(count) for name, count in re.findall(r"^(\w+)\s+(\d+)\s*$", table, re.MULTILINE)}


@pytest.fixture(scope="module")
def workflow(tmp_path_factory) -> Workflow:
    """All 14,400 real file names as empty files, where the shipped configuration looks for them."""
    folder = tmp_path_factory.mktemp("paper")
    for line in gzip.decompress(NAMES.read_bytes()).decode().split():
        suite = "eval" if line.split("/")[0] in EVAL else "dev"
        path = folder / "data" / "dcase2026" / suite / line
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return Workflow(folder)


@pytest.fixture(scope="module")
def dry_run(workflow) -> str:
    return workflow.make("-n")


def test_job_counts_of_the_paper(dry_run):
    assert job_counts(dry_run) == EXPECTED and sum(EXPECTED.values()) == 310 <= 330


@pytest.mark.parametrize(("configuration", "jobs"), DEMOS.items())
def test_job_counts_of_the_demo(tmp_path, configuration, jobs):
    """Interpreters that start for a third of a second each are waste."""
    counts = job_counts(Workflow(tmp_path).make("-n", "--configfile", str(ROOT / configuration)))
    assert sum(counts.values()) == jobs <= 140, counts


def test_a_dry_run_says_what_each_job_is_for(dry_run):
    assert "Adapt dualmic@without-fan-seed2026 on the other machines' normal clips (dev)" in dry_run
    assert "Score Sander with all branches of dualmic@full-seed13711 (eval)" in dry_run
    assert "Choose calibration and weights of all systems, held out: valveEmu (cross_fitted)" in dry_run


def test_the_studies_of_the_paper_are_one_target(workflow):
    """All of them on the development set, none on the unlabelled one; the removal study reads score tables as well."""
    dag = Dag.read(workflow, "studies")
    (made,) = (job for job in dag.jobs if job["rule"] == "make_studies")
    assert made["output"] == ["results/dev/studies"] and "results/dev/tables" in made["input"]
    assert len(made["input"]) - 1 == 7 * 4 + 2 * 7, "four models without a seed, one with two"


def test_a_dry_run_needs_no_data_and_a_real_run_without_stops_at_once_with_one_line_each(tmp_path):
    assert job_counts(Workflow(tmp_path / "empty").make("-n")) == EXPECTED
    done = Workflow(tmp_path / "empty").run()
    assert done.returncode != 0
    lines = [line for line in done.stdout.splitlines() if line.startswith("config: ")]
    assert [line.split(":")[1].strip() for line in lines] == [
        "suites.dev.root",
        "suites.eval.root",
        "models.ced.checkpoint",
        "models.eat.checkpoint",
        "models.m2d.checkpoint",
    ]
    assert "Traceback" not in done.stdout
    assert not (tmp_path / "empty" / "results").exists()


@dataclass(frozen=True)
class Dag:
    """Jobs that a target needs, and the way back from a file to all that it comes from."""

    jobs: list[dict]

    @classmethod
    def read(cls, workflow: Workflow, *targets: str, profile: str = "default") -> "Dag":
        command = [sys.executable, str(Path(__file__).with_name("dag_reader.py")), str(ROOT / "Snakefile"), *targets]
        environment = {**os.environ, "DAG_PROFILE": str(ROOT / "profiles" / profile / "config.yaml")}
        done = subprocess.run(command, cwd=workflow.folder, env=environment, capture_output=True, text=True, check=True)
        return cls(json.loads(done.stdout))

    def rules(self) -> Counter:
        return Counter(job["rule"] for job in self.jobs)

    @cached_property
    def makers(self) -> dict[str, int]:
        """File -> number of the job that makes it."""
        return {path: number for number, job in enumerate(self.jobs) for path in job["output"]}

    def ancestors(self, paths: Iterable[str]) -> list[dict]:
        """All jobs that these files come from."""
        found, waiting = {}, list(paths)
        while waiting:
            number = self.makers.get(waiting.pop())
            if number is not None and number not in found:
                found[number] = self.jobs[number]
                waiting += self.jobs[number]["input"]
        return list(found.values())

    def files(self) -> set[str]:
        return {path for job in self.jobs for path in job["input"]}


def of_machine(machine: str, path: str) -> bool:
    """Whether a file belongs to one machine; an adapter that held it out carries its name too."""
    return machine in Path(path).with_suffix("").parts


def test_no_ancestor_of_an_adapted_fold_reads_the_held_out_machine(workflow):
    """Leakage rule 2, read from the DAG: all that `dualmic@without-fan` comes from, down to the recordings."""
    dag = Dag.read(workflow, "results/dev/adapters/dualmic@without-fan-seed13711")
    assert dag.rules() == {"index_machine": 6, "train_adapter": 1}
    assert any(of_machine("ToyCar", path) for path in dag.files())
    assert not [path for path in dag.files() if of_machine("fan", path)]


def test_no_score_of_the_held_out_machine_enters_its_weights(workflow):
    """Nothing scored of the fan is an ancestor of its fold; other folds' adapted models may be trained on its normals.

    That is how `cross_fitted` is defined: each selection machine is scored by the model that held that machine out.
    """
    dag = Dag.read(workflow, "results/dev/fusion/cross_fitted/fan")
    assert dag.rules()["score_model"] == 6 * (1 + 3 + 2), "autoencoder, encoders, two seeds of the adapted one"
    (fit,) = [job for job in dag.jobs if job["rule"] == "fit_folds"]
    assert inputs_of_machine("fan", dag.ancestors(fit["input"])) == {"index_machine", "train_adapter"}


def test_a_fold_without_adapted_branches_never_meets_the_held_out_machine(workflow, tmp_path):
    frozen = paper_with(tmp_path, workflow, run={"systems": ["AEM2DFuse"], "branches": []})
    dag = Dag.read(frozen, "results/dev/fusion/cross_fitted/fan")
    assert dag.rules()["score_model"] == 6 * 2
    assert not [path for path in dag.files() if of_machine("fan", path)]
    # The walk has teeth: in the DAG of the complete-development fusion the fan's files are found.
    dag = Dag.read(frozen, "results/dev/fusion/complete_dev/none")
    assert [path for path in dag.files() if of_machine("fan", path)]


def test_one_fold_is_one_target(workflow):
    rules = Dag.read(workflow, "results/dev/fused/cross_fitted/fan").rules()
    assert (rules["fit_folds"], rules["fuse_machine"], rules["score_model"]) == (1, 1, 7 * (1 + 3 + 2))


def paper_with(folder: Path, workflow: Workflow, **settings) -> Workflow:
    """The paper's recordings with settings of its own."""
    other = Workflow(folder)
    (other.folder / "data").symlink_to(workflow.folder / "data")
    other.configure(**settings)
    return other


SEARCHED = ["AEM2DFuse", "DualDL4", "DualDL4Fine", "DualDL4Program", "Screen5", "PreDual4"]


@pytest.fixture(scope="module")
def whole(workflow, tmp_path_factory) -> Dag:
    """All jobs of the development set under all four protocols."""
    protocols = ["complete_dev", "fixed_lomo", "cross_fitted", "nested_lomo"]
    fixed = {"branches": ["ae_mahalanobis", "dualmic"], "weights": {"ae_mahalanobis": 0.5, "dualmic": 0.5}}
    run = {"suites": ["dev"], "protocols": protocols, "seeds": [13711]}
    run["systems"] = ["NearMah", *SEARCHED, "Fixed", "OwnScale", "Plain"]
    systems = {
        "Fixed": {**fixed, "protocols": ["complete_dev", "fixed_lomo"]},
        "OwnScale": {"branches": ["ae_mahalanobis", "dualmic"], "calibration": "normal", "shrink": [0, 0.5, 1]},
        "Plain": {"branches": ["ae_mahalanobis", "dualmic"], "search": "none"},
    }
    return Dag.read(paper_with(tmp_path_factory.mktemp("nested"), workflow, run=run, systems=systems), "all")


def folds(dag: Dag, rule: str, protocol: str) -> list[tuple[str, dict]]:
    """(held-out machine, job) of every fold under a protocol."""
    return [
        (Path(job["output"][0]).name, job)
        for job in dag.jobs
        if job["rule"] == rule and f"/{protocol}/" in job["output"][0]
    ]


def inputs_of_machine(machine: str, jobs: list[dict]) -> set[str]:
    """Rules that read a file of a machine."""
    return {job["rule"] for job in jobs if any(of_machine(machine, path) for path in job["input"])}


def adapted_scores(job: dict) -> list[str]:
    """Folders of scores by adapted models among the inputs of a job, of test clips and of normal training clips."""
    return [path for path in job["input"] if "scores/dualmic@" in path]


def test_nested_models_are_expanded_and_only_where_a_protocol_asks_for_them(whole, dry_run):
    assert whole.rules()["train_adapter"] == 1 + 7 + 21
    names = {Path(job["output"][0]).name for job in whole.jobs if job["rule"] == "train_adapter"}
    assert "dualmic@without-ToyCar+fan-seed13711" in names and "dualmic@without-fan+ToyCar-seed13711" not in names
    assert "without-ToyCar+fan" not in dry_run


def test_every_fold_of_every_system_keeps_its_held_out_machine_out(whole):
    """Leakage rule 2 over the whole DAG: what enters weights and calibration, and what judges the held-out machine.

    fixed_lomo (calibration of fixed weights), cross_fitted: no score and no embedding of the held-out machine is an
    ancestor of its fold; by definition the models of other folds may be trained on its normal clips. nested_lomo: no
    file of it is an input of any ancestor.
    """
    normals = {"index_machine", "train_adapter"}
    for protocol, allowed in (("fixed_lomo", normals), ("cross_fitted", normals), ("nested_lomo", set())):
        fits = folds(whole, "fit_folds", protocol)
        assert len(fits) == 7
        for held_out, fit in fits:
            assert inputs_of_machine(held_out, whole.ancestors(fit["input"])) <= allowed, (protocol, held_out)
        for machine, fuse in folds(whole, "fuse_machine", protocol):
            (own,) = [job for job in whole.ancestors(fuse["input"]) if job["rule"] == "fit_folds"]
            assert Path(own["output"][0]).name == machine
            judged = adapted_scores(fuse)
            trainings = [job for job in whole.ancestors(judged) if job["rule"] == "train_adapter"]
            assert len(trainings) == 1 and not inputs_of_machine(machine, trainings)


@pytest.mark.parametrize(("protocol", "trained_on"), [("cross_fitted", 6), ("nested_lomo", 5)])
def test_each_choosing_machine_is_scored_by_a_model_not_trained_on_it(whole, protocol, trained_on):
    """The "fixed outer LOMO" behind cross_fitted: a score of a machine its model is trained on would look too good.

    In nested_lomo the model is trained on neither that machine nor the one that is held out.
    """
    for held_out, fit in folds(whole, "fit_folds", protocol):
        for path in adapted_scores(fit):
            trainings = [job for job in whole.ancestors([path]) if job["rule"] == "train_adapter"]
            assert len(trainings) == 1 and len([p for p in trainings[0]["input"] if "/manifest/" in p]) == trained_on
            assert not inputs_of_machine(Path(path).name, trainings), (held_out, path)
            assert protocol == "cross_fitted" or not inputs_of_machine(held_out, trainings)


@pytest.mark.parametrize("kind", ["scores", "normal_scores"])
def test_the_walk_finds_a_planted_leak(whole, kind):
    """One score of the held-out machine among the inputs of its fold, and the same check fails."""
    held_out, fit = folds(whole, "fit_folds", "nested_lomo")[0]
    leak = str(next(Path(path) for path in fit["input"] if f"/{kind}/" in path).with_name(held_out))
    assert leak in whole.makers
    assert inputs_of_machine(held_out, whole.ancestors([*fit["input"], leak]))


@pytest.mark.parametrize("protocol", ["cross_fitted", "nested_lomo"])
def test_normal_scores_that_calibrate_are_of_the_machine_and_model_that_they_calibrate(whole, protocol):
    """Each selection machine's, in its fold; the held-out machine's only where it is fused."""
    for rule in ("fit_folds", "fuse_machine"):
        for machine, job in folds(whole, rule, protocol):
            normal = {path for path in job["input"] if "/normal_scores/" in path}
            of_branches = [path for path in job["input"] if re.search(r"/scores/(ae|dualmic@[^/]*)/", path)]
            assert normal == {path.replace("/scores/", "/normal_scores/") for path in of_branches} != set()
            others = {"ToyCar", "ToyCarEmu", "bearingEmu", "fan", "gearboxEmu", "sliderEmu", "valveEmu"} - {machine}
            assert {Path(path).name for path in normal} == (others if rule == "fit_folds" else {machine})


def test_equal_weights_on_a_machines_own_scale_need_no_fold_and_no_other_machine(workflow, tmp_path):
    """All that a fused machine comes from is of that machine, and no machine's fold is fitted."""
    plain = {"Plain": {"branches": ["ae_mahalanobis", "m2d"], "search": "none"}}
    run = {"systems": ["Plain"], "branches": [], "protocols": ["complete_dev", "fixed_lomo", "cross_fitted"]}
    dag = Dag.read(paper_with(tmp_path, workflow, run=run, systems=plain), "all")
    assert "fit_folds" not in dag.rules() and dag.rules()["fuse_machine"] == 3 * 7 + 5
    for protocol in run["protocols"]:
        for machine, fuse in folds(dag, "fuse_machine", protocol):
            behind = [fuse, *dag.ancestors(fuse["input"])]
            assert {job["rule"] for job in behind} > {"score_model", "embed_machine", "train_autoencoder"}
            made = [path for job in behind for path in job["input"] if path in dag.makers]
            assert made and all(of_machine(machine, path) for path in made), (protocol, machine)


# Rules of the paper's configuration, and the Slurm jobs of profiles/slurm that their instances share.
SUBMITTED = {
    "recordings": (["index_machine", "check_machine"], 3),
    "autoencoders": (["train_autoencoder", "apply_autoencoder"], 24),
    "adapters": (["train_adapter"], 16),
    "embeddings": (["embed_machine"], 44),
    "scores": (["score_model"], 12),
    "folds": (["fit_folds"], 15),
    "fused": (["fuse_machine"], 26),
    "tables": (["tabulate_suite"], 2),
    "evidence": (["tabulate_health", "illustrate_clips", "make_studies", "write_report"], 1),
}


def test_the_paper_on_slurm_is_few_jobs_in_a_short_chain(workflow):
    """At most 150 submissions, of which at most 8 follow upon each other; by rule, as docs/cluster.md says."""
    dag = Dag.read(workflow, "all", profile="slurm")
    jobs = [job for job in dag.jobs if job["output"]]
    for rules, submitted in SUBMITTED.values():
        mine = [job for job in jobs if job["rule"] in rules]
        assert len({job["group"] for job in mine}) == submitted, rules
    assert len({job["group"] for job in jobs}) == sum(n for _, n in SUBMITTED.values()) == 143
    assert _levels(dag, jobs) == 8


def _levels(dag: Dag, jobs: list[dict]) -> int:
    before = {job["group"]: set() for job in jobs}
    for job in jobs:
        makers = {dag.jobs[dag.makers[path]]["group"] for path in job["input"] if path in dag.makers}
        before[job["group"]] |= makers - {job["group"]}
    order = TopologicalSorter(before)
    order.prepare()
    levels = 0
    while order.is_active():
        levels += 1
        order.done(*order.get_ready())
    return levels
