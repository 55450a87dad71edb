"""The simulated suite: files, determinism, physics of machines and room, and a task neither trivial nor hopeless."""

import hashlib
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from scipy import signal
from scipy.spatial.distance import cdist
from sklearn.covariance import LedoitWolf

from workflow_lib.autoencoder.log_mel import log_mel
from workflow_lib.dataset.clip_name import parse_clip_name
from workflow_lib.errors import UserError
from workflow_lib.metrics import MachineMetrics, machine_metrics, official_score
from workflow_lib.simulation import SAMPLE_RATE_HZ, machine_kinds, signals
from workflow_lib.simulation.background import SOURCES
from workflow_lib.simulation.machines import bearing, fan, gearbox, valve
from workflow_lib.simulation.model import Condition, generator, load_machine, make_operation
from workflow_lib.simulation.room import SPEED_OF_SOUND_M_S, Acoustics, draw_room, impulse_response, response_length
from workflow_lib.simulation.suite import PlannedClip, Studio, plan_clips, simulate_machine

ROOT = Path(__file__).parents[3]
KINDS = machine_kinds()
FAULTS = [(kind, fault) for kind in KINDS for fault in load_machine(kind).faults]
COUNTS = {"train_source": 4, "train_target": 2, "test_per_cell": 2}
SEVERITY = (0.3, 1.0)
SMALL = {"seed": 3, "seconds": 1.0, **COUNTS, "severity": SEVERITY}


def digests(folder: Path, kind: str = "valve", **changes) -> dict[str, str]:
    """File name -> digest of the clips of a small suite with these changes."""
    paths = simulate_machine(kind, folder, **SMALL | changes)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def log_mel_statistics(signal: np.ndarray) -> np.ndarray:
    """Mean and standard deviation over time of the log-mel bands (dB), (256,)."""
    levels_db = log_mel(signal)
    return np.concatenate([levels_db.mean(axis=0), levels_db.std(axis=0)])


def machine_sound(kind: str, fault: str | None = None, severity: float = 0.0, clip: int = 0, seconds: int = 4):
    machine = load_machine(kind)
    rng = generator(11, kind, str(clip))
    return machine.sound(make_operation(seconds * SAMPLE_RATE_HZ, machine.source[0], rng, fault, severity))


def line_amplitude(signal: np.ndarray, frequency_hz: float, tolerance: float = 0.03) -> float:
    """Largest spectral line within `tolerance` (relative) of a frequency."""
    spectrum = np.abs(np.fft.rfft(signal * np.hanning(len(signal)))) * 4 / len(signal)
    frequencies_hz = np.fft.rfftfreq(len(signal), 1 / SAMPLE_RATE_HZ)
    return float(spectrum[np.abs(frequencies_hz / frequency_hz - 1) < tolerance].max())


def level(signal: np.ndarray) -> np.ndarray:
    """RMS over the last axis."""
    return np.sqrt(np.mean(np.square(signal, dtype=float), axis=-1))


# --- files and names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_machine_is_written_in_the_challenge_layout(kind, tmp_path):
    paths = simulate_machine(kind, tmp_path / kind, **SMALL)
    assert sorted(tmp_path.rglob("*.*")) == sorted(paths)
    assert [p.relative_to(tmp_path).parts[1] for p in paths] == ["train"] * 6 + ["test"] * 8
    assert paths == sorted(paths[:6]) + sorted(paths[6:])
    cells = [(n.split, n.domain, n.label) for n in (parse_clip_name(p.name) for p in paths)]
    assert cells.count(("train", "source", "normal")) == 4
    assert cells.count(("train", "target", "normal")) == 2
    assert {cells.count(("test", d, a)) for d in ("source", "target") for a in ("normal", "anomaly")} == {2}
    for info in map(soundfile.info, paths):
        assert (info.samplerate, info.channels, info.subtype, info.frames) == (16000, 2, "PCM_16", 16000)


def test_attributes_tell_the_domain_but_never_the_label_and_every_fault_meets_every_condition():
    for machine in map(load_machine, KINDS):
        clips = plan_clips(machine, 0, 0, 18)
        for domain, faulty in product(("source", "target"), (True, False)):
            names = [clip.name for clip in clips if (clip.domain, clip.fault is not None) == (domain, faulty)]
            attributes = {parse_clip_name(name).attribute_string for name in names}
            assert attributes == {condition.attributes for condition in getattr(machine, domain)}
        met = {(c.condition, c.fault) for c in plan_clips(machine, 0, 0, 9) if c.fault and c.domain == "source"}
        assert met == set(product(machine.source, machine.faults))


