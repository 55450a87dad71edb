"""The report's parts on how sure a figure is, on single machines, on studies and on run time."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from page_example import READING, write_benchmarks, write_recordings, write_studies
from report_example import (
    THRESHOLD,
    Example,
    bare_example,
    drawn_scores,
    labelled_example,
    small_example,
    unlabelled_example,
)
from test_report import PROVENANCE, Parsed, table_rows

from workflow_lib.csv_rows import columns
from workflow_lib.errors import UserError
from workflow_lib.evaluation.evidence_rows import ModelRow, RankingRow, StudyRow
from workflow_lib.metrics import machine_metrics
from workflow_lib.report import ReportInputs, build_report
from workflow_lib.report.charts.roc import roc, rocs_of
from workflow_lib.report.sections.clip_gallery import read_illustrations
from workflow_lib.report.sections.clip_pictures import illustrate_clips, small_sound, spectrogram_db
from workflow_lib.report.sections.entry_order import rankings_of, shown_clips, wrong_clips
from workflow_lib.report.sections.overview import models_text
from workflow_lib.report.sections.provenance import package_versions
from workflow_lib.report.sections.runtime import stages_of
from workflow_lib.report.sections.studies import studies_section
from workflow_lib.report.suite_tables import read_suite

SEEDS = ("13711", "2026")


def page_of(folder: Path, example: Example, **inputs) -> str:
    example.write(folder / "tables")
    suites = {example.suite: folder / "tables"}
    page = folder / "report.html"
    build_report(suites, page, title="Example", provenance=PROVENANCE, inputs=ReportInputs(**inputs))
    return page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def seeded(tmp_path_factory) -> tuple[Path, Parsed]:
    """The page on a labelled suite with two seeds under one protocol, and the folder of its tables."""
    folder = tmp_path_factory.mktemp("seeded")
    return folder, Parsed(page_of(folder, labelled_example(protocols=["cross_fitted"], seeds=SEEDS)))


# --- how sure ------------------------------------------------------------------------------------------------------


def test_the_ranking_shows_each_score_with_its_interval(seeded):
    folder, page = seeded
    told = {(r["System or branch"]["text"], r["Seed"]["text"]): r for r in page.rows("Ranking by Ω")}
    rows = table_rows(folder / "tables", "uncertainty")
    assert len(told) == len(rows) == 6
    for row in rows:
        shown = told[row["name"], row["seed"] or "\u2013"]["95 % interval"]
        assert shown["text"] == f"[{float(row['low']):.4f}, {float(row['high']):.4f}]"
        assert shown["value"] == row["low"]


def test_the_chart_tells_the_intervals(seeded):
    folder, page = seeded
    (chart,) = page.drawings("Dot chart of Ω")
    for row in table_rows(folder / "tables", "uncertainty"):
        assert f"{float(row['omega']):.4f} from {float(row['low']):.4f} to {float(row['high']):.4f}" in chart


def test_differences_are_shown_with_interval_and_sign(seeded):
    folder, page = seeded
    told = page.rows("Differences between systems", "protocol cross_fitted")
    rows = [row for row in table_rows(folder / "tables", "differences") if row["kind_a"] == "system"]
    # NearMah with Dual of each of its two seeds, and each of the three with the best branch.
    assert len(told) == len(rows) >= 2 + 3
    for line, row in zip(told, rows, strict=True):
        assert line["Difference in Ω"]["value"] == row["difference"]
        assert line["95 % interval"]["text"] == f"[{float(row['low']):+.4f}, {float(row['high']):+.4f}]"
        assert line["Same sign"]["value"] == row["same_sign"]


def test_figures_over_seeds_are_mean_and_sample_deviation_with_their_number(seeded):
    folder, page = seeded
    told = {r["System or branch"]["text"]: r for r in page.rows("Ω over seeds")}
    omegas = [float(r["omega"]) for r in table_rows(folder / "tables", "official") if r["name"] == "Dual"]
    cell = told["Dual"]["Ω: mean ± sample standard deviation"]["text"]
    assert cell == f"{np.mean(omegas):.4f} ± {np.std(omegas, ddof=1):.4f}"
    assert (told["Dual"]["Seeds"]["text"], told["ae"]["Seeds"]["text"]) == ("2", "1")
    assert "±" not in told["ae"]["Ω: mean ± sample standard deviation"]["text"]
    fan = [r for r in table_rows(folder / "tables", "machines") if (r["name"], r["machine"]) == ("Dual", "fan")]
    paucs = [float(r["pauc"]) for r in fan]
    table = page.rows("System Dual by machine", "over 2 seeds")
    (line,) = [r for r in table if r["Machine"]["text"] == "fan"]
    assert line["pAUC"]["text"] == f"{np.mean(paucs):.4f} ± {np.std(paucs, ddof=1):.4f}"


def test_an_interval_that_was_not_to_be_had_is_undefined(tmp_path):
    example = bare_example()
    row = example.rows["uncertainty"][0]
    row[7] = row[8] = ""
    told = Parsed(page_of(tmp_path, example)).rows("Ranking by Ω")
    (line,) = [r for r in told if r["System or branch"]["text"] == row[3]]
    assert line["95 % interval"]["text"] == "undefined"


def test_every_fold_says_which_candidate_it_chose(tmp_path):
    example = Example("demo")
    tables = {machine: drawn_scores(machine, 3, 1.0) for machine in ("fan", "valve")}
    example.entry("nested_lomo", "branch", "eat", tables)
    for held_out, chosen in (("fan", "eat_8"), ("valve", "eat_10")):
        for candidate, omega in (("eat_8", 0.5625), ("eat_10", 0.625)):
            flag = "yes" if candidate == chosen else "no"
            example.add("choices", "nested_lomo", "branch", "eat", "", held_out, "eat", candidate, flag, omega)
    rows = Parsed(page_of(tmp_path, example)).rows("Branch eat: chosen candidates", "nested_lomo")
    assert [(row["Held out"]["text"], row["Chosen"]["text"]) for row in rows] == [("fan", "eat_8"), ("valve", "eat_10")]
    assert [row["Others"]["text"] for row in rows] == ["eat_10 (0.6250)", "eat_8 (0.5625)"]
    assert rows[1]["Ω where chosen"]["value"] == "0.625"


# --- single machines -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ties", [False, True])
def test_the_areas_below_the_curves_are_the_figures(ties):
    scores = drawn_scores("fan", 3, 1.0)
    score = np.round(scores.score, 1 if ties else 12)
    rows = [ranked(*r) for r in zip(score, scores.anomaly == 1, scores.domain, strict=True)]
    metrics = machine_metrics(score, scores.anomaly, scores.domain)
    areas = {n: np.trapezoid(c.true_positive, c.false_positive) for n, c in rocs_of(rows).items()}
    assert areas["source"] == pytest.approx(metrics.source_auc, abs=1e-12)
    assert areas["target"] == pytest.approx(metrics.target_auc, abs=1e-12)
    curve = rocs_of(rows)["all clips"]
    x = np.union1d(curve.false_positive, [0.1])
    partial = np.trapezoid(*_upper(curve, x[x <= 0.1]))
    assert 0.5 * (1 + (partial - 0.005) / (0.1 - 0.005)) == pytest.approx(metrics.pauc, abs=1e-12)


def ranked(score: float, anomaly: bool | None, domain: str) -> RankingRow:
    """A line of ranking.csv, as far as a curve needs it."""
    return RankingRow("demo", "complete_dev", "system", "S", "", False, "fan", 1, "a.wav", domain, anomaly, score)


def _upper(curve, limits):
    """(y, x) of a curve up to the last of the limits, its upright parts kept."""
    keep = curve.false_positive <= limits[-1]
    edge = np.interp(limits[-1], curve.false_positive, curve.true_positive)
    x, y = np.append(curve.false_positive[keep], limits[-1]), curve.true_positive[keep]
    return np.append(y, max(edge, y[-1])), x


def test_a_curve_needs_both_classes_and_known_labels():
    assert roc(np.array([1.0, 2.0]), np.array([True, True])) is None
    assert rocs_of([ranked(1.0, None, "source"), ranked(2.0, True, "source")]) == {}


def test_decisions_are_counted_at_the_threshold(seeded):
    folder, page = seeded
    wanted = ("Dual", "2026", "fan")
    rows = [r for r in table_rows(folder / "tables", "ranking") if (r["name"], r["seed"], r["machine"]) == wanted]
    called = [float(r["score"]) > THRESHOLD for r in rows]
    truth = [r["anomaly"] == "1" for r in rows]
    hits = sum(c and t for c, t in zip(called, truth, strict=True))
    table = page.rows("System Dual, seed 2026: decisions at the threshold")
    (line,) = [r for r in table if r["Machine"]["text"] == "fan"]
    assert line["Found"]["text"] == f"{hits} of 50"
    assert float(line["Precision"]["value"]) == pytest.approx(hits / sum(called))
    assert float(line["Recall"]["value"]) == pytest.approx(hits / 50)
    assert float(line["F1"]["value"]) == pytest.approx(2 * hits / (sum(called) + 50))
    alarms = [c and r["domain"] == "source" for c, t, r in zip(called, truth, rows, strict=True) if not t]
    assert line["False alarms, source"]["text"] == f"{sum(alarms)} of 25"


def test_a_missing_threshold_is_said_with_its_reason(tmp_path):
    example = bare_example()
    for row in example.rows["thresholds"]:
        row[9], row[11] = "", "gamma fit: the scores are all the same"
    text = Parsed(page_of(tmp_path, example)).text
    assert "fan: gamma fit: the scores are all the same" in text
    assert "No decision threshold is drawn: gamma fit: the scores are all the same." in text
    assert "Dashed: the decision threshold" not in text
    assert "decisions at the threshold" not in text


def test_every_machine_has_its_part_under_the_best_system(seeded):
    parts = seeded[1].drawings("ROC curves of")
    for machine in ("ToyCarEmu", "bearingEmu", "fan"):
        assert len([label for label in parts if f"ROC curves of {machine}: System" in label]) == 1


def test_wrong_clips_are_the_highest_normals_and_the_lowest_anomalies(tmp_path):
    suite = read_suite("demo", small_example().write(tmp_path))
    for machines in rankings_of(suite).values():
        rows = machines["fan"]
        chosen = wrong_clips(rows, 3)
        normals = sorted((r.score for r in rows if not r.anomaly), reverse=True)[:3]
        anomalies = sorted(r.score for r in rows if r.anomaly)[:3]
        assert [row.score for _, row in chosen] == [*normals, *anomalies]
    unlabelled = read_suite("plant", unlabelled_example().write(tmp_path / "plant"))
    rows = rankings_of(unlabelled)["complete_dev", ("system", "Dual", "")]["pump"]
    assert [row.rank for _, row in wrong_clips(rows, 2)] == [1, 2]


# --- clips to see and hear -----------------------------------------------------------------------------------------


@pytest.fixture
def recorded(tmp_path) -> tuple[Example, Path, list[Path]]:
    """An example under two protocols with recordings of its test clips."""
    example = Example("demo")
    for place, protocol in enumerate(("complete_dev", "fixed_lomo")):
        example.entry(protocol, "branch", "ae", {"fan": drawn_scores("fan", 3 + place, 1.0)})
    tables = example.write(tmp_path / "tables")
    return example, tables, write_recordings(example, tmp_path / "recordings", seconds=0.5)


def illustrate(recorded, folder: Path, reading=READING, **changes) -> Path:
    _, tables, manifests = recorded
    illustrate_clips("demo", tables, manifests, reading, folder, **{"wrong_clips": 2, "audio": True, **changes})
    return folder


@pytest.fixture
def illustrated(recorded, tmp_path) -> Path:
    """The clips that the page of `recorded` shows, two of each kind."""
    return illustrate(recorded, tmp_path / "clips")


def test_only_the_recordings_that_are_shown_are_read(recorded, tmp_path):
    tables = recorded[1]
    shown = set(shown_clips(read_suite("demo", tables), 2))
    for path in (tmp_path / "recordings").glob("*/test/*.wav"):
        if ("fan", path.name) not in shown:
            path.unlink()
    folder = illustrate(recorded, tmp_path / "clips")
    assert {(clip.machine, clip.clip) for clip in read_illustrations(folder)} == shown


def test_the_same_recordings_give_the_same_files(recorded, tmp_path):
    folders = [illustrate(recorded, tmp_path / name) for name in ("one", "two")]
    files = [{p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in folders]
    assert files[0] == files[1]
    assert {path.suffix for path in files[0]} == {".json", ".png", ".mp3"}


def test_sounds_are_small_and_last_as_long_as_the_recording(illustrated):
    for clip in read_illustrations(illustrated):
        assert list(clip.sounds) == ["near", "far"]
        for path in clip.sounds.values():
            sound, rate_hz = soundfile.read(illustrated / path)
            assert len(sound) / rate_hz == pytest.approx(0.5, abs=0.1)
            assert (illustrated / path).stat().st_size < 4000


def test_far_stays_as_much_quieter_than_near():
    waveform = np.array([[0.0, 0.2, -0.1], [0.0, 0.05, 0.1]], dtype=np.float32)
    np.testing.assert_allclose(small_sound(waveform, 16000), waveform * 4.5, rtol=1e-6)
    assert small_sound(np.zeros((2, 9), np.float32), 16000).max() == 0.0
    assert small_sound(np.ones((1, 4800), np.float32), 48000).shape == (1, 1600)


def test_a_tone_stands_in_its_row_of_the_spectrogram():
    tone = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)[None].astype(np.float32)
    rows = spectrogram_db(tone, 16000)[0].mean(axis=1)
    assert rows.shape == (128,)
    assert np.argmax(rows) == 1000 // 62.5


def test_without_audio_there_are_pictures_only(recorded, tmp_path):
    folder = illustrate(recorded, tmp_path / "clips", audio=False)
    assert not list(folder.rglob("*.mp3"))
    page = page_of(tmp_path, recorded[0], clips={"demo": folder}, wrong_clips=2)
    assert "<audio" not in page and "<img" in page


def test_a_mono_recording_has_no_far(recorded, tmp_path):
    folder = illustrate(recorded, tmp_path / "mono", {**READING, "channels": 1}, wrong_clips=1)
    assert all(list(clip.sounds) == ["near"] for clip in read_illustrations(folder))


def test_each_clip_is_on_the_page_once_and_linked_from_wherever_it_is_named(recorded, illustrated, tmp_path):
    page = Parsed(page_of(tmp_path, recorded[0], clips={"demo": illustrated}, wrong_clips=2))
    clips = read_illustrations(illustrated)
    pictures = [values for tag, values in page.elements if tag == "img"]
    assert len(pictures) == len(clips) == len({values["src"] for values in pictures})
    assert all(values["alt"] and values["src"].startswith("data:image/png;base64,") for values in pictures)
    sounds = [values for tag, values in page.elements if tag == "audio"]
    assert len(sounds) == 2 * len(clips)
    assert all(values["src"].startswith("data:audio/mpeg;base64,") and values["aria-label"] for values in sounds)
    links = [v["href"] for tag, v in page.elements if tag == "a" and "-clip-" in v.get("href", "")]
    assert len(links) == 2 * 4  # two protocols, two normal clips and two anomalies
    assert {link.lstrip("#") for link in links} <= set(page.ids)


def test_clips_of_another_choice_are_refused(recorded, tmp_path):
    folder = illustrate(recorded, tmp_path / "clips", wrong_clips=1)
    with pytest.raises(UserError, match="is not illustrated: remove the folder and make it again"):
        page_of(tmp_path, recorded[0], clips={"demo": folder}, wrong_clips=3)


def test_a_broken_index_of_clips_is_named(recorded, illustrated, tmp_path):
    index = json.loads((illustrated / "clips.json").read_text(encoding="utf-8"))
    index["clips"][0].pop("picture")
    (illustrated / "clips.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(UserError, match=r"clips\.json: cannot be read"):
        page_of(tmp_path, recorded[0], clips={"demo": illustrated}, wrong_clips=2)


def test_a_ranked_clip_without_a_recording_is_named(recorded, tmp_path):
    manifests = recorded[2]
    lines = manifests[0].read_text(encoding="utf-8").splitlines(keepends=True)
    manifests[0].write_text("".join(lines[:1]), encoding="utf-8")
    with pytest.raises(UserError, match="ranked, but not among the recordings: section_00"):
        illustrate(recorded, tmp_path / "clips")


def test_no_wrong_clips_are_shown_where_none_are_asked_for(recorded, tmp_path):
    folder = illustrate(recorded, tmp_path / "clips", wrong_clips=0)
    assert read_illustrations(folder) == []
    assert "most wrong" not in page_of(tmp_path, recorded[0], clips={"demo": folder}, wrong_clips=0)


# --- studies -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def studied(tmp_path_factory) -> Parsed:
    folder = tmp_path_factory.mktemp("studied")
    studies = write_studies(folder / "studies")
    return Parsed(page_of(folder, bare_example(), studies=studies))


def test_the_published_value_stands_beside_ours(studied):
    rows = {r["Row"]["text"].split()[0]: r for r in studied.rows("Controlled complete-development")}
    assert rows["EAT"]["Ω"]["text"] == "0.5725 ± 0.0125"
    assert rows["EAT"]["Ω, paper"]["value"] == "0.583375"
    assert rows["EAT"]["Row"]["text"].endswith("untrained")
    assert rows["EAT"]["Ω, interval"]["text"] == "[0.5000, 0.6250]"
    assert rows["CED"]["Ω"]["text"] == "\u2013"
    assert rows["CED"]["Remark"]["text"] == "not part of this run: branch ced"


def test_studies_keep_protocols_apart(studied):
    tables = [table for table in studied.tables if "Generalisation" in table["caption"]]
    assert [table["protocol"] for table in tables] == ["cross_fitted", "complete_dev"]
    assert [len(table["rows"]) - 1 for table in tables] == [1, 1]


def test_roles_are_shown_in_words(studied):
    assert studied.table("Roles of the branches")["protocol"] is None
    ae, eat = studied.rows("Roles of the branches")
    assert (ae["Evidence"]["text"], ae["Evidence, paper"]["text"]) == ("residual", "log-mel residual")
    assert eat["Score"]["text"] == "\u2013"


def test_figures_3a_and_3b_are_drawn(studied):
    drawn = studied.drawings()
    (bars,) = [label for label in drawn if label.startswith("Bar chart: Change of Ω")]
    assert "AE -0.0125" in bars and "CED unknown" in bars
    assert ": system Dual (untrained), suite demo, protocol cross_fitted" in bars
    assert len([label for label in drawn if label.startswith("Heat map of The screening system")]) == 1
    rows = studied.rows("The screening system by held-out machine")
    assert [row["Target AUC, paper"]["value"] for row in rows] == ["0.54"] * 3


@pytest.mark.parametrize(
    ("column", "cell", "fault"),
    [
        ("kind", "essay", "must be one of roles"),
        ("row", "first", "must be a whole number"),
        ("untrained", "maybe", "must be one of yes, no"),
        ("value", "good", "must be a finite number"),
        ("published", "better", "must be a finite number"),
    ],
)
def test_a_faulty_cell_of_a_study_is_named(tmp_path, column, cell, fault):
    (study,) = write_studies(tmp_path / "studies", names=["table_2"])
    (path,) = study.glob("table_2*.csv")
    rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    rows[1][columns(StudyRow).index(column)] = cell
    path.write_text("\n".join(",".join(row) for row in rows) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=rf"table_2-complete_dev\.csv, line 2: {column} .*{fault}"):
        studies_section([study])


def test_a_missing_study_is_named(tmp_path):
    with pytest.raises(UserError, match=r"table_9\.csv: the table is missing"):
        studies_section([tmp_path / "table_9"])


# --- run time and provenance ---------------------------------------------------------------------------------------


def test_run_time_is_told_by_stage(tmp_path):
    scores, tables = stages_of(write_benchmarks(tmp_path / "benchmarks"))
    assert (scores.suite, scores.stage, sorted(scores.seconds)) == ("demo", "scores", [3.25, 61.5])
    assert (tables.stage, tables.seconds, tables.memory_mb) == ("tables", (0.5,), ())
    page = Parsed(page_of(tmp_path, bare_example(), benchmarks=tmp_path / "benchmarks"))
    first, second = page.rows("Run time per stage")
    assert (first["Jobs"]["text"], first["Time of all jobs"]["value"]) == ("2", "64.75")
    assert (first["Time of all jobs"]["text"], first["Most memory"]["text"]) == ("1 min 05 s", "512 MB")
    assert second["Most memory"]["text"] == "\u2013"


def test_the_run_time_is_all_that_differs_between_two_runs(tmp_path):
    page = page_of(tmp_path, bare_example(), benchmarks=write_benchmarks(tmp_path / "benchmarks"))
    shutil.rmtree(tmp_path / "benchmarks" / "demo" / "scores")
    other = page_of(tmp_path, bare_example(), benchmarks=tmp_path / "benchmarks")
    assert page != other
    section = re.compile(r'<section id="runtime".*?</section>', re.DOTALL)
    assert section.sub("", page) == section.sub("", other)


@pytest.mark.parametrize("folder", [None, Path("nowhere")])
def test_no_section_without_run_times_studies_or_several_seeds(tmp_path, folder):
    page = page_of(tmp_path, bare_example(), benchmarks=folder)
    assert "Run time per stage" not in page and "Spread over seeds" not in page
    assert "studies" not in Parsed(page).ids


def test_the_first_screen_says_where_the_models_are_from():
    rows = [
        ModelRow("demo", name, kind, trained, "", "", (), "")
        for name, kind, trained in (
            ("ae", "autoencoder", "yes"),
            ("eat", "frozen", "yes"),
            ("ced", "frozen", "no"),
            ("dualmic@full-seed7", "adapted", "yes"),
            ("dualmic@without-fan-seed7", "adapted", "yes"),
            ("other@full-seed7", "adapted", "no"),
        )
    ]
    assert models_text(rows) == (
        "adapted: dualmic (2 models); published: eat; trained here: ae; adapted from untrained: other; untrained: ced"
    )


def test_provenance_names_the_packages_that_numbers_come_from():
    versions = package_versions()
    assert versions["numpy"] == np.__version__
    assert {"Python", "snakemake", "scipy", "scikit-learn", "torch"} <= versions.keys()
