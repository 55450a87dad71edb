"""The site's file, refusals, the watch, profiles by name and GPUs; tests/slurm has what needs a real Slurm."""

import subprocess
import sys

import pytest
import yaml
from conftest import ROOT
from one_line import one_line_error
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

from workflow_lib.cluster.refusals import refusal_lines
from workflow_lib.cluster.run import cancel_orphans, limit_status_interval
from workflow_lib.cluster.site import load_site
from workflow_lib.cluster.slurm import RUN_NAME, SlurmJob
from workflow_lib.cluster.watch import Watch
from workflow_lib.encoders import gpus
from workflow_lib.errors import UserError
from workflow_lib.run.command import check_profiles, with_profile_paths

SITE = {"gpu": {"request": "gpu"}, "partitions": {"cpu": {"max_runtime": 90, "max_mem_mb": 9000}}}


@pytest.fixture
def write(tmp_path):
    def written(**changes):
        path = tmp_path / "site.yaml"
        path.write_text(yaml.safe_dump({**SITE, **changes}), encoding="utf-8")
        return path

    return written


def test_the_shipped_site_asks_for_one_gpu_and_nothing_else():
    site = load_site(ROOT / "profiles" / "slurm" / "site.yaml")
    assert site.gpu_job == {"gpu": 1}
    assert site.cpu_job == {}


@pytest.mark.parametrize(
    ("gpu", "asked"),
    [
        ({"request": "gpu", "model": "a100"}, {"gpu": 1, "gpu_model": "a100"}),
        ({"request": "gres", "gres": "gpu:a100:1"}, {"gres": "gpu:a100:1"}),
        ({"request": "gpu", "constraint": "a100|h100"}, {"gpu": 1, "constraint": "a100|h100"}),
        ({"request": "none"}, {"constraint": "avx2"}),
    ],
)
def test_a_gpu_is_asked_for_as_the_site_takes_it(write, gpu, asked):
    site = load_site(write(gpu=gpu, account="lab", cpu={"constraint": "avx2"}))
    assert site.gpu_job == {"slurm_account": "lab", **asked}
    assert site.cpu_job == {"slurm_account": "lab", "constraint": "avx2"}


def test_memory_and_run_time_grow_up_to_the_largest_partition_and_are_never_cut(write):
    site = load_site(write())
    assert [site.mem_mb(4000)(None, attempt) for attempt in (1, 2, 3)] == [4000, 8000, 9000]
    assert [site.runtime(120)(None, attempt) for attempt in (1, 2)] == [120, 120]
    without = load_site(write(partitions={"cpu": {}}))
    assert without.mem_mb(4000)(None, 3) == 12000


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({"gpu": {"request": "cuda"}}, ["gpu.request"]),
        ({"acount": "x", "gpu": {"request": "gpu", "gres": "gpu:2"}}, ["acount", "gpu.gres"]),
        ({"gpu": {"request": "gres"}}, ["gpu.gres: request: gres needs it"]),
        ({"gpu": {"request": "gpu", "model": "a100-sxm4"}}, ["gpu.model: 'a100-sxm4' is not possible: write a type"]),
        ({"partitions": {"cpu": {"max_mem": 1}}}, ["partitions.cpu.max_mem"]),
        ({"partitions": {3090: {}}}, ["3090: YAML reads this name as a number, not as text"]),
        ({"partitions": {"cpu": {"max_runtime": "banana"}}}, ["cpu.max_runtime: 'banana' is not possible: write"]),
        ({"partitions": {"cpu": {"max_runtime": -5}}}, ["cpu.max_runtime: -5 is not possible: write minutes"]),
    ],
)
def test_a_faulty_site_is_one_line_a_fault_with_the_file(write, changes, faults):
    path = write(**changes)
    with pytest.raises(UserError) as error:
        load_site(path)
    lines = str(error.value).splitlines()
    assert len(lines) == len(faults)
    for fault in faults:
        assert any(line.startswith(str(path)) and fault in line for line in lines), lines


@pytest.mark.parametrize(("text", "fault"), [("gpu: [", "cannot be read as YAML"), (None, "no such file")])
def test_a_site_that_cannot_be_read_is_one_line(tmp_path, text, fault):
    path = tmp_path / "site.yaml"
    if text:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=rf"compute\.site: .*site\.yaml:? {fault}") as error:
        load_site(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("said", "key"),
    [
        ("sbatch: error: invalid partition specified: x\nsbatch: error: Batch job", "partitions (profiles"),
        ("sbatch: error: Invalid account or account/partition combination specified", "account (profiles"),
        ("sbatch: error: Batch job submission failed: Invalid qos specification", "qos (profiles"),
        ("sbatch: error: Invalid generic resource (gres) specification", "gpu.gres"),
        ("sbatch: error: Requested time limit is invalid (missing or exceeds some limit)", "max_runtime"),
        ("sbatch: error: something that nobody has seen", "docs/cluster.md, What goes wrong"),
    ],
)
def test_a_refusal_names_its_key_once(tmp_path, said, key):
    log = tmp_path / "log"
    log.write_text(f"SLURM sbatch failed. The error message was '{said}'.\n" * 3, encoding="utf-8")
    (line,) = refusal_lines([log, tmp_path / "absent"])
    assert line.startswith("Slurm refused a job: ") and key in line


def job(number: str, state: str) -> SlurmJob:
    return SlurmJob(number, state, "run", "folder")


