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
import resource
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

sys.path.insert(0, str(Path(__file__).parents[2]))

from workflow_lib.adaptation import step as library_step
from workflow_lib.adaptation.classes import ClassMap
from workflow_lib.adaptation.filterbanks import FilterbankStore
from workflow_lib.adaptation.training import Training, prepare_training, train_step
from workflow_lib.config.adaptation import AdapterSettings
from workflow_lib.encoders import load_encoder

PRODUCT = {"cpu": 4096, "cuda": 8192}  # rows, columns and depth of the plain product, as in embed.py
MACHINES, DOMAINS, PROXIES = 7, ("source", "target"), 45  # of the 2026 development data
STORE_BATCHES = 4  # different clips are kept for so many steps: a step must find its filterbanks in RAM, not in a cache
FOLD_CLIPS, FOLD_EPOCHS, MODELS = 6000, 2, 16  # of an outer fold; 8 folds x 2 seeds
LEAST_STEPS = 1000  # stands for the length of the whole training, which sets the learning rate only
STAGES = ("masks", "forward without graph", "forward with graph", "backward", "optimiser")
PROFILED = 18  # rows of the profiler's table


def attention_operations(
    query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: object, **__: object
) -> int:
    """FLOP of fused attention, from the shapes."""
    return sdpa_flop_count(query, key, value)


def attention_gradient_operations(_: Sequence[int], *shapes: Sequence[int], **__: object) -> int:
    """FLOP of its four gradient products, without the scores that it computes anew."""
    return 2 * sdpa_flop_count(*shapes[:3])


# The CPU's fused attention is missing from torch's own list of counted operations.
ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_operations,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_gradient_operations,
}


@dataclass(frozen=True)
class Measured:
    """Figures of one run: seconds per step, seconds per stage of one further step, FLOP/s, and FLOP of the floor."""

    steps: list[float]
    stages: dict[str, float]
    head_input: float  # seconds of a clip's pass without graph, which the heads' input is fitted on
    product: float
    floor: int


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--batch", type=int, default=40, help="clips of two channels in a step")
    parser.add_argument("--micro-batch", type=int, default=0, help="clips at once; 0 fits it to the memory")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a clip")
    parser.add_argument("--steps", type=int, default=3, help="timed steps, after one that is not")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--embed-dim", type=int, default=768, help="a multiple of 64; less than 768 for a trial")
    parser.add_argument("--profile", action="store_true", help="torch's profile of one further step")
    parser.add_argument("--check", action="store_true", help="the floor's formula against torch's count, and no more")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    if options.check:
        check_floor()
        return
    training = prepare(options)
    measured = measure(training, options)
    report(measured, training, options)
    if options.profile:
        profile(training, options)


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
    small = argparse.Namespace(
        batch=4, micro_batch=2, precision="float32", embed_dim=256, device="cpu", seconds=2.0, threads=2
    )
    training = prepare(small)
    settings, frames = training.context.settings, training.context.store.frames(0)
    floor = floor_operations(small.batch, frames, small.embed_dim, settings)
    with FlopCounterMode(display=False, custom_mapping=ATTENTION) as counter:
        train_step(training.context, training.optimizer, np.arange(small.batch), 0, LEAST_STEPS)
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


def measure(training: Training, options: argparse.Namespace) -> Measured:
    """Time whole steps first, then one step stage by stage; the plain product before and after."""
    context, batches = training.context, batches_of(training, options)
    product = plain_product(context)
    next_step(training, next(batches))  # unmeasured: libraries prepare
    if options.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(options.steps):
        started = now(context.device)
        next_step(training, next(batches))
        seconds.append(now(context.device) - started)
    stages = stage_seconds(training, next(batches))
    head_input = head_input_seconds(context)
    floor = floor_operations(options.batch, context.store.frames(0), options.embed_dim, context.settings)
    return Measured(seconds, stages, head_input, max(product, plain_product(context)), floor)


def batches_of(training: Training, options: argparse.Namespace) -> Iterator[np.ndarray]:
    """Clip numbers of step after step, each clip once in a round through the store."""
    rng, clips = np.random.default_rng(1), len(training.context.store)
    while True:
        yield from rng.permutation(clips).reshape(-1, options.batch)


def next_step(training: Training, batch: np.ndarray) -> None:
    train_step(training.context, training.optimizer, batch, 0, LEAST_STEPS)


def now(device: torch.device) -> float:
    """The clock, once the device's queue is empty."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def plain_product(context: library_step.StepContext) -> float:
    """FLOP/s of one large square product in the precision and on the device of the step."""
    size, dtype = PRODUCT[context.device.type], torch.bfloat16 if context.bfloat16 else torch.float32
    left, right = (torch.randn(size, size, device=context.device).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(6):
        started = now(context.device)
        left @ right
        seconds.append(now(context.device) - started)
    return 2 * size**3 / min(seconds)


class Stopwatch:
    """Seconds by stage: every lap ends one stage and begins the next."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: Counter[str] = Counter()
        self._device, self._last = device, now(device)

    def lap(self, stage: str) -> None:
        found = now(self._device)
        self.seconds[stage] += found - self._last
        self._last = found


