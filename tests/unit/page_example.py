"""A whole example page: tables, recordings of its clips, studies and run times, as the workflow makes it."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from report_example import MACHINES, Example, adapted_models, labelled_example, unlabelled_example

from workflow_lib.csv_rows import write_rows
from workflow_lib.dataset.manifest import Clip, write_manifest
from workflow_lib.evaluation.evidence_rows import StudyRow
from workflow_lib.report import ReportInputs, build_report
from workflow_lib.report.sections.clip_pictures import illustrate_clips
from workflow_lib.studies.figures import draw
from workflow_lib.studies.unmeasured_row import file_stem

READING = {"sample_rate": 16000, "channels": 2, "resample": False}
LONG = "machine_" * 15 + "hidden"  # 126 letters: as long as a name may be
STUDIES = {
    "table_1": ("roles", "Roles of the branches"),
    "table_2": ("comparison", "Controlled complete-development study"),
    "table_3": ("scopes", "Generalisation, by selection scope"),
    "figure_3a": ("leave_one_branch_out", "Change of Ω when one branch is removed"),
    "figure_3b": ("heat_map", "The screening system by held-out machine"),
}


# study, label, metric, protocol, entry, detail, seeds, value, sd, low, high, published, remark
STUDY_LINES = """\
table_1,AE,text,,ae,evidence,,residual,,,,log-mel residual,
table_1,AE,text,,ae,score,,Mahalanobis,,,,Mahalanobis,
table_1,EAT,text,,eat,evidence,,block 4,,,,statistics,stand-in: eat
table_2,Near AE,omega,complete_dev,ae,mean,1,0.55,,0.52,0.58,0.561682,
table_2,EAT,omega,complete_dev,eat,raw,2,0.5725,0.0125,0.5,0.625,0.583375,
table_2,CED,omega,complete_dev,ced,raw,,,,,,,not part of this run: branch ced
table_3,Fusion,omega,cross_fitted,Dual,,1,0.5625,,0.53,0.59,0.625003,
table_3,Fusion,omega,complete_dev,Dual,,1,0.5875,,0.55,0.62,0.635498,
figure_3a,all branches,omega,cross_fitted,Dual,,1,0.5625,,0.53,0.59,0.623988,
figure_3a,AE,change,cross_fitted,Dual,,1,-0.0125,,-0.03,0.004,-0.0039,
figure_3a,EAT,change,cross_fitted,Dual,,1,0.0025,,-0.01,0.02,0.0005,
figure_3a,CED,change,cross_fitted,ced,,,,,,,-0.0012,not part of this run: branch ced
"""
for place, machine in enumerate(MACHINES):
    for metric, paper in (("source_auc", ""), ("target_auc", 0.54), ("pauc", "")):
        STUDY_LINES += f"figure_3b,{machine},{metric},cross_fitted,Dual,,1,{0.45 + place / 8},,,,{paper},\n"


def write_studies(folder: Path, suite: str = "demo", names: Sequence[str] = tuple(STUDIES)) -> list[Path]:
    """The folders of studies as the workflow makes them, without LaTeX."""
    for name in names:
        rows = study_rows(name, suite)
        (folder / name).mkdir(parents=True, exist_ok=True)
        write_rows(folder / name / f"{file_stem(rows)}.csv", StudyRow, rows)
        for file_name, content in draw(rows).items():
            (folder / name / file_name).write_bytes(content)
    return [folder / name for name in names]


def study_rows(name: str, suite: str = "demo") -> list[StudyRow]:
    """The rows of a study; lines with one label and protocol have one number."""
    (kind, title), numbers, rows = STUDIES[name], {}, []
    for line in csv.reader(STUDY_LINES.splitlines()):
        study, label, metric, protocol, entry, detail, seeds, *figures, remark = line
        if study == name:
            number = numbers.setdefault((label, protocol), len(numbers) + 1)
            value, sd, low, high, published = (_figure(cell) for cell in figures)
            facts = (metric, suite, protocol, "system" if entry == "Dual" else "branch", entry)
            more = {"sd": sd, "low": low, "high": high, "published": published, "remark": remark}
            more["untrained"] = entry in ("Dual", "eat")
            count = int(seeds) if seeds else None
            rows.append(StudyRow(name, kind, title, number, label, detail, *facts, count, value, **more))
    return rows


def _figure(cell: str) -> float | str | None:
    try:
        return float(cell) if cell else None
    except ValueError:
        return cell


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
    next(renamed.glob("*.csv")).rename(renamed / f"{renamed.name}.csv")
    inputs = ReportInputs(studies=[studies[0], renamed, *studies[2:]])
    page = folder / "report.html"
    told = {"configuration digest": "0123abcd" * 8}
    build_report({"demo": example.write(folder / "tables")}, page, title=LONG, provenance=told, inputs=inputs)
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
    inputs = ReportInputs({}, clips, studies, write_benchmarks(folder / "benchmarks"), wrong_clips=2)
    tables = {example.suite: folder / example.suite / "tables" for example in (labelled, unlabelled)}
    page = folder / "report.html"
    told = {"version": "0.1.0", "configuration digest": "0123abcd"}
    build_report(tables, page, title="Example page", provenance=told, inputs=inputs)
    return page
