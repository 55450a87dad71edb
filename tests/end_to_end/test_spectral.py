"""A suite of one's own with nothing configured: Spectral and SpectralEvents against a plain computation, no leakage."""

import shutil

import h5py
import numpy as np
import pytest
import soundfile
from conftest import Workflow
from scipy.linalg import eigh
from sklearn.covariance import LedoitWolf

from workflow_lib.autoencoder import Autoencoder, log_mel_vectors, mse_score
from workflow_lib.channels import cancel_far
from workflow_lib.encoders.mel_filters import htk_filters
from workflow_lib.scoring import read_scores
from workflow_lib.simulation.suite import simulate_machine

MACHINES = ("bearing", "fan")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Workflow:
    """Two machines as recordings of one's own, and the same ones recorded by the near microphone alone."""
    workflow = Workflow(tmp_path_factory.mktemp("spectral") / "of my own")
    for machine in MACHINES:
        counts = {"train_source": 14, "train_target": 4, "test_per_cell": 3}
        simulate_machine(machine, workflow.folder / "two" / machine, seed=3, seconds=1.0, severity=(0.5, 1.0), **counts)
        for path in sorted((workflow.folder / "two" / machine).rglob("*.wav")):
            mono = workflow.folder / "one" / path.relative_to(workflow.folder / "two")
            mono.parent.mkdir(parents=True, exist_ok=True)
            samples, rate = soundfile.read(path, dtype="int16")
            soundfile.write(mono, samples[:, 0], rate, subtype="PCM_16")
    workflow.configure(suites={"two": {"root": "two"}, "one": {"root": "one", "channels": 1}})
    workflow.make()
    return workflow


# ---- the chain, computed plainly -------------------------------------------------------------------------------------


