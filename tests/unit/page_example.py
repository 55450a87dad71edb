"""A whole example page: tables, recordings of its clips, studies and run times, as the workflow makes it."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from report_example import MACHINES, Example, adapted_models, labelled_example, unlabelled_example

from workflow_lib.dataset.manifest import Clip, write_manifest
from workflow_lib.report import Material, build_report
from workflow_lib.report.illustration import illustrate_clips

READING = {"sample_rate": 16000, "channels": 2, "resample": False}
LONG = "machine_" * 15 + "hidden"  # 126 letters: as long as a name may be
STUDY_HEADER = (
    "study,kind,title,row,label,detail,metric,suite,protocol,entry_kind,entry,seeds,value,sd,low,high,published,"
    "untrained,remark"
)
STUDIES = {
    "table_1": ("roles", "Roles of the branches"),
    "table_2": ("comparison", "Controlled complete-development study"),
    "table_3": ("scopes", "Generalisation, by selection scope"),
    "figure_3a": ("leave_one_branch_out", "Change of Ω when one branch is removed"),
    "figure_3b": ("heat_map", "The screening system by held-out machine"),
}
_SYSTEM, _ABSENT = ("system", "Dual"), "not part of this run: branch ced"
# label, detail, metric, protocol, entry_kind, entry, seeds, value, sd, low, high, published, untrained, remark; the row
# number is made of the label.
STUDY_LINES: dict[str, list[tuple[object, ...]]] = {
    "table_1": [
        ("AE", "evidence", "text", "", "branch", "ae", "", "residual", "", "", "", "log-mel residual", "no", ""),
        ("AE", "score", "text", "", "branch", "ae", "", "Mahalanobis", "", "", "", "Mahalanobis", "no", ""),
        (
            "EAT",
            "evidence",
            "text",
            "",
            "branch",
            "eat",
            "",
            "block 4",
            "",
            "",
            "",
            "statistics",
            "yes",
            "stand-in: eat",
        ),
    ],
    "table_2": [
        ("Near AE", "mean", "omega", "complete_dev", "branch", "ae", 1, 0.55, "", 0.52, 0.58, 0.561682, "no", ""),
        ("EAT", "raw", "omega", "complete_dev", "branch", "eat", 2, 0.5725, 0.0125, 0.5, 0.625, 0.583375, "yes", ""),
        ("CED", "raw", "omega", "complete_dev", "branch", "ced", "", "", "", "", "", "", "no", _ABSENT),
    ],
    "table_3": [
        ("Fusion", "", "omega", "cross_fitted", *_SYSTEM, 1, 0.5625, "", 0.53, 0.59, 0.625003, "yes", ""),
        ("Fusion", "", "omega", "complete_dev", *_SYSTEM, 1, 0.5875, "", 0.55, 0.62, 0.635498, "yes", ""),
    ],
    "figure_3a": [
        ("all branches", "", "omega", "cross_fitted", *_SYSTEM, 1, 0.5625, "", 0.53, 0.59, 0.623988, "yes", ""),
        ("AE", "", "change", "cross_fitted", *_SYSTEM, 1, -0.0125, "", -0.03, 0.004, -0.0039, "yes", ""),
        ("EAT", "", "change", "cross_fitted", *_SYSTEM, 1, 0.0025, "", -0.01, 0.02, 0.0005, "yes", ""),
        ("CED", "", "change", "cross_fitted", "branch", "ced", "", "", "", "", "", -0.0012, "no", _ABSENT),
    ],
    "figure_3b": [
        (machine, "", metric, "cross_fitted", *_SYSTEM, 1, 0.45 + place / 8, "", "", "", published, "yes", "")
        for place, machine in enumerate(MACHINES)
        for metric, published in (("source_auc", ""), ("target_auc", 0.54), ("pauc", ""))
    ],
}


def write_studies(folder: Path, suite: str = "demo", names: Sequence[str] = tuple(STUDIES)) -> list[Path]:
    """The folders of studies as the workflow makes them, without LaTeX and figures."""
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        with (folder / name / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(STUDY_HEADER.split(","))
            writer.writerows(_study_lines(name, suite))
    return [folder / name for name in names]


def _study_lines(name: str, suite: str) -> list[tuple[object, ...]]:
    kind, title = STUDIES[name]
    rows: dict[tuple[object, ...], int] = {}
    lines = []
    for label, detail, metric, protocol, *rest in STUDY_LINES[name]:
        number = rows.setdefault((label, protocol), len(rows) + 1)
        lines.append((name, kind, title, number, label, detail, metric, suite, protocol, *rest))
    return lines


def write_benchmarks(folder: Path, suite: str = "demo") -> Path:
    """Benchmark files of a few jobs as Snakemake writes them; of the shortest one it knows no memory."""
    for place, seconds, memory in (
        ("scores/ae/fan", 3.25, "512.50"),
        ("scores/ae/valve", 61.5, "256.25"),
        ("tables", 0.5, "-"),
    ):
        path = folder / suite / f"{place}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\tmax_rss\tcpu_time\n{seconds}\t0:00:01\t{memory}\t1.0\n", encoding="utf-8")
    (folder / "report.html.tsv").write_text("s\th:m:s\tmax_rss\n9.0\t0:00:09\t99.0\n", encoding="utf-8")
    return folder


def write_recordings(example: Example, folder: Path, seconds: float = 1.0) -> list[Path]:
    """A two-channel recording for every test clip that the example ranks; the manifests of its machines."""
    clips = sorted({(row[6], row[8]) for row in example.rows["ranking"]})
    manifests = []
    for machine in sorted({machine for machine, _ in clips}):
        names = [clip for of, clip in clips if of == machine]
        rows = [_recorded(folder / machine / "test" / name, machine, seconds) for name in names]
        manifests.append(folder / f"{machine}.csv")
        write_manifest(manifests[-1], rows)
    return manifests


def _recorded(path: Path, machine: str, seconds: float) -> Clip:
    """A hum with harmonics in noise, the far microphone quieter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng([*path.name.encode()])
    time_s = np.arange(int(seconds * 16000)) / 16000
    hum = sum(np.sin(2 * np.pi * pitch * time_s) / pitch for pitch in (120, 360, 1200, 2400)) * 40
    noise = random.normal(0, 0.05, (len(time_s), 2))
    soundfile.write(path, (0.3 * hum[:, None] + noise) * [0.5, 0.2], 16000, subtype="PCM_16")
    return Clip(machine, path.name, "test", None, None, "", 2, 16000, len(time_s), path.as_posix())


