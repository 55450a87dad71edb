"""Clip names: all names of the 2026 set, the odd ones of other years, and names that must be refused."""

import gzip
import hashlib
import json
import random
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from workflow_lib.dataset.clip_name import ClipName, FaultError, fold, parse_clip_name
from workflow_lib.errors import UserError

GOLDEN = Path(__file__).parents[2] / "golden" / "dcase2026"
TRAIN = "section_00_source_train_normal_0003"


@pytest.fixture(scope="module")
def paths() -> list[str]:
    return gzip.decompress((GOLDEN / "filenames.txt.gz").read_bytes()).decode().split()


def count_ids(numbers: list[int]) -> dict:
    low, high, distinct = min(numbers), max(numbers), len(set(numbers))
    unique = distinct == len(numbers)
    whole = unique and distinct == high - low + 1
    return {"contiguous": whole, "id_max": high, "id_min": low, "n": len(numbers), "unique_ids": unique}


def summarise(clips: list[ClipName]) -> dict:
    """What summary.json says of one machine, from parsed names alone."""
    numbers, attributes = defaultdict(lambda: defaultdict(list)), defaultdict(Counter)
    for clip in clips:
        cell = f"{clip.domain}_{clip.label}" if clip.label else "unlabelled"
        numbers[clip.split][cell].append(clip.number)
        if clip.label:
            attributes[f"{clip.split}_{cell}"][clip.attribute_string] += 1
    keys = {tuple(key for key, _ in clip.attributes) for clip in clips if clip.attributes}
    counts = {split: {cell: count_ids(ids) for cell, ids in cells.items()} for split, cells in numbers.items()}
    role = "eval" if any(clip.label is None for clip in clips) else "dev"
    return {"attribute_keys": sorted(map(list, keys)), "attributes": attributes, "role": role, **counts}


def test_every_count_of_the_2026_names_is_reproduced(paths):
    summary = json.loads((GOLDEN / "summary.json").read_text())
    text = "\n".join(paths) + "\n"
    assert hashlib.sha256(text.encode()).hexdigest() == summary["filenames_sha256"]
    machines = defaultdict(list)
    for path in paths:
        machines[path.split("/")[0]].append(parse_clip_name(path))
    assert sum(map(len, machines.values())) == summary["total_files"] == 14400
    assert {machine: summarise(clips) for machine, clips in machines.items()} == summary["machines"]
    assert {clip.section for clips in machines.values() for clip in clips} == {summary["section"]}


def test_every_2026_name_can_be_rebuilt_from_its_fields(paths):
    for path in paths:
        _, split, name = path.split("/")
        clip = parse_clip_name(name)
        parts = [clip.domain, clip.split, clip.label, f"{clip.number:04d}", clip.attribute_string]
        assert "_".join(["section", clip.section, *(parts if clip.label else parts[3:4])]) + ".wav" == name
        assert clip.split == split


def test_an_unlabelled_name_is_a_test_clip_without_domain_label_and_attributes():
    clip = parse_clip_name("section_00_0199.wav")
    assert clip == ClipName("00", "test", None, None, 199, ())
    assert clip.attribute_string == "noAttribute"


@pytest.mark.parametrize(
    ("tail", "attributes", "string"),
    [
        ("_spd_1.wav", (("spd", "1"),), "spd_1"),
        ("_noAttribute.wav", (), "noAttribute"),
        (".wav", (), "noAttribute"),
        ("_.wav", (), "noAttribute"),
        ("_car_A1_spd_31V_mic_1.wav", (("car", "A1"), ("spd", "31V"), ("mic", "1")), "car_A1_spd_31V_mic_1"),
        ("_vel_500_ac_0.03.wav", (("vel", "500"), ("ac", "0.03")), "vel_500_ac_0.03"),
        ("_vel_500_ac_0.03_.wav", (("vel", "500"), ("ac", "0.03")), "vel_500_ac_0.03"),
        ("_m-n_W.wav", (("m-n", "W"),), "m-n_W"),
        ("_spd_1_mic.wav", (("spd", "1"), ("mic", "")), "spd_1_mic"),
        ("_spd__mic_1.wav", (("spd", ""), ("mic", "1")), "spd__mic_1"),
        ("_car_B1_spd_2_mic_2_mic_1.wav", (("car", "B1"), ("spd", "2"), ("mic", "2"), ("mic", "1")), None),
        ("_pro_y.WAV", (("pro", "y"),), "pro_y"),
        ("_spd_2.flac", (("spd", "2"),), "spd_2"),
        ("_Last_höchste Stufe.wav", (("Last", "höchste Stufe"),), "Last_höchste Stufe"),
        ("_target_anomaly_test_source.wav", (("target", "anomaly"), ("test", "source")), "target_anomaly_test_source"),
    ],
)
def test_attributes_keep_order_repetition_and_spelling(tail, attributes, string):
    clip = parse_clip_name(TRAIN + tail)
    assert clip == ClipName("00", "train", "source", "normal", 3, attributes)
    assert clip.attribute_string == (string or tail[1:-4])


