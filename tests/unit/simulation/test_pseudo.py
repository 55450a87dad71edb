"""Pseudo-anomalies: exact ratios, clips that depend on nothing but themselves, and training clips that stay out."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from one_line import one_line_error

from workflow_lib.dataset.clip_name import parse_clip_name
from workflow_lib.dataset.manifest import index_machine
from workflow_lib.simulation.pseudo import KINDS, disturb_machine, disturbance_kind

RATE = 16000
SETTINGS = {"left_out": 20, "levels_db": [0, 10], "seed": 7}
PLAIN = {"rate": RATE, "suffix": "wav", "subtype": "PCM_16", "channels": 2, "peak": 0.05}


def write_training(folder: Path, source: int = 10, target: int = 5, seed: int = 1, **changes) -> Path:
    """A folder of training clips: noise at both microphones, each clip with a sound of its own."""
    of = PLAIN | changes
    folder.mkdir(parents=True)
    for domain, count in (("source", source), ("target", target)):
        for number in range(count):
            rng = np.random.default_rng([seed, number, domain == "target"])
            wave = of["peak"] * rng.uniform(-1, 1, (of["rate"] // 2, of["channels"]))
            name = f"section_00_{domain}_train_normal_{number:04d}_spd_{number % 3}.{of['suffix']}"
            soundfile.write(folder / name, wave, of["rate"], subtype=of["subtype"])
    return folder


def disturb(folder: Path, train: Path, another: Path | None = None, **changes) -> dict[str, Path]:
    """The machine's clips, by split and name."""
    disturb_machine("fan", train, another, folder, **SETTINGS | changes)
    return {f"{path.parent.name}/{path.name}": path for path in sorted(folder.glob("*/*"))}


def disturbed_name(name: str, kind: str, level_db: float) -> str:
    return name.replace("train_normal_", "test_anomaly_").replace("_spd", f"_disturbance_{kind}_ratio_{level_db:g}_spd")


@pytest.fixture
def another(tmp_path) -> Path:
    return write_training(tmp_path / "pump" / "train", seed=2)


# ---- ratios ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"suffix": "flac"},
        {"subtype": "PCM_24"},
        {"subtype": "FLOAT"},
        {"rate": 44100},
        {"rate": 8000},
        {"channels": 1},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())) or "plain",
)
def test_near_hears_the_stated_ratio_and_far_a_weaker_and_later_copy(tmp_path, another, changes):
    train = write_training(tmp_path / "fan" / "train", **changes)
    clips = disturb(tmp_path / "made", train, another, levels_db=[-5, 0, 12.5])
    name = f"section_00_source_train_normal_0002_spd_2.{changes.get('suffix', 'wav')}"
    original, info = soundfile.read(train / name, always_2d=True)[0], soundfile.info(train / name)
    for kind in KINDS:
        for level_db in (-5, 0, 12.5):
            path = clips[f"test/{disturbed_name(name, kind, level_db)}"]
            made = soundfile.info(path)
            assert (made.format, made.subtype, made.samplerate) == (info.format, info.subtype, info.samplerate)
            added = soundfile.read(path, always_2d=True)[0] - original
            ratio_db = 10 * np.log10(np.var(original[:, 0]) / np.mean(added[:, 0] ** 2))
            assert ratio_db == pytest.approx(level_db, abs=0.1), kind
            if info.channels == 2:
                delay = round(0.008 * info.samplerate)
                np.testing.assert_allclose(added[delay:, 1], 10 ** (-12 / 20) * added[:-delay, 0], atol=5e-5)
                assert np.abs(added[delay:, 1]).max() > 1e-3


def test_a_clip_at_full_scale_is_scaled_down_as_a_whole(tmp_path, another):
    """What a clip of a tenth of the amplitude becomes, ten times as loud, but for one factor: the ratio is kept."""
    loud, quiet = (
        disturb(tmp_path / f"made {peak}", write_training(tmp_path / f"{peak}" / "train", peak=peak), another)
        for peak in (0.95, 0.095)
    )
    name = "section_00_source_train_normal_0002_spd_2.wav"
    for kind in ("noise", "tone", "click"):
        waves = [soundfile.read(clips[f"test/{disturbed_name(name, kind, 0)}"])[0] for clips in (loud, quiet)]
        peak, small = (np.abs(wave).max() for wave in waves)
        assert peak <= 1 - 2**-15 and (np.abs(waves[0]) > peak - 2**-16).sum() == 1, "cut off"
        np.testing.assert_allclose(waves[0] / peak, waves[1] / small, atol=1e-3)