def test_one_machine_has_no_attributes_and_the_domains_of_every_machine_differ():
    assert parse_clip_name(PlannedClip("train", "source", 0, load_machine("slider").source[0]).name).attributes == ()
    assert {"fan", "gearbox", "valve", "bearing"} <= set(KINDS)
    assert all(set(load_machine(kind).source).isdisjoint(load_machine(kind).target) for kind in KINDS)


# --- determinism ----------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes_over_itself_and_in_another_process(tmp_path):
    here = digests(tmp_path)
    assert digests(tmp_path) == here
    code = f"from test_simulation import digests, Path; assert digests(Path('b')) == {here!r}"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)


def test_another_seed_gives_another_suite(tmp_path):
    first, second = digests(tmp_path / "a", "fan"), digests(tmp_path / "b", "fan", seed=4)
    assert set(first) == set(second)
    assert not set(first.values()) & set(second.values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_does_not_depend_on_how_many_others_are_made(kind, tmp_path):
    many = digests(tmp_path / "many", kind, train_source=7, train_target=3, test_per_cell=3)
    assert digests(tmp_path / "few", kind).items() < many.items()


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"seed": -1}, "simulate.seed: -1 is not possible: write 0 to"),
        ({"seconds": 0.0}, "seconds: 0.0 is not possible: write 0.5 to 600"),
        ({"seconds": float("nan")}, "seconds: nan is of the wrong type: write a finite number"),
        ({"train_source": -1}, "train_source: -1 is not possible: write 1 to 10000"),
        ({"test_per_cell": 10001}, "test_per_cell: 10001 is not possible: write 1 to 10000"),
        ({"severity": (0.0, 1.0)}, "0.0 is not possible: write a number above 0, at most 1"),
        ({"severity": (0.9, 0.4)}, "severity: 0.9 is above 0.4: write the lowest first"),
    ],
)
def test_impossible_wishes_are_refused_before_anything_is_written(change, says, tmp_path):
    with pytest.raises(UserError, match=says):
        simulate_machine("fan", tmp_path / "fan", **SMALL | change)
    assert not list(tmp_path.iterdir())


def test_an_unknown_machine_and_a_folder_that_cannot_be_made_are_refused(tmp_path):
    (tmp_path / "fan").write_text("a file")
    for kind, message in (("fann", "'fann'.*bearing, fan, gearbox"), ("fan", r"^.*cannot make.*\Z")):
        with pytest.raises(UserError, match=message):
            simulate_machine(kind, tmp_path / "fan", **SMALL)


def test_clips_of_another_plan_are_neither_mixed_in_nor_deleted(tmp_path):
    old = simulate_machine("fan", tmp_path, **SMALL)
    with pytest.raises(UserError, match=r"holds 1 clips .*source_train_normal_0003_spd_1"):
        simulate_machine("fan", tmp_path, **{**SMALL, "train_source": 3})
    assert all(path.exists() for path in old)


def test_a_write_that_fails_leaves_no_partial_file(tmp_path, monkeypatch):
    def full(file, *_arguments, **_options):
        file.write(b"RIFF")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(soundfile, "write", full)
    with pytest.raises(OSError, match="No space left"):
        simulate_machine("fan", tmp_path, **SMALL)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


# --- building blocks ------------------------------------------------------------------------------------------------


def test_periodic_wave_is_the_sum_of_its_orders():
    turns = np.linspace(0.3, 97.6, 5000)
    orders = np.array([1.0, 0.5j, 0, -0.2 + 0.1j])
    exact = np.real(sum(a * np.exp(2j * np.pi * n * turns) for n, a in enumerate(orders, start=1)))
    assert np.abs(signals.periodic_wave(turns, orders) - exact).max() < 1e-5


def test_impulses_keep_time_and_height_between_samples():
    train = signals.impulses(np.array([10.5, 500, 9000]) / SAMPLE_RATE_HZ, np.array([1.0, 2.0, 5.0]), 1000)
    assert train.sum() == pytest.approx(3.0)
    assert train[[10, 11, 500]] == pytest.approx([0.5, 0.5, 2.0])


