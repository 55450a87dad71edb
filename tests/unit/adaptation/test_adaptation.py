"""Task adaptation: what is trained and what is not, the objective, the training as a whole, and its output folder."""

import csv
import gzip
import json
import logging
import math
from collections import Counter
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from workflow_lib.adaptation.augment import draw_keep, mask_filterbanks
from workflow_lib.adaptation.classes import ClassMap, check_training_clips
from workflow_lib.adaptation.compute import kept_bytes, micro_batch_clips
from workflow_lib.adaptation.filterbanks import FilterbankStore, compute_filterbanks
from workflow_lib.adaptation.folder import load_adapted, load_heads, read_provenance, unmerged
from workflow_lib.adaptation.heads import HeadOutput, TaskHeads, head_embedding
from workflow_lib.adaptation.lora import add_lora, target_modules, trainable_parameters
from workflow_lib.adaptation.loss import ClipLosses, arcface_logits, clip_losses, consistency_loss
from workflow_lib.adaptation.schedule import epoch_batches, groups_by_length, learning_rate
from workflow_lib.adaptation.step import accumulate_gradients, channel_statistics
from workflow_lib.adaptation.training import Training, prepare_training, train_adapter, train_step
from workflow_lib.adaptation.validation import withhold
from workflow_lib.config.adaptation import AdapterSettings
from workflow_lib.dataset.clip_name import parse_clip_name
from workflow_lib.dataset.manifest import Clip
from workflow_lib.encoders import load_encoder
from workflow_lib.encoders.base import Encoder
from workflow_lib.encoders.device import choose_device, use_bfloat16
from workflow_lib.encoders.eat import Eat
from workflow_lib.errors import UserError

NAMES = Path(__file__).parents[2] / "golden" / "dcase2026" / "filenames.txt.gz"
SEED = 13711
RATE_HZ = 16000
SECONDS = {"fan": 0.6, "gearbox": 0.6, "valve": 0.85}
PITCH_HZ = {"fan": 300, "gearbox": 900, "valve": 2000}

small_eat = partial(load_encoder, "eat", "random", seed=3, embed_dim=48, depth=12, num_heads=4)


def adapter_settings(**changes) -> AdapterSettings:
    """The defaults but for what is given."""
    return AdapterSettings.from_mapping(changes)


# As the paper's, but with steps that move something within seconds, and small masks for short clips.
SMALL = adapter_settings(
    learning_rate=3e-3, epochs=2, batch_clips=8, embedding_size=32, time_mask_frames=10, frequency_mask_bins=16
)


# ---------------------------------------------------------------------------------------------------------- material


@pytest.fixture(scope="module")
def real_clips() -> list[Clip]:
    """The training clips of the seven development machines of 2026, by their names alone."""
    paths = gzip.decompress(NAMES.read_bytes()).decode().split()
    labelled = {path.split("/")[0] for path in paths if "_test_normal_" in path}
    parsed = [(path.split("/")[0], parse_clip_name(path)) for path in paths]
    return [
        Clip(machine, f"{i}.wav", "train", n.domain, n.label, n.attribute_string, 2, RATE_HZ, 160000, "")
        for i, (machine, n) in enumerate(parsed)
        if machine in labelled and n.split == "train"
    ]


def write_clip(folder: Path, machine: str, domain: str, number: int) -> Clip:
    """A two-tone recording with noise whose pitch tells machine, speed and domain."""
    speed = number % 2 + 1
    rng = np.random.default_rng([number, len(machine), domain == "target"])
    time_s = np.arange(round(SECONDS[machine] * RATE_HZ)) / RATE_HZ
    pitch_hz = PITCH_HZ[machine] * (1 + 0.3 * speed + 0.1 * (domain == "target"))
    tone = np.sin(2 * np.pi * pitch_hz * time_s) + 0.5 * np.sin(2 * np.pi * 2 * pitch_hz * time_s)
    near, far = 0.1 * tone, 0.04 * np.roll(tone, 90)
    samples = np.stack([near, far], axis=1) + rng.normal(0, 0.01, (len(time_s), 2))
    name = f"section_00_{domain}_train_normal_{number:04d}_spd_{speed}.wav"
    path = folder / machine / name
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, samples, RATE_HZ, subtype="PCM_16")
    return Clip(machine, name, "train", domain, "normal", f"spd_{speed}", 2, RATE_HZ, len(time_s), str(path))


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> list[Clip]:
    folder = tmp_path_factory.mktemp("audio")
    counts = {"source": 6, "target": 2}
    return [write_clip(folder, m, d, i) for m in SECONDS for d, count in counts.items() for i in range(count)]