def spectrum(samples):
    """(frames, 513): periodic Hann 1024, half a window between frames, mirrored ends."""
    padded = np.pad(samples, 512, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    starts = range(0, len(padded) - 1023, 512)
    return np.array([np.fft.rfft(padded[start : start + 1024] * window) for start in starts])


def cancelled(near, far, taps=9, ridge=1e-3):
    m, rest = taps // 2, np.empty_like(near)
    padded = np.pad(far, ((m, m), (0, 0)))
    for k in range(near.shape[1]):
        z = np.stack([padded[tap : tap + len(near), k] for tap in range(taps)], axis=1)
        gram = z.conj().T @ z
        gram += (ridge * np.trace(gram).real / taps + 1e-12) * np.eye(taps)
        rest[:, k] = near[:, k] - z @ np.linalg.solve(gram, z.conj().T @ near[:, k])
    return rest


def plain_statistics(path):
    """mean, power and deviation of frame differences of a clip's log-mel frames: near less what far predicts."""
    samples = soundfile.read(path, always_2d=True)[0].T
    channel = spectrum(samples[0]) if len(samples) == 1 else cancelled(*map(spectrum, samples))
    power = np.abs(channel) ** 2 @ htk_filters(513, 128, 0.0, 8000.0, 16000).T
    decibel = 10 * np.log10(np.maximum(power, 1e-10))
    loud = 10 * np.log10((10 ** (decibel / 10)).mean(axis=0) + 1e-10)
    return decibel.mean(axis=0), loud, np.diff(decibel, axis=0).std(axis=0)


def plain_score(query, banks, left_out=None):
    """The least score over the banks of one vector; left_out: (bank, row) that is no part of them."""
    scores = []
    for number, (bank, k) in enumerate(zip(banks, (8, 5), strict=True)):
        rows = [v for row, v in enumerate(bank) if (number, row) != left_out]
        nearest = min(range(len(rows)), key=lambda row: np.linalg.norm(query - rows[row]))
        around = sorted(np.linalg.norm(rows[nearest] - v) for row, v in enumerate(rows) if row != nearest)[:k]
        scores.append(np.linalg.norm(query - rows[nearest]) / (np.mean(around) + 1e-12))
    return min(scores)


def plain_scores(folder, statistic):
    """{clip: score} of the test clips by one statistic, and the scores of the normal clips without themselves."""
    train, test = (sorted((folder / split).glob("*.wav")) for split in ("train", "test"))
    vectors = {path: plain_statistics(path)[statistic] for path in (*train, *test)}
    normal = np.array([vectors[path] for path in train])
    mean, scale = normal.mean(axis=0), normal.std(axis=0)
    scale[scale < 1e-9] = 1.0
    values, axes = eigh(LedoitWolf().fit((normal - mean) / scale).covariance_)
    white = {path: (v - mean) / scale @ axes / np.sqrt(values) for path, v in vectors.items()}
    of_domain = [[path for path in train if f"_{domain}_" in path.name] for domain in ("source", "target")]
    banks = [[white[path] for path in paths] for paths in of_domain]
    scores = {path.name: plain_score(white[path], banks) for path in test}
    own = [plain_score(v, banks, (number, row)) for number, bank in enumerate(banks) for row, v in enumerate(bank)]
    return scores, np.array(own)


# ---- tests -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", ["two", "one"])
def test_scores_are_those_of_a_plain_computation(run, suite):
    found = read_scores(run.results / suite / "scores" / "logmel" / "fan" / "spectral.csv")
    expected, _ = plain_scores(run.folder / suite / "fan", 0)
    assert sorted(expected) == found.clip.tolist()
    np.testing.assert_allclose(found.score, [expected[clip] for clip in found.clip], rtol=1e-4)


def test_events_are_equal_weights_of_z_over_each_branchs_own_normal_scores(run):
    expected = np.zeros(12)
    for statistic in range(3):
        scores, normal = plain_scores(run.folder / "two" / "fan", statistic)
        expected += (np.array([scores[clip] for clip in sorted(scores)]) - normal.mean()) / normal.std() / 3
    found = read_scores(run.results / "two/fused/cross_fitted/fan/SpectralEvents/noseed.csv")
    np.testing.assert_allclose(found.score, expected, rtol=1e-3, atol=1e-3)


def test_a_suite_of_ones_own_is_scored_without_weights_and_without_training(run):
    for suite in ("two", "one"):
        systems = {row["name"] for row in run.rows(f"{suite}/tables/official.csv") if row["kind"] == "system"}
        assert systems == {"Spectral", "SpectralEvents"}
        assert not (run.results / suite / "autoencoders").exists()
    notes = {(row["branch"], row["note"]) for row in run.rows("one/tables/notes.csv")}
    assert ("spectral", "mono recordings: near in place of cancelled") in notes
    assert not [row for row in run.rows("two/tables/notes.csv") if "mono" in row["note"]]


def test_test_clips_change_no_other_score(run, tmp_path):
    before = run.files("two/scores/logmel/*/*.csv") | run.files("two/fused/*/*/*/*.csv")
    fewer = run.copy(tmp_path / "fewer")
    removed = sorted((fewer.folder / "two" / "fan" / "test").glob("*.wav"))[::2]
    for path in removed:
        path.unlink()
    fewer.make("results/two/tables")
    names = {path.name for path in removed}
    for place, content in before.items():
        kept = [
            line for line in content.decode().splitlines() if line.split(",")[0] not in names or "/fan/" not in place
        ]
        assert (fewer.folder / place).read_text(encoding="utf-8").splitlines() == kept, place


def test_the_store_holds_what_the_branches_use(run, tmp_path):
    for suite, channels in (("two", ["cancelled"]), ("one", ["near"])):
        with h5py.File(run.results / suite / "embeddings" / "logmel" / "fan.h5") as store:
            assert list(store["statistics/spectrum"]) == channels


def test_an_autoencoder_hears_the_cancelled_channel(run, tmp_path):
    copy = run.copy(tmp_path / "trained")
    shutil.rmtree(copy.results)
    copy.configure(
        run={"systems": [], "branches": ["ae_cancelled_mahalanobis", "ae_mse"], "protocols": ["complete_dev"]},
        suites={"two": {"root": "two", "machines": ["fan"]}},
        models={"ae_cancelled": {"epochs": 1}, "ae": {"epochs": 1}},
    )
    copy.make("results/two/tables")
    with h5py.File(copy.results / "two/residuals/ae_cancelled/fan.h5") as store:
        clips, mse = store["clips/name"].asstr()[:], store["residuals/mse"][:]
    network = Autoencoder.load(copy.results / "two/autoencoders/ae_cancelled/fan.safetensors")
    for clip, found in list(zip(clips, mse, strict=True))[::9]:
        (path,) = (copy.folder / "two" / "fan").glob(f"*/{clip}")
        near, far = soundfile.read(path, always_2d=True)[0].T
        heard = log_mel_vectors(np.float32(cancel_far(near, far)))
        assert mse_score(network, heard) == pytest.approx(found, rel=1e-3)
        assert mse_score(network, log_mel_vectors(np.float32(near))) != pytest.approx(found, rel=1e-2)
