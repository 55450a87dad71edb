"""What the benchmarks share: command line, clock, the plain product, memory, the machine in words, a row of figures."""

import argparse
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits
from torch.utils.flop_counter import sdpa_flop_count

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "unit")]

PRODUCT = {"cpu": 4096, "cuda": 8192}  # rows, columns and depth of the plain product
PROFILED = 25  # rows of the profiler's table


# The CPU's fused attention is missing from torch's own list of counted operations. Backward: four gradient products,
# without the scores that it computes anew.
ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda *shapes, **_: sdpa_flop_count(*shapes[:3]),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: (
        lambda _, *shapes, **__: 2 * sdpa_flop_count(*shapes[:3])
    ),
}


def new_parser(text: str) -> argparse.ArgumentParser:
    """A parser whose help is the text as it stands, the docstring of a benchmark."""
    return argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)


def encoder_parser(text: str) -> argparse.ArgumentParser:
    """`new_parser` with the options of all benchmarks of encoders."""
    parser = new_parser(text)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a clip")
    parser.add_argument("--threads", type=int, default=2, help="of the matrix library, and clips read at once")
    parser.add_argument("--embed-dim", type=int, default=768, help="a multiple of 64; less than 768 for a trial")
    return parser


def set_threads(threads: int) -> None:
    """Threads of torch and of numpy's matrix library."""
    torch.set_num_threads(threads)
    threadpool_limits(threads)


def now(device: str = "cpu") -> float:
    """The clock in seconds, once the device's queue is empty."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds_of(work: Callable[[], object], repeats: int, device: str = "cpu") -> list[float]:
    """Seconds of each of several calls."""
    times = []
    for _ in range(repeats):
        started = now(device)
        work()
        times.append(now(device) - started)
    return times


def plain_product(device: str, precision: str) -> float:
    """FLOP/s of one large square product, the best of six."""
    size = PRODUCT[device]
    left, right = (torch.randn(size, size, device=device).to(getattr(torch, precision)) for _ in range(2))
    return 2 * size**3 / min(seconds_of(lambda: left @ right, 6, device))


def peak_memory() -> float:
    """Peak resident memory of this process, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def machine_in_words(device: str = "cpu") -> str:
    """The GPU's name, or the processor's with its vector instructions, cores and threads."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    vectors = [name for name in ("avx512f", "avx2") if name in facts.get("flags", "").split()]
    name = facts.get("model name", platform.processor() or platform.machine())
    return f"{name} ({', '.join(vectors) or 'no AVX2'}), {os.cpu_count()} cores, {torch.get_num_threads()} threads"


def print_figures(figures: dict[str, object]) -> None:
    """A line for each figure, then all as a row of a table in docs/benchmarks.md."""
    for name, value in figures.items():
        print(f"  {name:24}{value}")
    print(f"| {' | '.join(map(str, figures.values()))} |")


def profile(work: Callable[[], object], device: str = "cpu", by_shape: bool = False) -> None:
    """Print where a call spends its time, by torch operation."""
    with torch.profiler.profile(record_shapes=by_shape) as found:
        work()
        now(device)
    table = found.key_averages(group_by_input_shape=by_shape)
    print(table.table(sort_by=f"self_{device}_time_total", row_limit=PROFILED, max_shapes_column_width=60))
