"""Trained weights in, scores out: equal to the baseline's; weights that do not fit are named."""

import numpy as np
import pytest
import torch
from autoencoder_cases import EXPECTED, FOLDER, MACHINES, near_channel, random_frames, test_clips
from one_line import one_line_error
from safetensors.torch import load_file, save_file

from workflow_lib.autoencoder.inference import FoldedAutoencoder
from workflow_lib.autoencoder.log_mel import five_frame_vectors, log_mel_vectors
from workflow_lib.autoencoder.network import Autoencoder, clip_residuals, mahalanobis_score, mse_score
from workflow_lib.scoring.mahalanobis import mahalanobis_scores


@pytest.fixture(scope="module", params=MACHINES)
def machine(request):
    return request.param


@pytest.fixture(scope="module")
def network(machine):
    return Autoencoder.load(FOLDER / machine / "weights.safetensors")


@pytest.fixture(scope="module")
def clips(machine):
    """Position in the golden arrays and vectors of the test clips."""
    return {index: log_mel_vectors(near_channel(machine, name)) for index, name in test_clips(machine)}


@pytest.fixture(scope="module")
def fan():
    return Autoencoder.load(FOLDER / "fan" / "weights.safetensors")


def test_vectors_are_five_frames_one_after_the_other():
    frames = random_frames(9)[0]
    vectors = five_frame_vectors(frames)
    assert vectors.shape == (5, 640)
    for first in range(5):
        np.testing.assert_array_equal(vectors[first].reshape(5, 128), frames[first : first + 5])


@pytest.mark.parametrize("number", [0, 1])
def test_vectors_latent_and_reconstruction_equal_the_baselines(machine, network, number):
    golden = EXPECTED[machine]
    vectors = log_mel_vectors(near_channel(machine, str(golden[f"logmel_{number}_path"])))
    assert len(vectors) == golden["n_vectors_per_clip"]
    np.testing.assert_allclose(vectors[0], golden[f"vector_{number}_row0"], rtol=0, atol=1e-5)
    vector = torch.from_numpy(golden[f"vector_{number}_row0"])[None]
    with torch.inference_mode():
        latent, reconstruction = network.encoder(vector), network(vector)
    np.testing.assert_allclose(latent[0], golden[f"latent_{number}_row0"], rtol=2e-5, atol=1e-5)
    np.testing.assert_allclose(reconstruction[0], golden[f"recon_{number}_row0"], rtol=0, atol=1e-4)


@pytest.fixture(scope="module")
def precisions(machine):
    return EXPECTED[machine]["inv_cov_source"], EXPECTED[machine]["inv_cov_target"]


def test_scores_equal_the_baselines(machine, network, clips, precisions):
    """Those of the folded network too, which the jobs compute, at the tolerances of the network itself."""
    golden, folded = EXPECTED[machine], FoldedAutoencoder(network)
    found = [clip_residuals(folded, vectors, second_moment=False) for vectors in clips.values()]
    means = np.stack([one.mean_residual for one in found])
    for mse in ([mse_score(network, vectors) for vectors in clips.values()], [one.mse for one in found]):
        np.testing.assert_allclose(mse, golden["mse"][list(clips)], rtol=5e-6)
    for mahalanobis in (
        [mahalanobis_score(network, vectors, *precisions) for vectors in clips.values()],
        mahalanobis_scores(means, None, *precisions, "official"),
    ):
        np.testing.assert_allclose(mahalanobis, golden["mahala"][list(clips)], rtol=2e-5)


def test_per_block_is_the_mean_of_the_block_distances_of_the_smaller_domain(network, clips, precisions):
    for vectors in list(clips.values())[:3]:
        blocks = network.residuals(torch.from_numpy(vectors)).double().view(-1, 128).numpy()
        direct = min(np.einsum("ni,ij,nj->n", blocks, p.astype(np.float64), blocks).mean() for p in precisions)
        assert mahalanobis_score(network, vectors, *precisions, kind="per_block") == pytest.approx(direct, rel=1e-5)