@pytest.fixture(scope="module")
def trained(clips, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("adapters") / "model"
    train_adapter(clips, small_eat, SMALL, SEED, folder)
    return folder


@pytest.fixture(scope="module")
def store(clips) -> FilterbankStore:
    return compute_filterbanks(check_training_clips(clips), small_eat(), Path("unused"), ram_gb=1)


@pytest.fixture
def prepare(clips, store):
    def build(settings: AdapterSettings = SMALL) -> Training:
        chosen = check_training_clips(clips)
        classes = ClassMap.from_clips(chosen)
        return prepare_training(small_eat(), store, torch.from_numpy(classes.targets(chosen)), classes, settings, SEED)

    return build


def files_of(folder: Path) -> dict[str, bytes]:
    """All files but what was measured: the speed in the log, and the TensorBoard events with it."""
    files = {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith("events.")}
    lines = files["training_log.csv"].splitlines() if "training_log.csv" in files else []
    return {**files, "training_log.csv": b"\n".join(line.rpartition(b",")[0] for line in lines)}


def waves(seed: int, clips: int = 3, seconds: float = 0.6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(clips, round(seconds * RATE_HZ), generator=generator)


# ---------------------------------------------------------------------------------------------------------- settings


def test_the_defaults_are_the_papers():
    settings = adapter_settings()
    assert (settings.adapted_blocks, settings.statistics_block, settings.lora_rank) == ((6, 7, 8, 9, 10), 10, 8)
    assert (settings.machine_weight, settings.domain_weight, settings.consistency_weight) == (0.25, 0.15, 0.05)
    assert (settings.learning_rate, settings.epochs, settings.batch_clips) == (5e-5, 2, 40)
    assert settings.embedding_size == 256


def test_settings_survive_json():
    settings = replace(SMALL, adapted_blocks=(2, 9), mask_sharing="independent")
    assert adapter_settings(**json.loads(json.dumps(asdict(settings)))) == settings != SMALL
    assert adapter_settings(adapted_blocks=[9, 2]).adapted_blocks == (2, 9)


# ----------------------------------------------------------------------------------------------------------- classes


def test_the_real_development_names_give_45_proxies(real_clips):
    classes = ClassMap.from_clips(real_clips)
    assert (len(real_clips), len(classes.proxies), len(classes.machines)) == (7000, 45, 7)
    assert classes.domains == ("source", "target")


def test_a_held_out_machine_leaves_no_class(real_clips):
    classes = ClassMap.from_clips([clip for clip in real_clips if clip.machine != "ToyCarEmu"])
    assert len(classes.proxies) == 45 - 22
    assert "ToyCarEmu" not in {*classes.machines, *(machine for machine, _, _ in classes.proxies)}


def test_spelling_of_attributes_makes_no_class(real_clips):
    gearbox = [clip for clip in real_clips if clip.machine == "gearboxEmu"]
    shouting = [replace(clip, attributes=clip.attributes.upper()) for clip in gearbox]
    assert ClassMap.from_clips(shouting) == ClassMap.from_clips(gearbox)


def test_targets_are_the_numbers_of_the_classes(clips, tmp_path):
    ClassMap.from_clips(clips).write(tmp_path / "classes.json")
    classes = ClassMap.read(tmp_path / "classes.json")
    for clip, (proxy, machine, domain) in zip(clips, classes.targets(clips), strict=True):
        assert classes.proxies[proxy] == (clip.machine, clip.domain, clip.attributes)
        assert (classes.machines[machine], classes.domains[domain]) == (clip.machine, clip.domain)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"split": "test"}, "not of the train split"),
        ({"label": "anomaly"}, "not labelled normal"),
        ({"label": None}, "not labelled normal"),
        ({"domain": None}, "of no known domain"),
        ({"channels": 1}, "near and far are both needed"),
        ({"machine": "pump"}, "of a held-out machine"),
    ],
)
def test_a_clip_that_may_not_be_learned_from_is_refused(clips, tmp_path, change, reason):
    with pytest.raises(UserError, match=reason):
        train_adapter(
            [*clips, replace(clips[0], clip="x.wav", **change)],
            small_eat,
            SMALL,
            SEED,
            tmp_path / "model",
            held_out=["pump"],
        )
    assert list(tmp_path.iterdir()) == []


def test_repeated_clips_no_clips_and_a_single_class_are_refused(clips):
    with pytest.raises(UserError, match=r"1 clip.* given twice"):
        check_training_clips([*clips, clips[0]])
    with pytest.raises(UserError, match="no training clips"):
        check_training_clips([])
    with pytest.raises(UserError, match="nothing to tell apart"):
        ClassMap.from_clips(clips[:1])


# --------------------------------------------------------------------------------------------------------- objective


def test_arcface_is_the_plain_formula():
    generator = torch.Generator().manual_seed(1)
    cosine = torch.rand(50, 9, generator=generator, dtype=torch.float64) * 1.8 - 0.85
    target = torch.randint(9, (50,), generator=generator)
    logits = arcface_logits(cosine, target, scale=30, margin_rad=0.5)
    for row in range(50):
        for column in range(9):
            angle = math.acos(cosine[row, column].item())
            expected = 30 * math.cos(angle + 0.5 * (column == int(target[row])))
            assert logits[row, column].item() == pytest.approx(expected, abs=1e-9)