# ---- what a clip depends on ------------------------------------------------------------------------------------------


def test_a_clip_depends_on_its_own_name_kind_and_level_alone(tmp_path, another):
    """Of ten clips the third and the eighth are left out, of the first five the third."""
    clips = disturb(tmp_path / "all", write_training(tmp_path / "fan" / "train"), another)
    assert {name: path.read_bytes() for name, path in clips.items()} == {
        name: path.read_bytes()
        for name, path in disturb(tmp_path / "again", tmp_path / "fan" / "train", another).items()
    }
    few = write_training(tmp_path / "few" / "train", source=5, target=0)
    of_few = {n: path for n, path in disturb(tmp_path / "some", few, another, levels_db=[10]).items() if "test/" in n}
    assert len(of_few) == 1 + 4
    for name, path in of_few.items():
        assert path.read_bytes() == clips[name].read_bytes()
    other = disturb(tmp_path / "seed", tmp_path / "fan" / "train", another, seed=8)
    changed = [name for name, path in other.items() if path.read_bytes() != clips[name].read_bytes()]
    assert changed == [name for name in clips if "disturbance" in name]
    sounds = {path.read_bytes() for path in clips.values()}
    assert len(sounds) == len(clips)


# ---- which clips -----------------------------------------------------------------------------------------------------


def test_left_out_clips_are_no_training_clips_and_lie_evenly_in_each_domain(tmp_path, another):
    train = write_training(tmp_path / "fan" / "train")
    clips = disturb(tmp_path / "made" / "fan", train, another)
    untouched = [name for name in clips if name.startswith("test/") and "_normal_" in name]
    assert [name.split("_")[2] + name.split("_")[5] for name in untouched] == ["source0002", "source0007", "target0002"]
    kept = {name.removeprefix("train/") for name in clips if name.startswith("train/")}
    left_out = {name.removeprefix("test/").replace("_test_", "_train_") for name in untouched}
    assert kept | left_out == {path.name for path in train.iterdir()} and not kept & left_out
    for name, path in clips.items():
        if "_normal_" in name:  # the same file, not a copy
            assert path.samefile(train / path.name.replace("_test_", "_train_"))
    assert len(clips) == 15 + 3 * 4 * 2
    assert len(disturb(tmp_path / "fewer", train, another, left_out=1)) == 15 + 2 * 4 * 2


def test_names_carry_kind_and_level_and_the_machine_can_be_indexed(tmp_path, another):
    disturb(tmp_path / "made" / "fan", write_training(tmp_path / "fan" / "train"), another)
    clips, faults = index_machine(tmp_path / "made", "fan")
    assert not faults
    disturbed = [clip.clip for clip in clips if clip.label == "anomaly"]
    attributes = {parse_clip_name(name).attributes[:2] for name in disturbed}
    assert attributes == {(("disturbance", kind), ("ratio", level)) for kind in KINDS for level in ("0", "10")}
    assert {disturbance_kind(name) for name in disturbed} == set(KINDS)
    assert {disturbance_kind(clip.clip) for clip in clips if clip.label == "normal"} == {""}


def test_without_a_second_machine_no_clip_has_its_sound(tmp_path, caplog):
    clips = disturb(tmp_path / "made", write_training(tmp_path / "fan" / "train"))
    assert {disturbance_kind(name.split("/")[1]) for name in clips} == {"", "noise", "tone", "click"}
    assert "no second machine" in caplog.text


def test_a_silent_clip_is_not_disturbed_and_too_few_clips_are_an_error(tmp_path, another):
    train = write_training(tmp_path / "fan" / "train")
    name = "section_00_source_train_normal_0002_spd_2.wav"
    soundfile.write(train / name, np.zeros((8000, 2)), RATE, subtype="PCM_16")
    clips = disturb(tmp_path / "made", train, another)
    assert not [made for made in clips if "source_test_anomaly_0002" in made]
    assert len(clips) == 15 + 2 * 4 * 2
    with one_line_error("one normal training clip in five: there are 4"):
        disturb(tmp_path / "few", write_training(tmp_path / "4" / "train", source=4, target=0), another)
    (train / "section_00_source_train_anomaly_0099_spd_2.wav").write_bytes((train / name).read_bytes())
    with one_line_error("an anomalous clip in train"):
        disturb(tmp_path / "wrong", train, another)