def test_summaries_hold_what_the_scores_need(network, clips):
    vectors = next(iter(clips.values()))
    residual = clip_residuals(network, vectors)
    blocks = (network.residuals(torch.from_numpy(vectors)).double()).view(-1, 128).numpy()
    assert residual.mse == mse_score(network, vectors)
    np.testing.assert_allclose(residual.mse, (blocks**2).mean(), rtol=1e-6)
    np.testing.assert_allclose(residual.mean_residual, blocks.mean(0), rtol=1e-5, atol=1e-6)
    moment = (blocks.T @ blocks / len(blocks))[np.triu_indices(128)]
    np.testing.assert_allclose(residual.second_moment, moment, rtol=1e-4, atol=1e-4)
    assert clip_residuals(network, vectors, second_moment=False).second_moment is None


def test_written_out_residuals_are_those_of_the_modules_bit_for_bit(fan):
    vectors = torch.from_numpy(five_frame_vectors(random_frames(300)[0]))
    with torch.inference_mode():
        assert torch.equal(fan.residuals(vectors), fan(vectors) - vectors)


def test_a_folded_network_takes_clips_of_any_lengths_and_keeps_none(fan):
    folded = FoldedAutoencoder(fan)
    clips = [torch.from_numpy(five_frame_vectors(frames)) for frames in random_frames(30, 5000, 5, 30)]
    alone = [FoldedAutoencoder(fan).residuals(clip).clone() for clip in clips]
    for clip, expected in zip(clips, alone, strict=True):
        assert torch.equal(folded.residuals(clip), expected)
        torch.testing.assert_close(expected, fan.residuals(clip), rtol=1e-5, atol=1e-4)


def test_long_clips_are_scored_in_parts_with_the_same_result(fan):
    long = five_frame_vectors(random_frames(5000)[0])
    halves = [mse_score(fan, long[:2048]), mse_score(fan, long[2048:4096]), mse_score(fan, long[4096:])]
    assert mse_score(fan, long) == pytest.approx(np.average(halves, weights=[2048, 2048, len(long) - 4096]), rel=1e-6)


def test_tensors_and_a_network_left_in_training_mode_score_the_same(fan):
    """The network stays in its mode."""
    vectors, before = five_frame_vectors(random_frames(30)[0]), {k: v.clone() for k, v in fan.state_dict().items()}
    expected = mse_score(fan, vectors)
    assert mse_score(fan, torch.from_numpy(vectors)) == expected
    assert mahalanobis_score(fan, torch.from_numpy(vectors), torch.eye(128), torch.eye(128)) > 0
    fan.train()
    assert mse_score(fan, vectors) == expected
    assert fan.training
    fan.eval()
    assert all(torch.equal(before[name], tensor) for name, tensor in fan.state_dict().items())


def test_saved_weights_load_again_and_have_the_same_bytes_each_time(fan, tmp_path):
    for name in ("one", "two"):
        fan.save(tmp_path / name, {"notes": "a text"})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    again = Autoencoder.load(tmp_path / "one").state_dict()
    assert list(again) == list(fan.state_dict())
    assert all(torch.equal(tensor, again[name]) for name, tensor in fan.state_dict().items())


def test_loading_does_not_touch_the_global_random_state():
    before = torch.get_rng_state()
    Autoencoder.load(FOLDER / "fan" / "weights.safetensors")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("decoder.12.bias"), "tensors missing: decoder.12.bias"),
        (lambda state: state.update(extra=torch.zeros(1)), "tensors unknown: extra"),
        (lambda state: state.update({"encoder.0.bias": torch.zeros(64)}), "of another shape: encoder.0.bias"),
    ],
)
def test_weights_of_another_network_are_named(change, message, tmp_path):
    state = load_file(FOLDER / "fan" / "weights.safetensors")
    change(state)
    save_file(state, tmp_path / "weights.safetensors")
    with one_line_error(message):
        Autoencoder.load(tmp_path / "weights.safetensors")


def test_unreadable_weights_are_said_in_one_line(tmp_path):
    (tmp_path / "cut.safetensors").write_bytes((FOLDER / "fan" / "weights.safetensors").read_bytes()[:1000])
    for name in ("cut.safetensors", "missing.safetensors"):
        with one_line_error(name):
            Autoencoder.load(tmp_path / name)


def test_arrays_that_are_no_vectors_or_frames_are_refused(fan):
    for shape in ((0, 640), (3, 128), (640,)):
        with one_line_error(r"takes \(n, 640\)"):
            mse_score(fan, np.zeros(shape, dtype=np.float32))
    for shape in ((4, 128), (9, 64), (9,)):
        with one_line_error("needs at least 5 of 128 values"):
            five_frame_vectors(np.zeros(shape, dtype=np.float32))