def test_a_run_hangs_when_nothing_was_alive_for_the_whole_patience():
    looks = [  # seconds, state of the job, whether this process runs something, whether the run hangs
        (0.0, "RUNNING", False, False),
        (0.0, "COMPLETED", False, False),
        (59.0, "COMPLETED", False, False),
        (59.0, "COMPLETED", True, False),  # a local rule, or a submission
        (70.0, "COMPLETED", False, False),  # the patience begins again
        (500.0, None, False, False),  # a controller that is away says nothing about the jobs
        (500.0, "COMPLETED", False, False),
        (561.0, "COMPLETED", False, True),
    ]
    now = looks[0]
    watch = Watch(lambda: now[1] and [job("1", now[1])], lambda: now[2], lambda number: True, 60.0, lambda: now[0])
    for now in looks:
        assert watch.look() == now[3], now


def test_a_preempted_job_is_queued_again_when_it_stays_preempted():
    seen, jobs = [], [[job("7", "PREEMPTED"), job("8", "PREEMPTED")]]
    watch = Watch(lambda: jobs[0], lambda: False, lambda number: bool(seen.append(number)), 60.0)
    watch.look()
    assert not seen
    jobs[0] = [job("7", "PREEMPTED"), job("8", "PENDING")]  # Slurm itself has queued the other one again
    watch.look()
    assert seen == ["7"]


def test_orphans_are_cancelled_where_slurm_answers_and_named_if_they_stay(monkeypatch):
    cancelled = []
    monkeypatch.setattr("workflow_lib.cluster.run.cancel", cancelled.extend)
    with pytest.raises(UserError, match="does not answer"):
        cancel_orphans("folder", jobs=lambda folder: None)
    cancel_orphans("folder", jobs=lambda folder: [job("3", "COMPLETED")])
    with pytest.raises(UserError, match="scancel 4, then start again"):
        cancel_orphans("folder", jobs=lambda folder: [job("4", "RUNNING")], pause_s=0.0, within_s=0.0)
    assert cancelled == ["4"]


def test_only_jobs_that_the_executor_named_are_ours():
    uuid = "c8f6ed3d-1077-45c0-ad75-41edfa7e2872"
    assert RUN_NAME.fullmatch(uuid) and RUN_NAME.fullmatch(f"dualmic_{uuid}")
    assert not RUN_NAME.fullmatch("my_training")


@pytest.mark.parametrize(
    ("given", "led"),
    [
        (["--profile", "slurm", "-n"], ["--profile", "profiles/slurm", "-n"]),
        (["--profile=slurm"], ["--profile=profiles/slurm"]),
        (["--profile", "demo", "--profile", "mycluster"], ["--profile", "profiles/demo", "--profile", "mycluster"]),
        (["--profile", "./slurm"], ["--profile", "./slurm"]),
        (["--", "--profile", "slurm"], ["--", "--profile", "slurm"]),
        (["--profile"], ["--profile"]),
    ],
)
def test_profiles_are_found_by_name(given, led):
    assert with_profile_paths(given, ROOT) == led


def test_a_profile_of_ones_own_in_the_folder_goes_first(tmp_path):
    for place in ("slurm", "profiles/slurm"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "config.yaml").touch()
    assert with_profile_paths(["--profile", "slurm"], tmp_path) == ["--profile", "slurm"]


def test_a_profile_with_a_key_that_stands_twice_is_refused(tmp_path):
    file = tmp_path / "config.yaml"
    for text in ("cores: 1\n", "{", "- x\n"):  # the last two are for Snakemake to refuse
        file.write_text(text)
        check_profiles(["-n", "--profile", str(tmp_path)])
    file.write_text("cores: 1\njobs: 2\ncores: 3\n")
    check_profiles(["--profile"])
    for arguments in (["--profile", str(tmp_path), "-n"], ["-n", f"--profile={file}"]):
        with one_line_error(r"config\.yaml: duplicate key cores \(lines 1 and 3\): keep one"):
            check_profiles(arguments)


@pytest.mark.parametrize(("visible", "number"), [(None, 3), ("0,2", 2), ("", 0), ("-1", 0), ("GPU-8f3a", 1)])
def test_gpus_are_those_that_cuda_visible_devices_leaves(tmp_path, monkeypatch, visible, number):
    for name in ("nvidia0", "nvidia1", "nvidia2", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.setattr(gpus, "DEVICES", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus.visible_gpus() == number


def claimed(folder, names, hold: bool = False) -> subprocess.Popen:
    told = f"print(claim_gpu({names!r}, Path({str(folder)!r})), flush=True)" + ("; input()" if hold else "")
    imports = "from pathlib import Path; from workflow_lib.encoders.gpus import claim_gpu; "
    return subprocess.Popen(
        [sys.executable, "-c", imports + told], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_processes_side_by_side_take_different_gpus_and_give_them_back_when_killed(tmp_path):
    names, folder = ["GPU-a", "GPU-b"], tmp_path / "claims"
    held = [claimed(folder, names, hold=True)]
    assert held[0].stdout.readline() == "0\n"
    held.append(claimed(folder, names, hold=True))
    assert held[1].stdout.readline() == "1\n"
    assert claimed(folder, names).communicate()[0] == "None\n"
    held[0].kill()
    held[0].wait()
    assert claimed(folder, names).communicate()[0] == "0\n"
    held[1].communicate("\n")


def test_a_process_that_asks_twice_keeps_its_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(gpus, "_CLAIMS", {})
    assert [gpus.claim_gpu(["GPU-a", "GPU-b"], tmp_path) for _ in range(2)] == [0, 0]


def test_the_wait_between_status_queries_is_limited():
    class Executor(RemoteExecutor):
        def __init__(self):  # without a workflow
            self._next_seconds_between_status_checks = 4

        run_job = check_active_jobs = cancel_jobs = get_exec_mode = None

    limit_status_interval(15, Executor)
    executor, seen = Executor(), []
    for _ in range(3):
        seen.append(executor.next_seconds_between_status_checks)
        executor.next_seconds_between_status_checks += 10
    assert seen == [4, 14, 15]
