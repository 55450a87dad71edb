"""Speed of one adaptation step against the plain matrix product of the same run, and what it makes of a whole fold.

    .venv/bin/python tests/benchmarks/adapt.py --device cpu --precision float32 --steps 2

Weights are random (untrained) and so are the filterbanks: speed does not depend on their values. The step is the
library's own `train_step`. Its floor, for N tokens of width D in each channel of a clip, patches and one CLS:

    forward, blocks 1 to 10        24 D^2 (linears) + 4 N D (attention)   per token and block
    input gradients, blocks 6-10   24 D^2 (linears) + 8 N D (attention)   per token and block

No weight gradients of the base. Left out of the floor: patch embedding, LoRA, heads, losses, norms, GELU, softmax,
masks, optimiser, and the scores that fused attention computes anew in its backward pass. Counted although nobody needs
them: the input gradients of the first adapted block's qkv, 6 D^2. `--check` compares with torch's own count.
"""

import argparse
import statistics
from collections import Counter
from collections.abc import Iterator

import measure
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from workflow_lib.adaptation import step as library_step
from workflow_lib.adaptation.classes import ClassMap
from workflow_lib.adaptation.filterbanks import FilterbankStore
from workflow_lib.adaptation.training import Training, prepare_training, train_step
from workflow_lib.config.adaptation import AdapterSettings
from workflow_lib.encoders import load_encoder

MACHINES, DOMAINS, PROXIES = 7, ("source", "target"), 45  # of the 2026 development data
STORE_BATCHES = 4  # different clips are kept for so many steps: a step must find its filterbanks in RAM, not in a cache
FOLD_CLIPS, FOLD_EPOCHS, MODELS = 6000, 2, 16  # of an outer fold; 8 folds x 2 seeds
LEAST_STEPS = 1000  # stands for the length of the whole training, which sets the learning rate only


def arguments() -> argparse.Namespace:
    parser = measure.encoder_parser(__doc__)
    parser.add_argument("--batch", type=int, default=40, help="clips of two channels in a step")
    parser.add_argument("--micro-batch", type=int, default=0, help="clips at once; 0 fits it to the memory")
    parser.add_argument("--steps", type=int, default=3, help="timed steps, after one that is not")
    parser.add_argument("--profile", action="store_true", help="torch's profile of one further step")
    parser.add_argument("--check", action="store_true", help="the floor's formula against torch's count, and no more")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    measure.set_threads(options.threads)
    if options.check:
        check_floor()
        return
    training = prepare(options)
    batches = batches_of(training, options)
    time_steps(training, batches, options)
    if options.profile:
        measure.profile(lambda: next_step(training, next(batches)), options.device, by_shape=options.device == "cpu")


def prepare(options: argparse.Namespace) -> Training:
    """A training as the library prepares it, on random filterbanks of the right shape."""
    settings = AdapterSettings.from_mapping(
        {
            "batch_clips": options.batch,
            "micro_batch_clips": options.micro_batch,
            "precision": options.precision,
            "head_input_clips": 2,  # fitting the heads' input is timed apart
        }
    )
    encoder = load_encoder("eat", "random", seed=1, embed_dim=options.embed_dim).to(options.device)
    clips, frames = STORE_BATCHES * options.batch, clip_frames(options.seconds)
    generator = torch.Generator().manual_seed(1)
    store = FilterbankStore([torch.randn(2, frames, 128, generator=generator) * 0.5 for _ in range(clips)])
    classes = class_map()
    numbers = np.arange(clips) % PROXIES
    targets = [
        (n, classes.machines.index(classes.proxies[n][0]), DOMAINS.index(classes.proxies[n][1])) for n in numbers
    ]
    return prepare_training(encoder, store, torch.tensor(targets), classes, settings, 1)