def test_arcface_falls_with_the_angle_up_to_pi_and_has_a_finite_slope_at_both_ends():
    cosine = torch.linspace(1, -1, 2001, requires_grad=True)
    own = arcface_logits(cosine[:, None], torch.zeros(2001, dtype=torch.long), 30, 0.5)
    assert bool((own.diff(dim=0) < 0).all())
    own.sum().backward()
    assert bool(torch.isfinite(cosine.grad).all())


def test_the_terms_are_weighted_as_in_equation_1():
    losses = ClipLosses(*(torch.tensor([value]) for value in (1.0, 10.0, 100.0, 1000.0)))
    assert losses.total(adapter_settings()).item() == pytest.approx(1 + 0.25 * 10 + 0.15 * 100 + 0.05 * 1000)


def test_every_term_is_the_plain_formula_of_its_head():
    generator = torch.Generator().manual_seed(2)
    near, far, machine, domain = (torch.randn(4, n, generator=generator) for n in (6, 6, 3, 2))
    cosine = torch.rand(4, 5, generator=generator) - 0.5
    targets = torch.tensor([[0, 2, 1], [4, 0, 0], [1, 1, 1], [2, 2, 0]])
    losses = clip_losses(HeadOutput(near, far, cosine, machine, domain), targets, adapter_settings())

    def cross_entropy(logits: torch.Tensor, column: int) -> torch.Tensor:
        return torch.stack([-row.log_softmax(0)[t] for row, t in zip(logits, targets[:, column], strict=True)])

    torch.testing.assert_close(losses.attribute, cross_entropy(arcface_logits(cosine, targets[:, 0], 30, 0.5), 0))
    torch.testing.assert_close(losses.machine, cross_entropy(machine, 1))
    torch.testing.assert_close(losses.domain, cross_entropy(domain, 2))
    angle = (near * far).sum(1) / near.norm(dim=1) / far.norm(dim=1)
    torch.testing.assert_close(losses.consistency, 1 - angle)


def test_consistency_asks_for_direction_not_for_equality():
    near = torch.tensor([[1.0, 2.0, -1.0]])
    assert consistency_loss(near, 0.3 * near).item() == pytest.approx(0, abs=1e-6)
    assert consistency_loss(near, -near).item() == pytest.approx(2)


def test_heads_standardise_by_the_training_statistics_and_survive_constant_ones():
    generator = torch.Generator().manual_seed(3)
    near, far = ([torch.randn(50, 4, generator=generator) * 3 + 7 for _ in range(2)] for _ in range(2))
    near[0][:, 0] = 5.0
    heads = TaskHeads(4, 8, 3, 2, 2)
    heads.fit_input(tuple(near), tuple(far))
    output = heads(tuple(near), tuple(far))
    seen = torch.cat([output.near, output.far], dim=1)
    torch.testing.assert_close(seen.mean(0), torch.zeros(16), atol=1e-5, rtol=0)
    torch.testing.assert_close(seen.std(0, correction=0), torch.tensor([0.0] + [1.0] * 15), atol=1e-5, rtol=0)
    assert bool((output.cosine.abs() <= 1 + 1e-6).all())


# -------------------------------------------------------------------------------------------------------------- masks


def test_shared_masks_hide_the_same_cells_of_both_channels_and_independent_ones_do_not():
    for sharing in ("shared", "independent"):
        settings = replace(adapter_settings(), mask_sharing=sharing)
        frames, bins = draw_keep(20, 1008, 128, settings, seed=5)
        masked = mask_filterbanks(torch.ones(20, 2, 1008, 128), frames, bins)
        assert bool((masked == 0).any())
        assert torch.equal(masked[:, 0], masked[:, 1]) == (sharing == "shared")
        assert not torch.equal(masked[0], masked[1]), "every clip has its own mask"


def test_masks_are_blocks_of_at_most_the_set_width_and_leave_short_clips_something():
    settings = adapter_settings(time_masks=2, time_mask_frames=30, frequency_masks=1, frequency_mask_bins=20)
    frames, bins = draw_keep(200, 300, 128, settings, seed=1)
    assert (frames == 0).sum(2).max() <= 60
    assert 0 < (bins == 0).sum(3).max() <= 20
    frames, _ = draw_keep(200, 16, 128, adapter_settings(), seed=1)
    assert (frames == 1).sum(2).min() >= 5


