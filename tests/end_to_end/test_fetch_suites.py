"""`snakemake fetch_data` as a user runs it, from a local server: whole suites, their real names, what they run."""

import gzip
import re

from conftest import ROOT, Workflow
from fetch_server import Site, zipped
from published_clips import clip, fetching, publish, tree

from workflow_lib.dataset.manifest import index_machine
from workflow_lib.dataset.survey import discover_machines
from workflow_lib.fetch.sets import published_sets

NAMES = ROOT / "tests" / "golden" / "dcase2026" / "filenames.txt.gz"
EVAL_TEST = "eval_data_{}_test_r2.zip"  # not the name that the pattern of earlier years gives

# ---- the real names --------------------------------------------------------------------------------------------------


def publish_2026(site: Site) -> list[str]:
    """All 14,400 real clip names with one short silent recording, packed as the real archives are."""
    body = clip(2, level=0.0)
    lines = gzip.decompress(NAMES.read_bytes()).decode().split()
    for part in (part for kind in ("dev", "eval") for part in published_sets()[f"dcase2026/{kind}"].parts):
        files = {}
        for machine, archive in part.archives.items():
            folders = tuple(f"{machine}/{split}/" for split in part.splits)
            name = EVAL_TEST.format(machine) if part.name == "eval_test" else archive
            files[name] = zipped({line: body for line in lines if line.startswith(folders)})
        site.put_record(part.record, files, etag='"1"')
    return lines


def test_all_real_names_are_fetched_and_indexed(site, tmp_path):
    """The shipped configuration: both suites, where it says; then the index goes over all 14,400 clips."""
    lines = publish_2026(site)
    workflow = Workflow(tmp_path / "run")
    workflow.configure(fetch={"records_url": site.url("/api/records")}, run={"suites": ["dev", "eval"]})
    output = workflow.make("--cores", "4", "fetch_data")
    assert "suite eval: dcase2026/eval is in data/dcase2026/eval: 5 machines" in output
    data = workflow.folder / "data" / "dcase2026"
    assert sorted([*tree(data / "dev"), *tree(data / "eval")]) == sorted(lines)
    assert not list(data.glob("*/.fetch"))
    asked = len(site.requests)
    assert "fetch_archive" not in workflow.make("fetch_data")
    assert len(site.requests) == asked
    for suite in ("dev", "eval"):
        machines = discover_machines(data / suite)
        indexed = [index_machine(data / suite, machine, min_seconds=0.2) for machine in machines]
        assert not any(faults for _, faults in indexed)
        assert sum(len(clips) for clips, _ in indexed) == len(tree(data / suite))


# ---- suites ----------------------------------------------------------------------------------------------------------


def test_a_mono_set_runs_near_only_and_says_what_it_leaves_out(site, tmp_path):
    publish(site, "dcase2025/dev", ["fan"])
    suite = {"root": "data/dev", "machines": ["fan"], "fetch": "dcase2025/dev"}
    workflow = fetching(tmp_path / "run", site, mine=suite, run={"protocols": ["complete_dev"]})
    assert "there is no folder data/dev: `snakemake --cores all fetch_data` gets them" in workflow.run().stdout
    workflow.make("fetch_data")
    output = workflow.make()
    reason = "branch ae_residual_mahalanobis: it needs the far channel and the suite is mono"
    assert f"suite mine: ResMah is left out: {reason}" in output
    tables = workflow.files("mine/tables/official.csv")
    assert b"NearMah" in next(iter(tables.values()))
    assert reason.encode() in workflow.files("report.html")["results/report.html"]


def test_suites_of_earlier_years_are_named_on_the_command_line(tmp_path):
    workflow = Workflow(tmp_path / "run")
    output = workflow.make("-n", "fetch_data", "--config", "suites=dev2025")
    assert "Fetch and unpack gearbox (dev, dev2025)" in output
    assert re.search(r"fetch_archive +7", output)
    output = workflow.make("-n", "fetch_data", "--config", "suites=[dev2024,eval2024]")
    assert "Fetch and unpack 3DPrinter (eval_test, eval2024)" in output
    wrong = workflow.run("-n", "fetch_data", "--config", "suites=dev2052")
    assert "config: run.suites: there is no suite 'dev2052': write dev2025" in wrong.stdout
    assert "Traceback" not in wrong.stdout


def test_a_run_without_published_suites_is_told_so(tmp_path):
    workflow = Workflow(tmp_path / "run")
    workflow.configure(suites={"mine": {"root": "data", "machines": ["fan"]}})
    done = workflow.run("fetch_data")
    assert "none of this run has the key `fetch`" in done.stdout
    assert "Traceback" not in done.stdout