def test_a_mode_rings_at_its_frequency_and_dies_in_its_time():
    pulse = np.zeros(1600)
    pulse[0] = 1
    time_s = np.arange(1600) / 16000
    exact = 0.8 * np.exp(-time_s / 0.01) * np.sin(2 * np.pi * 1234 * time_s)
    assert np.abs(signals.ring(pulse, [signals.Mode(1234, 0.01, 0.8)]) - exact).max() < 1e-9


def test_coloured_noise_has_rms_one_and_stays_in_its_band():
    noise = signals.coloured_noise(np.random.default_rng(0), 64000, signals.band(1000, 2000, 4))
    power = np.abs(np.fft.rfft(noise)) ** 2
    frequency_hz = np.fft.rfftfreq(64000, 1 / 16000)
    inside = (frequency_hz > 700) & (frequency_hz < 2900)
    assert level(noise) == pytest.approx(1, abs=0.03)
    assert power[inside].sum() / power.sum() > 0.96


def test_a_shaft_turns_at_its_rate_and_crossings_are_on_time():
    turns = signals.shaft_turns(np.random.default_rng(1), 160000, 25, offset=0, wander=0.003)
    assert (turns[-1] - turns[0]) / 10 == pytest.approx(25, rel=0.002)
    times_s = signals.crossing_times(turns, 3.5)
    assert np.abs((np.interp(times_s * 16000, np.arange(160000), turns) * 3.5 + 0.5) % 1 - 0.5).max() < 1e-6
    assert len(times_s) == pytest.approx(875, abs=4)


# --- machines -------------------------------------------------------------------------------------------------------


def test_bearing_rates_are_those_published_for_a_6205():
    published = {"outer_race": 3.5848, "inner_race": 5.4152, "ball": 4.7135, "cage": 0.39828}  # Case Western Reserve
    assert bearing.defect_orders() == pytest.approx(published, rel=2e-4)


@pytest.mark.parametrize("fault", ["outer_race", "inner_race", "ball"])
def test_a_bearing_fault_beats_at_its_own_rate(fault):
    sound = machine_sound("bearing", fault, 1.0)
    frequency_hz = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE_HZ)
    high = np.fft.irfft(np.fft.rfft(sound) * ((frequency_hz > 1500) & (frequency_hz < 6000)))
    shaft_hz = bearing.SHAFT_HZ * load_machine("bearing").source[0].speed
    orders = {name: order for name, order in bearing.defect_orders().items() if name != "cage"}
    lines = {name: line_amplitude(high**2, order * shaft_hz) for name, order in orders.items()}
    assert max(lines, key=lines.get) == fault


def test_fan_tones_stand_at_blade_pass_and_damage_fills_the_shaft_orders():
    shaft_hz = fan.SHAFT_HZ * load_machine("fan").source[0].speed
    normal, damaged, unbalanced = (machine_sound("fan", fault, 0.8) for fault in (None, "blade_damage", "imbalance"))
    assert line_amplitude(normal, 7 * shaft_hz) > 5 * line_amplitude(normal, 6 * shaft_hz)
    assert line_amplitude(damaged, 6 * shaft_hz) > 3 * line_amplitude(normal, 6 * shaft_hz)
    assert line_amplitude(unbalanced, shaft_hz) > 3 * line_amplitude(normal, shaft_hz)


def test_gearbox_has_a_mesh_tone_and_eccentricity_raises_its_sidebands():
    pinion_hz = gearbox.PINION_HZ * load_machine("gearbox").source[0].speed
    mesh_hz = gearbox.PINION_TEETH * pinion_hz
    normal, eccentric = machine_sound("gearbox"), machine_sound("gearbox", "eccentricity", 0.8)
    quiet, raised = (line_amplitude(sound, mesh_hz - pinion_hz, 0.015) for sound in (normal, eccentric))
    assert line_amplitude(normal, mesh_hz) > 5 * quiet and raised > 3 * quiet


