"""Health of recordings: planted faults in a simulated machine are found, and nothing else is."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from report_example import labelled_example
from scipy import signal

from workflow_lib.csv_rows import read_rows
from workflow_lib.dataset.clip_health import (
    check_machine,
    clipped_share,
    coherence,
    level_dbfs,
    measure_clip,
    removed_by_far,
)
from workflow_lib.dataset.findings import write_health
from workflow_lib.dataset.health_table import REMAKE, ClipHealth, health_lines, read_health
from workflow_lib.dataset.manifest import Clip, index_machine
from workflow_lib.report import ReportInputs, build_report
from workflow_lib.simulation.suite import simulate_machine

RATE = 16000
SIMULATED = {"seed": 3, "seconds": 2.0, "train_source": 8, "train_target": 2, "test_per_cell": 2, "severity": (0.5, 1)}
TRAIN = [f"section_00_source_train_normal_000{number}_spd_1.wav" for number in range(2)]


def noise(seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    """(2, samples): far is half of near plus some noise of its own, as from a microphone further away."""
    random = np.random.default_rng(seed)
    near, own = 0.05 * random.standard_normal((2, round(seconds * RATE)))
    return np.stack([near, 0.5 * near + 0.3 * own]).astype(np.float32)


def write_clip(path: Path, waveform: np.ndarray, subtype: str = "PCM_16") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, waveform.T, RATE, subtype=subtype)
    return path


def clip_of(path: Path, seconds: float = 2.0, split: str = "train") -> Clip:
    info = soundfile.info(path)
    sound = (info.channels, info.samplerate, round(seconds * info.samplerate))
    return Clip("fan", path.name, split, "source", "normal", "", *sound, path.as_posix())


def measured(folder: Path, waveform: np.ndarray, **keywords: str) -> ClipHealth:
    return measure_clip(clip_of(write_clip(folder / "a.wav", waveform, **keywords)))


def checked(root: Path, folder: Path, *machines: str) -> Path:
    """The health tables of machines below a root, made as the two jobs make them."""
    folder.mkdir()
    for machine in machines:
        clips, faults = index_machine(root, machine, channels=1, allow_no_target=True)
        assert not faults
        check_machine(clips, folder / f"{machine}.csv")
    write_health(folder.glob("*.csv"), "mine", folder / "check")
    return folder / "check"


@pytest.fixture
def fan(tmp_path) -> Path:
    """Root of a suite with one simulated machine; its near channel is made clearly louder than the far one."""
    simulate_machine("fan", tmp_path / "suite" / "fan", **SIMULATED)
    for path in (tmp_path / "suite").rglob("*.wav"):
        near, far = soundfile.read(path, dtype="float32")[0].T
        write_clip(path, np.stack([near, far * (near.std() / far.std() * 0.4)]))
    return tmp_path / "suite"


def of(findings: list, finding: str) -> list[str]:
    return [line.clip for line in findings if line.finding == finding]


# ---- one clip --------------------------------------------------------------------------------------------------------


def test_a_full_scale_sine_has_minus_three_decibels():
    sine = np.sin(2 * np.pi * 1000 / RATE * np.arange(RATE)).astype(np.float32)
    assert level_dbfs(sine) == pytest.approx(-3.0103, abs=1e-3)
    assert level_dbfs(sine / 10 + np.float32(0.5)) == pytest.approx(-23.0103, abs=1e-3)  # an offset is no sound
    assert level_dbfs(np.zeros(RATE, np.float32)) is None


@pytest.mark.parametrize("seconds", [0.4, 2.0, 11.3])
def test_coherence_is_that_of_scipy_and_left_open_for_few_windows(seconds):
    waveform = noise(seconds)
    wanted = signal.coherence(*waveform.astype(np.float64), nperseg=1024)[1].mean()
    assert coherence(waveform) == pytest.approx(wanted, abs=1e-6)
    assert coherence(noise(0.25)) is None


def leaking(leak_db: float, seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    """(2, samples): a machine, at far as much quieter and 3 ms later, and noise of -20 dB at both."""
    random = np.random.default_rng(seed)
    machine, *noises = 0.05 * random.standard_normal((3, round(seconds * RATE)))
    far = 10 ** (leak_db / 20) * np.roll(machine, 48)
    return np.stack([machine + 0.1 * noises[0], far + 0.1 * noises[1]]).astype(np.float32)


@pytest.mark.parametrize(("leak_db", "wanted"), [(-40.0, 0.01), (-20.0, 0.5), (-10.0, 0.9), (0.0, 0.98)])
def test_far_removes_the_share_of_near_that_it_predicts(leak_db, wanted):
    """Predicted from itself at power p beside noise of 0.01, a machine of power 1 loses p / (p + 0.01)."""
    assert removed_by_far(leaking(leak_db, 20.0)) == pytest.approx(wanted, abs=0.03)
    assert removed_by_far(leaking(leak_db, 20.0) + np.float32(0.3)) == pytest.approx(wanted, abs=0.03)  # an offset


def test_the_removed_share_is_that_of_the_start_and_left_open_for_few_windows():
    waveform = leaking(-10.0, 40.0)
    assert removed_by_far(waveform) == pytest.approx(removed_by_far(waveform[:, : 32 * RATE]), abs=1e-3)
    waveform[0, 33 * RATE :] *= 100
    assert removed_by_far(waveform) == pytest.approx(removed_by_far(waveform[:, : 32 * RATE]), abs=1e-3)
    assert removed_by_far(noise(1.0)) is None
    assert 0 < removed_by_far(np.random.default_rng(0).standard_normal((2, 18432)).astype(np.float32)) < 0.3


@pytest.mark.parametrize(
    ("peaks", "wanted"),
    [([1.0, 1.0], 0.0), ([1.0, 1.0, 1.0], 0.003), ([-1.0, -1.0, -1.0, -1.0], 0.004), ([1.0, 0.0, 1.0, 1.0], 0.0)],
)
def test_only_runs_at_full_scale_are_clipping(peaks, wanted):
    channel = np.zeros(1000, np.float32)
    channel[500 : 500 + len(peaks)] = peaks
    assert clipped_share(channel) == pytest.approx(wanted)
    edge = np.concatenate([peaks, np.zeros(1000 - len(peaks))]).astype(np.float32)
    assert clipped_share(edge) == pytest.approx(wanted)
    assert clipped_share(edge[::-1]) == pytest.approx(wanted)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_clipping_shows_in_every_sample_format(tmp_path, subtype):
    row = measured(tmp_path, np.clip(noise() * 40, -1, 1), subtype=subtype)
    assert 0.3 < row.clipped < 0.7


def test_the_digest_is_of_the_sound_not_of_the_file(tmp_path):
    sixteen = write_clip(tmp_path / "a.wav", noise())
    samples = soundfile.read(sixteen, dtype="float32")[0].T
    others = [write_clip(tmp_path / "b.wav", samples, "FLOAT"), write_clip(tmp_path / "c.flac", samples)]
    (digest,) = {measure_clip(clip_of(path)).digest for path in (sixteen, *others)}
    assert measured(tmp_path, samples[::-1]).digest != digest


def test_a_mono_clip_has_no_far_figures(tmp_path):
    row = measured(tmp_path, noise()[:1])
    assert (row.channels, row.far_dbfs, row.near_minus_far_db, row.coherence, row.silent) == (1, None, None, None, "")
    assert row.removed_by_far is None


def test_a_dead_microphone_is_silent_whatever_its_offset(tmp_path):
    waveform = noise()
    waveform[1] = 0.25
    row = measured(tmp_path, waveform)
    assert (row.silent, row.coherence, row.removed_by_far) == ("far", None, None)


def test_a_clip_of_another_rate_is_measured_as_it_is(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.clip(noise(4.0) * 40, -1, 1).T, 2 * RATE)
    row = measure_clip(clip_of(tmp_path / "a.wav", 2.0))
    assert row.seconds == pytest.approx(2.0)
    assert row.clipped > 0.3


# ---- a suite ---------------------------------------------------------------------------------------------------------


def test_a_sound_machine_has_no_findings(fan, tmp_path):
    rows, findings = read_health(checked(fan, tmp_path / "out", "fan"))
    assert not findings
    assert [(row.split, row.domain, row.label, row.clips) for row in rows] == [
        ("train", "source", "normal", 8),
        ("train", "target", "normal", 2),
        *(("test", domain, label, 2) for domain in ("source", "target") for label in ("anomaly", "normal")),
    ]
    for row in rows:
        assert (row.seconds_min, row.seconds_max, row.channels) == (2.0, 2.0, "2")
        assert row.near_minus_far_db == pytest.approx(7.96, abs=0.1)
        assert row.near_dbfs - row.far_dbfs == pytest.approx(7.96, abs=0.1)
        assert 0 < row.coherence < 1
        assert 0 < row.removed_by_far < (0.8 if row.split == "train" else 1)  # a loud interferer may be in a test clip
        assert (row.clipped, row.silent, row.duplicates) == (0, 0, 0)


def test_planted_faults_are_found_and_named(fan, tmp_path):
    train, test = (sorted((fan / "fan" / split).iterdir()) for split in ("train", "test"))
    waveforms = {path: soundfile.read(path, dtype="float32")[0].T for path in (*train, *test)}
    write_clip(train[0], waveforms[train[0]] * 0)
    write_clip(train[1], np.clip(waveforms[train[1]] * 100, -1, 1))
    write_clip(train[2], waveforms[train[2]][::-1])
    write_clip(train[3], waveforms[train[3]][:, :8000])
    write_clip(train[4], waveforms[train[4]] * 0.03)
    write_clip(train[5], waveforms[train[5]][[0, 0]])
    write_clip(test[0], waveforms[train[6]])
    write_clip(test[1], waveforms[test[1]] * 0)  # silence is found as silence, not as a double of train[0]
    rows, findings = read_health(checked(fan, tmp_path / "out", "fan"))
    assert set(of(findings, "silent")) == {train[0].name, test[1].name}
    assert of(findings, "clipped") == [train[1].name]
    assert of(findings, "near and far swapped?") == [train[2].name]
    assert of(findings, "short") == [train[3].name]
    assert train[4].name in of(findings, "odd level")
    assert of(findings, "near and far are the same") == [train[5].name]
    assert set(of(findings, "the same sound in train and test")) == {train[6].name, test[0].name}
    assert [sum(counts) for counts in zip(*((r.duplicates, r.silent, r.clipped) for r in rows), strict=True)] == [
        2,
        2,
        1,
    ]
    assert min(row.seconds_min for row in rows) == 0.5


def test_doubles_are_found_across_machines_and_not_within_a_split(tmp_path):
    for machine, seed in (("fan", 1), ("pump", 2)):
        for name in TRAIN:
            write_clip(tmp_path / machine / "train" / name, noise(seed=seed))
    write_clip(tmp_path / "fan" / "test" / "section_00_0000.wav", noise(seed=9))
    write_clip(tmp_path / "pump" / "test" / "section_00_0000.wav", noise(seed=1))
    _, findings = read_health(checked(tmp_path, tmp_path / "out", "fan", "pump"))
    assert {(line.machine, line.clip, line.detail) for line in findings} == {
        ("pump", "section_00_0000.wav", f"test, as fan/train/{TRAIN[0]}"),
        *(("fan", name, "train, as pump/test/section_00_0000.wav") for name in TRAIN),
    }


def test_a_machine_without_attributes_is_said(tmp_path):
    for seed, name in enumerate(TRAIN):
        write_clip(tmp_path / "fan" / "train" / name.replace("spd_1", "noAttribute"), noise(seed=seed))
    write_clip(tmp_path / "fan" / "test" / "section_00_0000.wav", noise(seed=7))
    folder = checked(tmp_path, tmp_path / "out", "fan")
    rows, findings = read_health(folder)
    assert [(line.finding, line.clip) for line in findings] == [("no attributes", "")]
    assert {row.attributes for row in rows} == {0}
    assert health_lines(folder)[-1] == "fan: no attributes: no training clip says more than noAttribute"


def test_a_machine_that_far_hears_like_near_is_said(tmp_path):
    for machine, leaks_db in (("fan", (-5, -5, -30)), ("pump", (-30, -30, 0)), ("valve", (-30, -30, -30))):
        for number, leak_db in enumerate(leaks_db):
            name = f"section_00_source_train_normal_000{number}_spd_1.wav"
            write_clip(tmp_path / machine / "train" / name, leaking(leak_db, seed=number))
        # What a test clip loses may be its anomaly.
        write_clip(tmp_path / machine / "test" / "section_00_0000.wav", leaking(0, seed=9))
    folder = checked(tmp_path, tmp_path / "out", "fan", "pump", "valve")
    rows, findings = read_health(folder)
    assert {row.machine: row.removed_by_far > 0.8 for row in rows if row.split == "train"} == {
        "fan": True,
        "pump": False,
        "valve": False,
    }
    assert all(row.removed_by_far > 0.8 for row in rows if row.split == "test")
    assert [(line.machine, line.finding, line.clip) for line in findings] == [("fan", "far is like near", "")]
    assert "use `view: [near]` instead of cancelled" in health_lines(folder)[-1]
    assert health_lines(folder)[-1].startswith("fan: far is like near: cancelling removes 9")


def test_mixed_channels_are_told_apart(tmp_path):
    for channels, name in enumerate(TRAIN, 1):
        write_clip(tmp_path / "fan" / "train" / name, noise(seed=channels)[:channels])
    write_clip(tmp_path / "fan" / "test" / "section_00_0000.wav", noise(seed=7)[:1])
    rows, findings = read_health(checked(tmp_path, tmp_path / "out", "fan"))
    assert [(row.split, row.channels) for row in rows] == [("train", "1 or 2"), ("test", "1")]
    assert rows[1].far_dbfs is None and rows[1].coherence is None
    assert not findings


def test_the_number_of_threads_changes_nothing(fan, tmp_path):
    clips, _ = index_machine(fan, "fan")
    for workers in (1, 3):
        check_machine(clips, tmp_path / f"{workers}.csv", workers)
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "3.csv").read_bytes()
    assert [row.clip for row in read_rows(tmp_path / "1.csv", ClipHealth, REMAKE)] == [clip.clip for clip in clips]


def test_lines_for_the_terminal_are_aligned_and_name_three_clips(fan, tmp_path):
    for path in (fan / "fan" / "train").iterdir():
        write_clip(path, np.zeros((2, 2 * RATE), np.float32))
    lines = health_lines(checked(fan, tmp_path / "out", "fan"))
    assert lines[0].split()[:5] == ["machine", "split", "domain", "label", "clips"]
    assert lines[1].index("train") == lines[0].index("split")
    (told,) = [line for line in lines if "silent:" in line]
    assert told.startswith("fan: silent: 10 clips: section_00_") and told.endswith("and 7 more")


# ---- the page --------------------------------------------------------------------------------------------------------


def test_the_page_shows_findings_and_figures(fan, tmp_path):
    path = sorted((fan / "fan" / "test").iterdir())[0]
    write_clip(path, np.zeros((2, 2 * RATE), np.float32))
    folder = checked(fan, tmp_path / "out", "fan")
    tables = {"demo": labelled_example().write(tmp_path / "tables")}
    inputs = ReportInputs(health={"demo": folder})
    build_report(tables, tmp_path / "report.html", title="t", provenance={}, inputs=inputs)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Health of the recordings" in page
    table = page.split("What is odd about the recordings of demo", 1)[1].split("</table>", 1)[0]
    assert "silent" in table and path.name in table
    assert "Levels, coherence and faults of demo" in page
    assert "Removed by far" in page
    build_report(tables, tmp_path / "without.html", title="t", provenance={})
    assert "Health of the recordings" not in (tmp_path / "without.html").read_text(encoding="utf-8")