def stage_seconds(training: Training, batch: np.ndarray) -> dict[str, float]:
    """Seconds of the stages of one step, taken apart as the library puts it together.

    A GPU waits at every stage here, so the stages add up to more than a step.
    """
    context = training.context
    watch = Stopwatch(context.device)
    training.optimizer.zero_grad()
    with lap_before_adapters(training, watch):
        for features, clips in library_step._micro_batches(context, batch, 0):
            watch.lap("masks")
            loss, _ = library_step.forward_clips(context, features, context.targets[clips].to(context.device))
            watch.lap("forward with graph")
            (loss / len(batch)).backward()
            watch.lap("backward")
    training.optimizer.step()
    watch.lap("optimiser")
    return {stage: watch.seconds[stage] for stage in STAGES}


@contextmanager
def lap_before_adapters(training: Training, watch: Stopwatch) -> Iterator[None]:
    """Let the forward pass without graph end where the first adapted block begins."""
    first = training.context.encoder.blocks[training.context.settings.adapted_blocks[0] - 1]
    handle = first.register_forward_pre_hook(lambda *_: watch.lap("forward without graph"))
    yield
    handle.remove()


def head_input_seconds(context: library_step.StepContext) -> float:
    """Seconds of one clip's pass without graph."""
    with torch.no_grad():
        started = now(context.device)
        library_step.channel_statistics(context, context.store.batch([0]).to(context.device))
        return now(context.device) - started


def report(measured: Measured, training: Training, options: argparse.Namespace) -> None:
    context, step = training.context, statistics.median(measured.steps)
    at_once = context.micro_batch[context.store.frames(0)]
    floor_seconds = measured.floor / measured.product
    print(f"EAT {options.embed_dim} wide, untrained weights, LoRA rank {context.settings.lora_rank} in blocks ", end="")
    print(f"{context.settings.adapted_blocks}, {device_name(context.device)}, {options.precision}")
    print(f"a step: {options.batch} two-channel clips of {options.seconds:g} s, {at_once} at once")
    print(f"floor {measured.floor / 1e9:.0f} GFLOP, plain product {measured.product / 1e9:.0f} GFLOP/s, ", end="")
    print(f"so {floor_seconds:.4f} s")
    print(f"step {step:.4f} s, the median of {', '.join(f'{seconds:.4f}' for seconds in measured.steps)}")
    print(f"ratio {step / floor_seconds:.2f}, {options.batch / step:.2f} clips/s")
    report_stages(measured)
    memory = peak_memory(options)
    print(f"peak memory {memory}")
    fold = projected_fold(measured, options)
    print(f"projected from the step, not run: outer fold of {FOLD_CLIPS:,} clips x {FOLD_EPOCHS} epochs ", end="")
    print(f"{fold:.1f} s, {MODELS} models {MODELS * fold / 60:.1f} min")
    print("  with the fit of the heads' input; without filterbanks, validation, loading and writing")
    figures = [f"{measured.floor / 1e9:.0f}", f"{measured.product / 1e9:.0f}", f"{floor_seconds:.3f}", f"{step:.3f}"]
    figures += [f"{step / floor_seconds:.2f}", f"{options.batch / step:.2f}", memory]
    figures += [f"{fold:.0f}", f"{MODELS * fold / 60:.1f}"]
    print(f"| {' | '.join([options.device, options.precision, f'{options.batch} / {at_once}', *figures])} |")


def report_stages(measured: Measured) -> None:
    total = sum(measured.stages.values())
    for stage, seconds in measured.stages.items():
        print(f"  {stage:22}{seconds:10.4f} s{seconds / total:8.1%}")


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"


def peak_memory(options: argparse.Namespace) -> str:
    """MiB: of the steps on a GPU, of the whole process otherwise."""
    if options.device == "cuda":
        return f"{torch.cuda.max_memory_allocated() / 2**20:.0f} MiB of the GPU"
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB"


def projected_fold(measured: Measured, options: argparse.Namespace) -> float:
    """Seconds of an outer fold's training once its filterbanks are there."""
    steps = FOLD_EPOCHS * -(-FOLD_CLIPS // options.batch)
    head_clips = AdapterSettings.from_mapping({}).head_input_clips
    return steps * statistics.median(measured.steps) + head_clips * measured.head_input


def profile(training: Training, options: argparse.Namespace) -> None:
    activities = [torch.profiler.ProfilerActivity.CPU]
    if options.device == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities, record_shapes=True) as found:
        next_step(training, next(batches_of(training, options)))
        now(training.context.device)
    table = found.key_averages(group_by_input_shape=options.device == "cpu")
    order = "self_cuda_time_total" if options.device == "cuda" else "self_cpu_time_total"
    print(table.table(sort_by=order, row_limit=PROFILED, max_shapes_column_width=60))


if __name__ == "__main__":
    main()