def test_a_valve_strikes_twice_a_cycle_and_a_leak_fills_the_pauses():
    normal, leaking = machine_sound("valve", seconds=8), machine_sound("valve", "leak", 1.0, seconds=8)
    tight, leaky = (level(sound.reshape(-1, 160)) ** 2 for sound in (normal, leaking))
    loud = tight > 4 * np.quantile(tight, 0.75)
    assert np.count_nonzero(np.diff(loud.astype(int)) == 1) == pytest.approx(2 * 8 * valve.CYCLE_HZ, abs=4)
    assert np.quantile(leaky, 0.1) > 10 * np.quantile(tight, 0.1)
    # A missed stroke is silence, not sound.
    assert level(machine_sound("valve", "missed_stroke", 1.0)) < 0.8 * level(machine_sound("valve"))


@pytest.mark.parametrize("kind", KINDS)
def test_grade_zero_is_the_normal_machine(kind):
    for fault in load_machine(kind).faults:
        assert np.array_equal(machine_sound(kind, fault, 0.0), machine_sound(kind))


@pytest.mark.parametrize(("kind", "fault"), FAULTS)
def test_a_heavier_fault_deviates_more(kind, fault):
    clips = range(3)
    normal = np.array([log_mel_statistics(machine_sound(kind, clip=c, seconds=3)) for c in clips])
    deviations = []
    for severity in (0.25, 0.5, 1.0):
        faulty = [log_mel_statistics(machine_sound(kind, fault, severity, c, 3)) for c in clips]
        deviations.append(np.linalg.norm(np.array(faulty) - normal, axis=1).mean())
    assert deviations[0] < deviations[1] < deviations[2]


@pytest.mark.parametrize("kind", KINDS)
def test_odd_lengths_and_all_conditions_sound(kind):
    machine = load_machine(kind)
    for samples, (number, condition) in product((8001, 20011), enumerate(machine.source + machine.target)):
        fault = machine.faults[number % len(machine.faults)]
        sound = machine.sound(make_operation(samples, condition, generator(0, str(number)), fault, 0.5))
        assert sound.shape == (samples,) and np.isfinite(sound).all() and level(sound) > 0


@pytest.mark.parametrize("kind", SOURCES)
def test_background_sources_have_rms_about_one_and_differ_between_clips(kind):
    sounds = np.array([SOURCES[kind](np.random.default_rng(seed), 64000) for seed in range(6)])
    assert 0.4 < level(sounds).min() <= level(sounds).max() < 2.2
    assert len(np.unique(sounds, axis=0)) == 6


# --- room -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_the_first_arrival_comes_by_distance_in_time_and_level(seed):
    room = draw_room(generator(seed, "room"), tuple(SOURCES))
    taps = response_length(room)
    for microphone_m in room.microphones_m.values():
        response = impulse_response(room, room.machine_m, microphone_m, taps)
        distance_m = np.linalg.norm(microphone_m - room.machine_m)
        first = np.flatnonzero(np.abs(response) > 0.5 * np.abs(response).max())[0]
        assert first == pytest.approx(distance_m / SPEED_OF_SOUND_M_S * SAMPLE_RATE_HZ, abs=1.5)
        lobe = response[first - 3 : first + 4].sum()
        assert lobe == pytest.approx(1 / distance_m, rel=0.35)  # an early reflection may fall into the same samples


def test_without_absorption_losses_the_images_are_those_of_a_mirror_room():
    room = draw_room(generator(0, "room"), ())
    source_m, microphone_m = room.machine_m, room.microphones_m["far"]
    response = impulse_response(room, source_m, microphone_m, response_length(room))
    floor_m = np.linalg.norm(source_m * [1, 1, -1] - microphone_m)
    bounce = round(floor_m / SPEED_OF_SOUND_M_S * SAMPLE_RATE_HZ)
    peak = np.abs(response[bounce - 1 : bounce + 2]).max()
    assert peak > 0.5 * np.sqrt(1 - room.absorption) / floor_m


@pytest.mark.parametrize("seed", range(4))
def test_the_delay_between_the_channels_is_that_of_the_geometry(seed):
    room = draw_room(generator(seed, "room"), ())
    acoustics = Acoustics(room, 32000)
    noise = np.random.default_rng(seed).standard_normal(acoustics.source_samples)
    near, far = acoustics.record({"machine": noise})
    cross = np.fft.rfft(far) * np.conj(np.fft.rfft(near))
    correlation = np.fft.irfft(cross / np.abs(cross))  # phase transform: the direct sound stands out of the reflections
    lag = int(np.argmax(correlation[:400]))
    path_m = np.diff([np.linalg.norm(room.microphones_m[m] - room.machine_m) for m in ("near", "far")])[0]
    assert lag == pytest.approx(path_m / SPEED_OF_SOUND_M_S * SAMPLE_RATE_HZ, abs=1.5)