def test_letter_case_of_attributes_does_not_count_in_comparisons():
    lower, upper = (parse_clip_name(f"section_00_target_test_normal_0003_pro_{x}.wav") for x in "yY")
    assert lower.attribute_string != upper.attribute_string
    assert fold(lower.attribute_string) == fold(upper.attribute_string)


def test_the_domain_is_read_from_its_token_and_not_from_the_path():
    clip = parse_clip_name("/data/target/target_train/section_02_source_test_anomaly_0012_mode_target.wav")
    assert (clip.section, clip.domain, clip.split, clip.label) == ("02", "source", "test", "anomaly")


def test_random_names_survive_the_way_to_fields_and_back():
    rng = random.Random(13711)
    letters = "abcXYZ0123456789.-+ üß"
    for _ in range(500):
        tokens = ["".join(rng.choices(letters, k=rng.randint(1, 6))) for _ in range(2 * rng.randint(1, 4))]
        clip = parse_clip_name(f"section_07_target_test_anomaly_12345_{'_'.join(tokens)}.wav")
        assert clip.attributes == tuple(zip(tokens[::2], tokens[1::2], strict=True))
        assert clip.attribute_string == "_".join(tokens)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("normal_id_00_00000000.wav", "first word is 'normal'"),
        ("section_0_source_train_normal_0003.wav", "section is '0', not two digits"),
        ("section_00_sorce_train_normal_0003.wav", "domain is 'sorce', not 'source' or 'target'"),
        ("section_00_Source_train_normal_0003.wav", "domain is 'Source'"),
        ("section_00_source_val_normal_0003.wav", "split is 'val', not 'train' or 'test'"),
        ("section_00_source_train_abnormal_0003.wav", "label is 'abnormal'"),
        ("section_00_source_train_normal_03_spd_1.wav", "number is '03', not four digits"),
        ("section_00_source_train_normal_spd_1.wav", "number is 'spd'"),
        ("section_00_source_train_normal_٠٠٠٣.wav", "number is"),
        ("section_00_source_train.wav", "it ends before the label"),
        ("section_00_0003_spd_1.wav", "'spd_1' follows the number of an unlabelled clip"),
        ("section_00.wav", "it ends before the domain"),
        ("recording 7.wav", "first word is 'recording 7'"),
        (f"{TRAIN}_spd_1", "does not end in .wav or .flac"),
        (f"{TRAIN}_spd_1.mp3", "does not end in .wav or .flac"),
        (f"{TRAIN}_spd_\n1.wav", "characters that cannot be printed"),
        (f"{TRAIN}_spd_\udcff.wav", "characters that cannot be printed"),
        ("", "does not end in .wav or .flac"),
    ],
)
def test_a_name_that_cannot_be_parsed_gives_one_line_with_reason_and_form(name, reason):
    with pytest.raises(UserError) as caught:
        parse_clip_name(name)
    text = str(caught.value)
    assert reason in text
    assert "name it section_<2 digits>_<source|target>" in text
    assert len(text.splitlines()) == 1
    text.encode("utf-8")


def test_a_fault_is_one_line_whatever_its_path():
    error = FaultError("a\nb\x1b[31m/\udcff.wav", "broken", "mend it")
    assert str(error) == str(error.fault) == r"a\nb\x1b[31m/\udcff.wav: broken: mend it"