def clip_frames(seconds: float) -> int:
    """Filterbank frames of a clip at native length: 25 ms every 10 ms, rounded up to whole patches of 16."""
    return -(-(1 + int((seconds - 0.025) * 100)) // 16) * 16


def class_map() -> ClassMap:
    """As many machines, domains and proxies as the development data have."""
    machines = tuple(f"machine{number}" for number in range(MACHINES))
    proxies = [(machines[n % MACHINES], DOMAINS[n // MACHINES % 2], f"speed_{n}") for n in range(PROXIES)]
    return ClassMap(machines, DOMAINS, tuple(sorted(proxies)))


def floor_operations(clips: int, frames: int, width: int, settings: AdapterSettings) -> int:
    """FLOP that a step cannot do without; see the head of this file."""
    tokens_of_channel = frames // 16 * 8 + 1
    tokens = 2 * clips * tokens_of_channel
    forward = 24 * width**2 + 4 * tokens_of_channel * width
    backward = 24 * width**2 + 8 * tokens_of_channel * width
    with_graph = settings.statistics_block - settings.adapted_blocks[0] + 1
    return tokens * (settings.statistics_block * forward + with_graph * backward)


def check_floor() -> None:
    """Print the formula beside what torch counts in a small step, and what the difference is made of."""
    small = argparse.Namespace(batch=4, micro_batch=2, precision="float32", embed_dim=256, device="cpu", seconds=2.0)
    training = prepare(small)
    settings, frames = training.context.settings, training.context.store.frames(0)
    floor = floor_operations(small.batch, frames, small.embed_dim, settings)
    with FlopCounterMode(display=False, custom_mapping=measure.ATTENTION) as counter:
        next_step(training, np.arange(small.batch))
    counted, tokens = counter.get_total_flops(), 2 * small.batch * (frames // 16 * 8 + 1)
    # Per token: A and B forward, their weight gradients, the gradients through them, each 2 FLOP a weight.
    lora_weights = settings.lora_rank * (4 + 2) * small.embed_dim
    lora = tokens * 2 * lora_weights * len(settings.adapted_blocks) * 3
    print(f"floor by the formula {floor / 1e9:.4f} GFLOP, counted by torch {counted / 1e9:.4f}, ", end="")
    print(f"{(counted - floor) / floor:+.2%}: 768 and not {small.embed_dim} wide, LoRA weighs a third of this")
    spared = tokens * 6 * small.embed_dim**2
    patches = (tokens - 2 * small.batch) * 2 * 256 * small.embed_dim
    print(f"  LoRA {lora / floor:+.2%}, patches {patches / floor:+.2%}, first qkv {-spared / floor:+.2%}, ", end="")
    print(f"left {(counted - floor - lora - patches + spared) / floor:+.2%}")
    print("  left: the heads, less what torch does not count, the low-rank products added in place")


def batches_of(training: Training, options: argparse.Namespace) -> Iterator[np.ndarray]:
    """Clip numbers of step after step, each clip once in a round through the store."""
    rng, clips = np.random.default_rng(1), len(training.context.store)
    while True:
        yield from rng.permutation(clips).reshape(-1, options.batch)


def next_step(training: Training, batch: np.ndarray) -> None:
    train_step(training.context, training.optimizer, batch, 0, LEAST_STEPS)


def time_steps(training: Training, batches: Iterator[np.ndarray], options: argparse.Namespace) -> None:
    """Time whole steps first, then one step stage by stage; the plain product before and after."""
    context, device = training.context, options.device
    product = measure.plain_product(device, options.precision)
    next_step(training, next(batches))  # unmeasured: libraries prepare
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    steps = measure.seconds_of(lambda: next_step(training, next(batches)), options.steps, device)
    stages = stage_seconds(training, next(batches), device)
    clip = context.store.batch([0])  # the heads' input is fitted on passes of one clip without graph
    with torch.no_grad():
        (head_input,) = measure.seconds_of(lambda: library_step.channel_statistics(context, clip.to(device)), 1, device)
    product = max(product, measure.plain_product(device, options.precision))
    gpu = f"{torch.cuda.max_memory_allocated() / 2**20:.0f} MiB of the GPU" if device == "cuda" else ""
    floor = floor_operations(options.batch, context.store.frames(0), options.embed_dim, context.settings)
    floor_s, step = floor / product, statistics.median(steps)
    # An outer fold's training once its filterbanks are there, without validation, loading and writing.
    head_clips = AdapterSettings.from_mapping({}).head_input_clips
    fold = FOLD_EPOCHS * -(-FOLD_CLIPS // options.batch) * step + head_clips * head_input
    print(f"EAT {options.embed_dim} wide, untrained weights, LoRA rank {context.settings.lora_rank} in blocks ", end="")
    print(f"{context.settings.adapted_blocks}, clips of {options.seconds:g} s, {measure.machine_in_words(device)}")
    print(f"median of the steps {', '.join(f'{seconds:.4f}' for seconds in steps)} s; one more, stage by stage:")
    for stage, seconds in stages.items():
        print(f"  {stage:24}{seconds:.4f} s {seconds / sum(stages.values()):8.1%}")
    print(f"last two figures: projected, not run, {FOLD_CLIPS:,} clips x {FOLD_EPOCHS} epochs")
    measure.print_figures(
        {
            "device": device,
            "precision": options.precision,
            "clips a step / at once": f"{options.batch} / {context.micro_batch[context.store.frames(0)]}",
            "floor GFLOP": f"{floor / 1e9:.0f}",
            "plain GFLOP/s": f"{product / 1e9:.0f}",
            "floor s": f"{floor_s:.3f}",
            "step s": f"{step:.3f}",
            "ratio": f"{step / floor_s:.2f}",
            "clips/s": f"{options.batch / step:.2f}",
            "peak memory": gpu or f"{measure.peak_memory():.0f} MiB",
            "outer fold s": f"{fold:.0f}",
            f"{MODELS} models min": f"{MODELS * fold / 60:.1f}",
        }
    )


def stage_seconds(training: Training, batch: np.ndarray, device: str) -> Counter[str]:
    """Seconds of the stages of one step, taken apart as the library puts it together.

    A GPU waits at every stage here, so the stages add up to more than a step.
    """
    context, spent, last = training.context, Counter(), 0.0

    def lap(stage: str) -> None:
        nonlocal last
        found = measure.now(device)
        spent[stage] += found - last
        last = found

    # The forward pass without graph ends where the first adapted block begins.
    first = context.encoder.blocks[context.settings.adapted_blocks[0] - 1]
    handle = first.register_forward_pre_hook(lambda *_: lap("forward without graph"))
    training.optimizer.zero_grad()
    last = measure.now(device)
    for features, clips in library_step._micro_batches(context, batch, 0):
        lap("masks")
        loss, _ = library_step.forward_clips(context, features, context.targets[clips].to(context.device))
        lap("forward with graph")
        (loss / len(batch)).backward()
        lap("backward")
    training.optimizer.step()
    lap("optimiser")
    handle.remove()
    return spent


if __name__ == "__main__":
    main()