def test_a_clip_starts_in_the_middle_of_running():
    room = draw_room(generator(0, "room"), ())
    acoustics = Acoustics(room, 32000)
    signals = acoustics.record({"machine": np.random.default_rng(0).standard_normal(acoustics.source_samples)})
    assert level(signals[:, :500]) == pytest.approx(level(signals), rel=0.2)


@pytest.mark.parametrize("kind", KINDS)
def test_the_far_microphone_hears_less_machine_and_more_background(kind):
    rises_db = []  # of machine and background, from near to far
    for studio in (Studio(kind, seed, 1.0) for seed in range(3)):
        for clip in plan_clips(studio.machine, 3, 2, 1):
            parts = studio.parts(clip, SEVERITY)
            sources = ({"machine": parts.pop("machine")}, parts)
            rises_db.append([np.diff(20 * np.log10(level(studio.acoustics.record(s))))[0] for s in sources])
    machine, background = np.array(rises_db).T
    assert (machine < -6).all() and (machine - background < -6).all()
    assert np.mean(background) > 1.5  # single clips may fall behind: hum has nodes in a room


@pytest.mark.parametrize("kind", KINDS)
def test_the_background_reaches_both_microphones_and_the_machine_leaks_into_the_far_one(kind):
    studio = Studio(kind, 1, 1.0)
    for clip in plan_clips(studio.machine, 2, 1, 1):
        parts = studio.parts(clip, SEVERITY)
        diffuse, machine = studio.diffuse(clip), studio.acoustics.record({"machine": parts.pop("machine")})
        near, far = studio.acoustics.record(parts)
        assert level(near) > 0.5 * level(machine[0]) * 10 ** (-studio.machine.near_ratio_db[1] / 20)
        assert level(far) > level(near) / 2
        assert -20 < 20 * np.log10(level(machine[1]) / level(machine[0])) < -6
        assert level(diffuse[0]) == pytest.approx(level(diffuse[1]), rel=0.2)


@pytest.mark.parametrize("number", range(4))
def test_diffuse_noise_is_independent_between_the_microphones(number):
    near, far = Studio("fan", 0, 4.0).diffuse(PlannedClip("train", "source", number, Condition("spd_1")))
    assert np.abs(np.corrcoef(near, far)[0, 1]) < 0.05
    coherence = signal.coherence(near, far, SAMPLE_RATE_HZ, nperseg=1024)[1]
    assert coherence.mean() < 0.05  # of 124 half-overlapping segments; a point source has more than 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_levels_use_the_range_and_never_clip(kind):
    studio = Studio(kind, 1, 1.0)
    for clip in plan_clips(studio.machine, 6, 4, 3):
        samples = studio.record(clip, SEVERITY)
        assert (samples.dtype, samples.shape) == (np.int16, (16000, 2))
        assert np.abs(samples.astype(int)).max() < 32000
        assert level(samples.T / 32768).min() > 0.005


def test_the_background_differs_from_clip_to_clip():
    studio = Studio("fan", 0, 1.0)
    condition = Condition("spd_1", background=("ventilation",))
    clips = [PlannedClip("train", "source", number, condition) for number in range(12)]
    levels = [level(studio.parts(clip, SEVERITY)["ventilation"]) for clip in clips]
    assert max(levels) > 1.5 * min(levels)


# --- the task -------------------------------------------------------------------------------------------------------