def test_masks_depend_on_the_seed_alone_and_leave_the_global_generator():
    before = torch.random.get_rng_state()
    first, second, other = (draw_keep(4, 100, 128, adapter_settings(), seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_without_masks_nothing_is_hidden():
    frames, bins = draw_keep(4, 100, 128, adapter_settings(time_masks=0, frequency_masks=0), 1)
    assert bool((frames == 1).all()) and bool((bins == 1).all())


# ---------------------------------------------------------------------------------------------- what is trained, where


def test_at_full_size_984841_parameters_receive_gradients_and_184320_of_them_are_lora(real_clips):
    classes = ClassMap.from_clips(real_clips)
    model = add_lora(
        Eat(embed_dim=768, depth=12, num_heads=12, table_rows=6144, length="native"), adapter_settings(), 1
    )
    with torch.device("meta"):
        heads = TaskHeads(768, 256, len(classes.proxies), len(classes.machines), len(classes.domains))
    lora = sum(parameter.numel() for parameter in trainable_parameters(model).values())
    assert lora == 184_320
    assert lora + sum(parameter.numel() for parameter in heads.parameters()) == 984_841


@pytest.mark.parametrize("blocks", [(6, 7, 8, 9, 10), (1,), (1, 10)])
def test_adapters_sit_in_the_attention_of_the_chosen_blocks_and_nowhere_else(blocks):
    encoder = small_eat()
    add_lora(encoder, replace(SMALL, adapted_blocks=blocks), 1)
    adapted = {name for name, module in encoder.named_modules() if hasattr(module, "lora_A")}
    assert adapted == {f"blocks.{block - 1}.attn.{part}" for block in blocks for part in ("qkv", "proj")}


def test_a_fresh_adapter_changes_nothing_and_depends_on_the_seed_alone():
    features = small_eat().frontend(waves(1))
    models, before = [small_eat() for _ in range(3)], torch.random.get_rng_state()
    adapters = [add_lora(model, SMALL, seed) for model, seed in zip(models, (1, 1, 2), strict=True)]
    assert torch.equal(before, torch.random.get_rng_state())
    first, second, other = (torch.cat([p.flatten() for p in trainable_parameters(a).values()]) for a in adapters)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    with torch.no_grad():
        assert torch.equal(models[0].tokens(features, [10])[10], small_eat().tokens(features, [10])[10])


def test_only_adapters_and_heads_move_and_all_of_them_do(prepare):
    training = prepare(replace(SMALL, warmup_fraction=0, weight_decay=0))
    modules = {"encoder": training.context.encoder, "heads": training.context.heads}

    def snapshot() -> dict[str, torch.Tensor]:
        return {f"{m}.{k}": v.clone() for m, module in modules.items() for k, v in module.state_dict().items()}

    before = snapshot()
    for step in range(2):  # the first one moves only the half of LoRA that starts at zero
        train_step(training.context, training.optimizer, np.arange(8), step, 2)
    after = snapshot()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    expected = {name for name in before if "lora_" in name or name.startswith("heads.")}
    assert moved == expected - {"heads.input_mean", "heads.input_std"}


def test_blocks_before_the_first_adapter_keep_no_graph_and_those_after_the_statistics_are_not_computed(prepare):
    context = prepare().context
    outputs: dict[int, torch.Tensor] = {}
    for number, block in enumerate(context.encoder.blocks, start=1):
        block.register_forward_hook(lambda _module, _inputs, output, number=number: outputs.update({number: output}))
    near, _ = channel_statistics(context, context.store.batch([0, 1]))
    assert sorted(outputs) == list(range(1, 11))
    assert [outputs[number].requires_grad for number in range(1, 11)] == [False] * 5 + [True] * 5
    assert near[0].requires_grad


def test_near_and_far_go_through_the_shared_encoder_each_as_it_would_alone(prepare):
    context = prepare().context
    features = context.store.batch([0, 5])
    with torch.no_grad():
        near, far = channel_statistics(context, features)
        for channel, statistics in enumerate((near, far)):
            alone = context.encoder.statistics(features[:, channel : channel + 1], [10])[10]
            for part, expected in zip(statistics, alone, strict=True):
                torch.testing.assert_close(part, expected, atol=1e-6, rtol=0)
    assert not torch.allclose(near[0], far[0], atol=1e-3)


def test_an_encoder_that_cannot_be_adapted_is_refused():
    with pytest.raises(UserError, match="statistics_block is 10 but the encoder has 6 blocks"):
        add_lora(load_encoder("eat", "random", embed_dim=48, depth=6, num_heads=4), SMALL, 1)
    other = small_eat()
    other.name = "ced"
    with pytest.raises(UserError, match="'ced' cannot be adapted"):
        add_lora(other, SMALL, 1)
    twice = small_eat()
    add_lora(twice, SMALL, 1)
    with pytest.raises(UserError, match="carries adapters already"):
        add_lora(twice, SMALL, 1)


# --------------------------------------------------------------------------------------------------- steps and batches


def test_every_clip_comes_once_per_epoch_in_an_order_of_its_own():
    first, second = (epoch_batches(100, SMALL, SEED, epoch) for epoch in (0, 1))
    assert [len(batch) for batch in first] == [8] * 12 + [4]
    assert sorted(np.concatenate(first)) == sorted(np.concatenate(second)) == list(range(100))
    assert not np.array_equal(first[0], second[0])
    assert all(map(np.array_equal, first, epoch_batches(100, SMALL, SEED, 0)))


def test_a_batch_is_grouped_by_length_and_nothing_is_lost():
    groups = dict(groups_by_length([64, 96, 64, 160, 96]))
    assert groups == {64: [0, 2], 96: [1, 4], 160: [3]}


def test_the_rate_rises_linearly_and_stays():
    settings = adapter_settings(learning_rate=1.0, warmup_fraction=0.1)
    rates = [learning_rate(step, 40, settings) for step in range(40)]
    assert rates[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert set(rates[4:]) == {1.0}
    assert learning_rate(0, 40, replace(settings, warmup_fraction=0)) == 1.0


def test_the_micro_batch_changes_rounding_only(prepare):
    batch, gradients, rows = np.array([0, 7, 9, 12, 17, 20, 23]), [], []
    for size in (1, 3, 40):
        training = prepare(replace(SMALL, micro_batch_clips=size))
        rows.append(accumulate_gradients(training.context, batch, step=4))
        gradients.append(torch.cat([p.grad.flatten() for p in training.parameters.values()]))
    for size in (1, 2):
        torch.testing.assert_close(rows[size], rows[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(gradients[size], gradients[0], atol=1e-5, rtol=1e-4)


def test_the_logged_row_is_the_mean_over_the_clips_of_the_batch(prepare):
    context = prepare(replace(SMALL, time_masks=0, frequency_masks=0)).context
    alone = torch.stack([accumulate_gradients(context, np.array([clip]), 0) for clip in (1, 3, 20)])
    torch.testing.assert_close(accumulate_gradients(context, np.array([1, 3, 20]), 0), alone.mean(0))
    loss, attribute, machine, domain, consistency = alone[0, :5].tolist()
    assert loss == pytest.approx(attribute + 0.25 * machine + 0.15 * domain + 0.05 * consistency)


def test_bfloat16_stays_close_to_float32_and_gradients_stay_float32(prepare):
    rows = []
    for precision in ("float32", "bfloat16"):
        training = prepare(replace(SMALL, precision=precision))
        rows.append(accumulate_gradients(training.context, np.arange(4), step=0)[:5])
        assert {p.grad.dtype for p in training.parameters.values()} == {torch.float32}
    torch.testing.assert_close(rows[1], rows[0], rtol=0.02, atol=0.02)
    assert not torch.equal(rows[1], rows[0])


def test_dropout_is_drawn_from_the_seed_alone(prepare):
    rows = []
    for global_seed in (1, 2):
        training = prepare(replace(SMALL, lora_dropout=0.5))
        torch.manual_seed(global_seed)
        state = torch.random.get_rng_state()
        train_step(training.context, training.optimizer, np.arange(4), 0, 2)
        rows.append(train_step(training.context, training.optimizer, np.arange(4), 1, 2))
        assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(*rows)
    plain = prepare()
    train_step(plain.context, plain.optimizer, np.arange(4), 0, 2)
    assert not torch.equal(rows[0], train_step(plain.context, plain.optimizer, np.arange(4), 1, 2))


def test_on_a_cpu_auto_means_float32_and_a_micro_batch_that_fits():
    cpu = torch.device("cpu")
    assert not use_bfloat16(adapter_settings().precision, cpu)
    encoder, settings = small_eat(), adapter_settings()
    assert micro_batch_clips(encoder, 1008, settings, cpu) == min(40, int(1e9 / kept_bytes(encoder, 1008, settings)))
    assert micro_batch_clips(encoder, 10**7, settings, cpu) == 1
    assert micro_batch_clips(encoder, 1008, replace(settings, micro_batch_clips=7), cpu) == 7


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said():
    assert choose_device("auto").type == "cpu"
    with pytest.raises(UserError, match="there is no GPU here"):
        choose_device("cuda")


def test_filterbanks_are_the_encoders_own_whether_in_ram_or_in_a_file(clips, tmp_path):
    encoder, chosen = small_eat(), clips[:10] + clips[-3:]
    in_ram = compute_filterbanks(chosen, encoder, tmp_path / "spill", ram_gb=1)
    assert not (tmp_path / "spill").exists()
    in_file = compute_filterbanks(chosen, encoder, tmp_path / "spill", ram_gb=0)
    assert (tmp_path / "spill").exists()
    assert len(in_ram) == len(in_file) == len(chosen)
    for number, clip in enumerate(chosen):
        samples, _ = soundfile.read(clip.path, dtype="float32")
        own = encoder.frontend(torch.from_numpy(samples.T.copy()))[None, :, 0]
        torch.testing.assert_close(in_ram.batch([number]), own, atol=1e-5, rtol=0)
        assert torch.equal(in_ram.batch([number]), in_file.batch([number]))
        assert in_ram.frames(number) == own.shape[2]


def test_a_mono_file_behind_a_two_channel_row_is_refused(clips, tmp_path):
    mono = tmp_path / "mono.wav"
    soundfile.write(mono, np.full(9600, 0.1), RATE_HZ, subtype="PCM_16")
    with pytest.raises(UserError, match=r"mono.wav: 1 channel.*near and far"):
        compute_filterbanks([replace(clips[0], path=str(mono))], small_eat(), tmp_path / "spill", 1)


# ----------------------------------------------------------------------------------------------------- whole trainings


def test_equal_seeds_give_equal_bytes_in_any_order_of_clips_and_other_seeds_do_not(clips, trained, tmp_path):
    torch.manual_seed(99)
    train_adapter(clips[::-1], small_eat, SMALL, SEED, tmp_path / "again")
    assert files_of(tmp_path / "again") == files_of(trained)
    train_adapter(clips, small_eat, replace(SMALL, epochs=1), 2026, tmp_path / "other")
    differing = {name for name, content in files_of(tmp_path / "other").items() if content != files_of(trained)[name]}
    assert {"adapter_model.safetensors", "heads.safetensors", "training_log.csv", "provenance.json"} == differing


@pytest.fixture
def interrupt(caplog):
    """Interrupts a training as Ctrl-C would, when it reports from its second epoch."""
    logger = logging.getLogger("workflow_lib.adaptation.training")
    caplog.set_level(logging.INFO, logger.name)

    def stop(record: logging.LogRecord) -> bool:
        if record.getMessage().startswith("epoch 2"):
            raise KeyboardInterrupt
        return True

    def run(*arguments: object, **options: object) -> None:
        logger.addFilter(stop)
        with pytest.raises(KeyboardInterrupt):
            train_adapter(*arguments, **options)
        logger.removeFilter(stop)

    return run


def test_an_interrupted_training_goes_on_to_the_same_bytes(clips, trained, tmp_path, interrupt, caplog):
    folder = tmp_path / "model"
    interrupt(clips, small_eat, SMALL, SEED, folder)
    assert not folder.exists(), "the output appears whole"
    assert [path.name for path in (tmp_path / ".model.state").iterdir()] == ["state.safetensors"]
    train_adapter(clips, small_eat, SMALL, SEED, folder)
    assert "going on after epoch 1" in caplog.text
    assert files_of(folder) == files_of(trained)
    assert [path.name for path in tmp_path.iterdir()] == ["model"], "nothing is left beside the output"


def test_the_state_of_another_training_and_a_damaged_one_are_passed_over(clips, trained, tmp_path, interrupt, caplog):
    state = tmp_path / "state"
    interrupt(clips, small_eat, SMALL, 2026, tmp_path / "other", state_folder=state)
    train_adapter(clips, small_eat, SMALL, SEED, tmp_path / "model", state_folder=state)
    assert "of another training" in caplog.text
    assert files_of(tmp_path / "model") == files_of(trained)
    state.mkdir()
    (state / "state.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00not a header")
    few = [clip for clip in clips if clip.machine == "fan"]
    train_adapter(few, small_eat, replace(SMALL, epochs=1), SEED, tmp_path / "few", state_folder=state)
    assert "is damaged; training starts from the beginning" in caplog.text
    assert load_heads(tmp_path / "few").proxies.shape == (4, 32)


def test_recordings_rewritten_after_an_interruption_are_read_anew(clips, trained, tmp_path, interrupt, caplog):
    few = [replace(clip, path=str(tmp_path / f"{number}.wav")) for number, clip in enumerate(clips[:8])]
    for old, new in zip(clips, few, strict=False):
        Path(new.path).write_bytes(Path(old.path).read_bytes())
    interrupt(few, small_eat, SMALL, SEED, tmp_path / "model")
    for old, new in zip(clips[1:], few, strict=False):
        Path(new.path).write_bytes(Path(old.path).read_bytes())
    train_adapter(few, small_eat, SMALL, SEED, tmp_path / "model")
    assert "of another training" in caplog.text
    train_adapter(few, small_eat, SMALL, SEED, tmp_path / "fresh")
    assert files_of(tmp_path / "model") == files_of(tmp_path / "fresh")


def test_the_log_has_a_line_per_step_and_the_loss_falls(clips, trained):
    rows = list(csv.DictReader((trained / "training_log.csv").open()))
    assert [(row["step"], row["epoch"]) for row in rows] == [(str(i + 1), str(i // 3 + 1)) for i in range(6)]
    for row in rows:
        total = sum(
            weight * float(row[f"loss_{term}"])
            for weight, term in zip(
                (1, 0.25, 0.15, 0.05), ("attribute", "machine", "domain", "consistency"), strict=True
            )
        )
        assert float(row["loss"]) == pytest.approx(total, rel=1e-5)
        assert all(0 <= float(row[f"accuracy_{head}"]) <= 1 for head in ("attribute", "machine", "domain"))
    assert float(rows[0]["learning_rate"]) == pytest.approx(3e-3)
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"]) - 3
    assert all(float(row["clips_per_s"]) > 0 for row in rows)
    assert len({row["clips_per_s"] for row in rows}) == 2, "measured per epoch"


def test_the_log_is_there_as_tensorboard_events(trained):
    events = EventAccumulator(str(trained))
    events.Reload()
    rows = list(csv.DictReader((trained / "training_log.csv").open()))
    tags = events.Tags()["scalars"]
    assert {"train/loss", "train/learning_rate", "train/accuracy_attribute", "train/clips_per_s"} <= set(tags)
    found = [(event.step, event.value) for event in events.Scalars("train/loss")]
    assert found == [(int(row["step"]), pytest.approx(float(row["loss"]), rel=1e-6)) for row in rows]
    assert not [tag for tag in tags if tag.startswith("withheld")], "nothing was withheld"


def test_withheld_clips_are_a_share_of_each_proxy_and_leave_it_something(clips):
    training, withheld = withhold(clips, 0.34, SEED)
    assert sorted([*training, *withheld], key=clips.index) == clips
    found = Counter((clip.machine, clip.domain, clip.attributes) for clip in withheld)
    assert found == {(m, "source", f"spd_{speed}"): 1 for m in SECONDS for speed in (1, 2)}, "3 of each, target: 1"
    assert withhold(clips, 0.34, SEED) == (training, withheld) != withhold(clips, 0.34, SEED + 1)
    assert withhold(clips, 0.0, SEED) == (clips, [])


def test_withheld_clips_are_not_learned_from_and_their_accuracy_is_logged(clips, tmp_path, interrupt, caplog):
    settings = replace(SMALL, validation_fraction=0.34, lora_dropout=0.1)
    train_adapter(clips, small_eat, settings, SEED, tmp_path / "part")
    rows = list(csv.DictReader((tmp_path / "part" / "validation.csv").open()))
    assert [(row["epoch"], row["clips"]) for row in rows] == [("1", "6"), ("2", "6")]
    assert all(float(row["chance"]) == pytest.approx(1 / 6) for row in rows)
    content = read_provenance(tmp_path / "part")
    assert (content["clips"], content["withheld_clips"]) == (18, 6)
    training, withheld = withhold(clips, 0.34, SEED)
    plain = replace(settings, validation_fraction=0.0)
    train_adapter(training, small_eat, plain, SEED, tmp_path / "alone")
    for name in ("adapter_model.safetensors", "heads.safetensors", "classes.json", "training_log.csv"):
        assert files_of(tmp_path / "alone")[name] == files_of(tmp_path / "part")[name]
    assert float(rows[-1]["accuracy_attribute"]) == pytest.approx(accuracy(tmp_path / "part", withheld))
    events = EventAccumulator(str(tmp_path / "part"))
    events.Reload()
    assert [event.step for event in events.Scalars("withheld/accuracy_attribute")] == [1, 2]
    interrupt(clips, small_eat, settings, SEED, tmp_path / "again")
    train_adapter(clips, small_eat, settings, SEED, tmp_path / "again")
    assert files_of(tmp_path / "again") == files_of(tmp_path / "part")


def test_provenance_says_what_was_learned_from_without_dates_and_places(clips, trained):
    text = (trained / "provenance.json").read_text()
    content = read_provenance(trained)
    assert content["encoder"]["weights_digest"] == small_eat().weights_digest
    assert content["encoder"]["trained"] is False
    assert (content["seed"], content["clips"]) == (SEED, 24)
    assert adapter_settings(**content["settings"]) == SMALL
    parameters = load_file(trained / "adapter_model.safetensors")
    assert content["parameters"]["lora"] == sum(tensor.numel() for tensor in parameters.values())
    assert str(Path(clips[0].path).parents[1]) not in text


def test_a_loss_that_is_no_number_ends_the_training_with_a_word(clips, tmp_path):
    with pytest.raises(UserError, match=r"not a number from step \d of epoch 1 on; lower learning_rate"):
        train_adapter(clips, small_eat, replace(SMALL, learning_rate=1e30), SEED, tmp_path / "model")
    assert not (tmp_path / "model").exists()


# ------------------------------------------------------------------------------------------------------ adapted models


def test_the_folder_is_what_peft_reads(trained):
    features = small_eat().frontend(waves(4))
    model = PeftModel.from_pretrained(small_eat(), str(trained)).eval()
    with torch.no_grad():
        reloaded = model.base_model.model.statistics(features, [10])[10]
        ours = unmerged(trained, small_eat()).base_model.model.statistics(features, [10])[10]
    assert all(map(torch.equal, reloaded, ours))
    config = json.loads((trained / "adapter_config.json").read_text())
    assert config["target_modules"] == target_modules(SMALL)
    assert (config["r"], config["lora_alpha"], config["peft_type"]) == (8, 16.0, "LORA")


def test_merged_and_unmerged_agree_and_differ_from_the_base(trained):
    base = small_eat()
    digest = base.weights_digest
    merged, beside = load_adapted(trained, base), unmerged(trained, base).base_model.model
    features = base.frontend(waves(5))
    with torch.no_grad():
        results = [encoder.tokens(features, [5, 10]) for encoder in (merged, beside, base)]
    assert (results[0][10] - results[1][10]).abs().max() <= 1e-5
    assert (results[0][10] - results[2][10]).abs().max() > 1e-2
    assert torch.equal(results[0][5], results[2][5]), "nothing changes before the first adapter"
    assert base.weights_digest == digest, "the encoder given stays as it was"
    assert not any("lora" in name for name in merged.state_dict())
    assert isinstance(merged, Encoder) and not merged.training


def test_the_head_embedding_is_the_plain_formula(trained):
    heads = load_heads(trained)
    state = load_file(trained / "heads.safetensors")
    generator = np.random.default_rng(0)
    parts = [generator.normal(size=(5, 48)).astype(np.float32) for _ in range(4)]
    embedding = head_embedding(tuple(parts[:2]), tuple(parts[2:]), heads)
    seen = (np.concatenate(parts, axis=1) - state["input_mean"].numpy()) / state["input_std"].numpy()
    expected = seen @ state["embedding.weight"].numpy().T + state["embedding.bias"].numpy()
    assert embedding.shape == (5, 32) and embedding.dtype == torch.float32
    np.testing.assert_allclose(embedding.numpy(), expected, atol=1e-4)


def test_the_head_input_is_centred_on_the_training_clips_or_left_raw_by_choice(prepare):
    assert prepare().context.heads.input_mean.abs().max() > 0.01
    raw = prepare(replace(SMALL, head_input="raw")).context.heads
    assert bool((raw.input_mean == 0).all()) and bool((raw.input_std == 1).all())


def test_an_adapter_on_another_encoder_is_refused(trained):
    other = load_encoder("eat", "random", seed=4, embed_dim=48, depth=12, num_heads=4)
    with pytest.raises(UserError, match="belongs to an encoder with weights"):
        load_adapted(trained, other)


@pytest.mark.parametrize("missing", ["adapter_config.json", "adapter_model.safetensors", "provenance.json"])
def test_a_folder_that_is_not_whole_is_refused(trained, tmp_path, missing):
    for name, content in files_of(trained).items():
        if name != missing:
            (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{missing}: not there"):
        load_adapted(tmp_path, small_eat())


def test_damaged_or_foreign_tensors_are_refused(trained, tmp_path):
    for name, content in files_of(trained).items():
        (tmp_path / name).write_bytes(content)
    adapter = load_file(trained / "adapter_model.safetensors")
    save_file(dict(list(adapter.items())[1:]), tmp_path / "adapter_model.safetensors")
    with pytest.raises(UserError, match="its tensors do not fit"):
        load_adapted(tmp_path, small_eat())
    (tmp_path / "adapter_model.safetensors").write_bytes(b"nothing of the kind")
    (tmp_path / "heads.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match="no safetensors file"):
        load_adapted(tmp_path, small_eat())
    with pytest.raises(UserError, match="no safetensors file"):
        load_heads(tmp_path)


def accuracy(folder: Path, clips: list[Clip]) -> float:
    """Share of clips whose proxy the heads of an adapter folder name, plainly computed."""
    encoder, heads = load_adapted(folder, small_eat()), load_heads(folder)
    classes = ClassMap.read(folder / "classes.json")
    store = compute_filterbanks(clips, encoder, Path("unused"), 1)
    guesses = []
    with torch.no_grad():
        for number in range(len(clips)):
            near, far = (encoder.statistics(channel[None, None], [10])[10] for channel in store.batch([number])[0])
            guesses.append(int(heads(near, far).cosine.argmax()))
    return float(np.mean(np.array(guesses) == classes.targets(clips)[:, 0]))


def test_the_heads_know_normal_clips_that_they_did_not_see(clips, trained, tmp_path):
    """Attribute accuracy at least twice chance; chance is the share of the largest class."""
    unseen = [write_clip(tmp_path, m, "source", number) for m in SECONDS for number in range(100, 106)]
    targets = ClassMap.read(trained / "classes.json").targets(clips)[:, 0]
    assert accuracy(trained, unseen) >= 2 * np.bincount(targets).max() / len(clips)