def write_long_page(folder: Path) -> Path:
    """A page on names as long as they may be, with a table that has no rows."""
    example = labelled_example(machines=[LONG, "fan"], protocols=["cross_fitted"])
    example.rows["clips"] = []
    for rows in example.rows.values():
        rows[:] = [["dualmic_untrained_near_difference" if cell == "ae" else cell for cell in row] for row in rows]
    studies = write_studies(folder / "studies")
    renamed = studies[1].with_name("weight_search_complete_" * 3)
    studies[1].rename(renamed)
    (renamed / f"{studies[1].name}.csv").rename(renamed / f"{renamed.name}.csv")
    material = Material(studies=[studies[0], renamed, *studies[2:]])
    page = folder / "report.html"
    told = {"configuration digest": "0123abcd" * 8}
    build_report({"demo": example.write(folder / "tables")}, page, title=LONG, provenance=told, material=material)
    return page


def write_page(folder: Path) -> Path:
    """A page with all that a page may have: a labelled suite with sounds and adapted models, and an unlabelled one."""
    labelled, unlabelled = labelled_example(untrained=True, seeds=("13711", "2026")), unlabelled_example()
    for model in adapted_models():
        labelled.training(model, 40, withheld=40)
    clips = {}
    for example in (labelled, unlabelled):
        example.write(folder / example.suite / "tables")
        manifests = write_recordings(example, folder / example.suite / "recordings")
        clips[example.suite] = folder / example.suite / "clips"
        tables = folder / example.suite / "tables"
        illustrate_clips(example.suite, tables, manifests, READING, clips[example.suite], wrong_clips=2, audio=True)
    studies = write_studies(folder / "demo" / "studies")
    clips = {suite: str(place) for suite, place in clips.items()}  # as Snakemake hands folders over
    material = Material({}, clips, studies, write_benchmarks(folder / "benchmarks"), wrong_clips=2)
    tables = {example.suite: folder / example.suite / "tables" for example in (labelled, unlabelled)}
    page = folder / "report.html"
    told = {"version": "0.1.0", "configuration digest": "0123abcd"}
    build_report(tables, page, title="Example page", provenance=told, material=material)
    return page