def spectrogram(signal: np.ndarray) -> np.ndarray:
    """Short-time spectrum (frames, 513): periodic Hann window of 1024, hop 512, reflected at the ends."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(signal, 512, mode="reflect"), 1024)[::512]
    return np.fft.rfft(frames * np.hanning(1025)[:1024])


def cancelled(near: np.ndarray, far: np.ndarray, taps: int, ridge: float) -> np.ndarray:
    """Near spectrum less what `taps` frames of the far one around each predict, frequency by frequency."""
    padded = np.pad(far, ((taps // 2, taps // 2), (0, 0)))
    lagged = np.stack([padded[tap : tap + len(near)].T for tap in range(taps)], axis=2)  # frequency, frame, tap
    gram, cross = (lagged.conj().swapaxes(1, 2) @ right for right in (lagged, near.T[:, :, None]))
    load = ridge * np.trace(gram, axis1=1, axis2=2).real / taps + 1e-12
    weights = np.linalg.solve(gram + load[:, None, None] * np.eye(taps), cross)
    return near - (lagged @ weights)[:, :, 0].T


def mel_filters() -> np.ndarray:
    """128 triangles on the HTK mel scale from 0 to 8 kHz, (513, 128)."""
    edges_hz = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 130) / 2595) - 1)
    frequency_hz = np.linspace(0, 8000, 513)[:, None]
    rising = (frequency_hz - edges_hz[:-2]) / np.diff(edges_hz)[:-1]
    falling = (edges_hz[2:] - frequency_hz) / np.diff(edges_hz)[1:]
    return np.maximum(0, np.minimum(rising, falling))


def mean_level(spectrum: np.ndarray) -> np.ndarray:
    """Mean over the frames of the log-mel levels in dB, (128,)."""
    return (10 * np.log10(np.maximum(np.abs(spectrum) ** 2 @ mel_filters(), 1e-10))).mean(axis=0)


def density_metrics(features: np.ndarray, clips: list[PlannedClip]) -> MachineMetrics:
    """Metrics of whitened features (Ledoit-Wolf), scored by the density of their nearest normals in either domain."""
    split, domain = (np.array([getattr(clip, word) for clip in clips]) for word in ("split", "domain"))
    anomaly, train = np.array([clip.fault is not None for clip in clips]), split == "train"
    scaled = (features - features[train].mean(axis=0)) / features[train].std(axis=0)
    values, vectors = np.linalg.eigh(LedoitWolf().fit(scaled[train]).covariance_)
    white = scaled @ vectors / np.sqrt(values)
    scores = []
    for name, neighbours in (("source", 8), ("target", 5)):
        bank = white[train & (domain == name)]
        scale = np.sort(cdist(bank, bank))[:, 1 : neighbours + 1].mean(axis=1)
        distance = cdist(white[~train], bank)
        scores.append(distance.min(axis=1) / scale[distance.argmin(axis=1)])
    return machine_metrics(np.minimum(*scores), anomaly[~train], domain[~train])


VIEWS = ("far", "near", "one tap", "nine taps")
DEMO = yaml.safe_load((ROOT / "profiles/demo/workflow.yaml").read_text())["suites"]["demo"]


@pytest.fixture(scope="module", params=[DEMO["simulate"]["seed"], 1, 2])
def metrics(request) -> dict[str, dict[str, MachineMetrics]]:
    """Metrics per machine and view of the demo's suite, and of the same with other rooms and clips."""
    settings, table = DEMO["simulate"], {}
    for kind in DEMO["machines"]:
        studio = Studio(kind, request.param, settings["seconds"])
        clips = plan_clips(studio.machine, *(settings[key] for key in COUNTS))
        levels = []
        for clip in clips:
            near, far = map(spectrogram, studio.record(clip, settings["severity"]).T / 32768)
            heard = (far, near, cancelled(near, far, 1, 0), cancelled(near, far, 9, 1e-3))
            levels.append([mean_level(spectrum) for spectrum in heard])
        columns = np.array(levels).transpose(1, 0, 2)
        table[kind] = {view: density_metrics(column, clips) for view, column in zip(VIEWS, columns, strict=True)}
    return table


def omegas(metrics: dict[str, dict[str, MachineMetrics]]) -> dict[str, float]:
    return {view: official_score([views[view] for views in metrics.values()]) for view in VIEWS}


def test_the_task_is_neither_trivial_nor_hopeless(metrics):
    near = omegas(metrics)["near"]
    assert 0.55 < near < 0.75
    for views in metrics.values():
        assert 0.5 < views["near"].harmonic_mean < 0.9
        assert 0.5 < views["nine taps"].harmonic_mean < 0.98


def test_the_near_microphone_knows_more_than_the_far_one(metrics):
    assert omegas(metrics)["far"] < omegas(metrics)["near"] - 0.05


def test_cancelling_the_far_channel_helps_and_more_taps_help_more(metrics):
    omega = omegas(metrics)
    assert omega["near"] + 0.03 < omega["one tap"]
    assert omega["one tap"] + 0.02 < omega["nine taps"] < 0.88  # and it is no oracle
