"""Training of one adapted model: from normal clips of the machines that are not held out to an adapter folder."""

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
from numpy.typing import NDArray
from peft import PeftModel
from torch import Tensor, nn

import workflow_lib
from workflow_lib.adaptation.classes import ClassMap, check_training_clips
from workflow_lib.adaptation.compute import micro_batch_clips
from workflow_lib.adaptation.filterbanks import FilterbankStore, compute_filterbanks
from workflow_lib.adaptation.folder import AdapterFolder, write_folder
from workflow_lib.adaptation.heads import TaskHeads
from workflow_lib.adaptation.log_rows import STEP_COLUMNS, VALIDATION_HEADER
from workflow_lib.adaptation.lora import add_lora, lora_state, trainable_parameters
from workflow_lib.adaptation.schedule import derived_seed, epoch_batches, learning_rate, steps_per_epoch
from workflow_lib.adaptation.state import load_state, save_state
from workflow_lib.adaptation.step import StepContext, accumulate_gradients, channel_statistics
from workflow_lib.adaptation.validation import validate, withhold
from workflow_lib.config.adaptation import AdapterSettings
from workflow_lib.dataset.manifest import Clip
from workflow_lib.encoders.base import Encoder
from workflow_lib.encoders.device import choose_device, use_bfloat16
from workflow_lib.errors import UserError

LOGGER = logging.getLogger(__name__)
LOG_EVERY_STEPS = 25


@dataclass
class Training:
    """A model in training: its parts, its optimiser, and the logs so far."""

    model: PeftModel
    context: StepContext
    parameters: dict[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    # steps: (steps, len(STEP_COLUMNS)) float32; seconds: (epochs,) and validation: (epochs, len(VALIDATION_HEADER) - 1)
    # float64, the latter (0, ...) if no clip is withheld.
    rows: dict[str, Tensor]
    # The same network on the withheld clips; None if none are withheld.
    withheld: StepContext | None = None
    epochs_done: int = 0


def train_adapter(
    clips: Sequence[Clip],
    encoder_factory: Callable[[], Encoder],
    settings: AdapterSettings,
    seed: int,
    folder: Path,
    *,
    held_out: Sequence[str] = (),
    device: str = "auto",
    resample: bool = False,
    state_folder: Path | None = None,
) -> None:
    """Adapt a fresh encoder to the clips and write the adapter folder, which appears whole (paper section 2.3).

    `clips` are normal two-channel training clips of the machines not held out, in any order; classes come from them
    alone. After every epoch the state goes to `state_folder` (default: `.<name>.state` beside `folder`), from which the
    same call resumes with the result of an uninterrupted run. On a CPU equal arguments give equal bytes, except for
    the measured `clips_per_s` in the log. Raises `UserError` for clips or settings that do not fit.
    """
    state_folder = state_folder or folder.with_name(f".{folder.name}.state")
    allowed, target = check_training_clips(clips, held_out), choose_device(device)
    chosen, withheld = withhold(allowed, settings.validation_fraction, seed)
    classes = ClassMap.from_clips(chosen)
    encoder = encoder_factory().to(target)
    provenance = {**_provenance(encoder, chosen, settings, seed, held_out, target), "withheld_clips": len(withheld)}
    state_folder.mkdir(parents=True, exist_ok=True)
    spill = state_folder / "filterbanks.f32"
    try:
        whole = compute_filterbanks([*chosen, *withheld], encoder, spill, settings.filterbank_ram_gb, resample)
        store, unseen = whole.split(len(chosen))
        training = prepare_training(encoder, store, torch.from_numpy(classes.targets(chosen)), classes, settings, seed)
        if withheld:
            sizes = {**training.context.micro_batch, **_micro_batches(encoder, unseen, settings, target)}
            targets = torch.from_numpy(classes.targets(withheld))
            training.withheld = replace(training.context, store=unseen, targets=targets, micro_batch=sizes)
        _train(training, state_folder / "state.safetensors", _identity(provenance, [*chosen, *withheld]))
    finally:
        spill.unlink(missing_ok=True)
    write_folder(folder, _result(training, classes, provenance))
    shutil.rmtree(state_folder)


def prepare_training(
    encoder: Encoder, store: FilterbankStore, targets: Tensor, classes: ClassMap, settings: AdapterSettings, seed: int
) -> Training:
    """Fresh adapters in the encoder (in place, on its device), fresh heads and an optimiser over exactly these.

    `targets` (clips, 3) int64 holds proxy, machine and domain numbers of the clips in the store.
    """
    device = next(encoder.parameters()).device
    # Drawn on the CPU, so that a GPU starts from the same values; the global generator stays as it was.
    model = add_lora(encoder, settings, derived_seed(seed, "adapters"))
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(derived_seed(seed, "heads"))
        sizes = (len(classes.proxies), len(classes.machines), len(classes.domains))
        heads = TaskHeads(encoder.embed_dim, settings.embedding_size, *sizes).to(device)
    encoder.train()
    bfloat16, micro_batch = use_bfloat16(settings.precision, device), _micro_batches(encoder, store, settings, device)
    context = StepContext(encoder, heads, store, targets, settings, seed, device, bfloat16, micro_batch)
    if settings.head_input == "standardised":
        _fit_head_input(context)
    parameters = {f"lora.{name}": parameter for name, parameter in trainable_parameters(model).items()}
    parameters |= {f"heads.{name}": parameter for name, parameter in trainable_parameters(heads).items()}
    optimizer = torch.optim.AdamW(parameters.values(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    rows = {
        "steps": torch.zeros(0, len(STEP_COLUMNS)),
        "seconds": torch.zeros(0, dtype=torch.float64),
        "validation": torch.zeros(0, len(VALIDATION_HEADER) - 1, dtype=torch.float64),
    }
    return Training(model, context, parameters, optimizer, rows)


def _fit_head_input(context: StepContext) -> None:
    """Standardise the heads' input by unmasked training clips, before the adapters change anything."""
    total = len(context.store)
    chosen = np.unique(np.linspace(0, total - 1, min(total, context.settings.head_input_clips)).round().astype(int))
    parts = []
    with torch.no_grad():
        for clip in chosen:
            near, far = channel_statistics(context, context.store.batch([clip]).to(context.device))
            parts.append(torch.stack([*near, *far]))
    near_mean, near_std, far_mean, far_std = torch.cat(parts, dim=1)
    context.heads.fit_input((near_mean, near_std), (far_mean, far_std))


def _micro_batches(
    encoder: Encoder, store: FilterbankStore, settings: AdapterSettings, device: torch.device
) -> dict[int, int]:
    lengths = {store.frames(clip) for clip in range(len(store))}
    return {frames: micro_batch_clips(encoder, frames, settings, device) for frames in lengths}


def _train(training: Training, state_path: Path, identity: str) -> None:
    """Run the remaining epochs and save the state after each."""
    found = load_state(state_path, identity, training.parameters, training.optimizer)
    if found:
        training.epochs_done, training.rows = found
        LOGGER.info("going on after epoch %d", training.epochs_done)
    while training.epochs_done < training.context.settings.epochs:
        _train_epoch(training)
        save_state(state_path, identity, training.epochs_done, training.parameters, training.optimizer, training.rows)


def _train_epoch(training: Training) -> None:
    context, epoch = training.context, training.epochs_done
    started = time.perf_counter()
    steps = steps_per_epoch(len(context.store), context.settings)
    rows = []
    for number, batch in enumerate(epoch_batches(len(context.store), context.settings, context.seed, epoch)):
        rows.append(
            train_step(context, training.optimizer, batch, epoch * steps + number, context.settings.epochs * steps)
        )
        if (number + 1) % LOG_EVERY_STEPS == 0 or number + 1 == steps:
            LOGGER.info("epoch %d, step %d of %d: loss %.4f", epoch + 1, number + 1, steps, float(rows[-1][0]))
    measured = torch.stack(rows).cpu()
    _check_finite(measured, training.parameters, epoch)
    seconds = torch.tensor([time.perf_counter() - started], dtype=torch.float64)
    training.rows["steps"] = torch.cat([training.rows["steps"], measured])
    training.rows["seconds"] = torch.cat([training.rows["seconds"], seconds])
    if training.withheld:
        row = validate(training.withheld)
        figures = zip(VALIDATION_HEADER[1:], row.tolist(), strict=True)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in figures)
        LOGGER.info("epoch %d: %s on withheld clips", epoch + 1, shown)
        training.rows["validation"] = torch.cat([training.rows["validation"], row[None]])
    training.epochs_done += 1


def train_step(
    context: StepContext, optimizer: torch.optim.Optimizer, batch: NDArray[np.int64], step: int, total_steps: int
) -> Tensor:
    """One update on a batch of clip numbers; returns its row of `STEP_COLUMNS` without waiting for the device."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step, total_steps, context.settings)
    optimizer.zero_grad()
    row = accumulate_gradients(context, batch, step)
    optimizer.step()
    return row


def _check_finite(rows: Tensor, parameters: dict[str, nn.Parameter], epoch: int) -> None:
    broken = (~torch.isfinite(rows).all(dim=1)).nonzero().flatten().tolist()
    if not broken and not all(bool(torch.isfinite(parameter).all()) for parameter in parameters.values()):
        broken = [len(rows) - 1]  # the last update itself; no later loss shows it
    if broken:
        raise UserError(
            f"adaptation: the loss is not a number from step {broken[0] + 1} of epoch {epoch + 1} on; "
            "lower learning_rate, or set precision to float32"
        )


def _provenance(
    encoder: Encoder,
    clips: Sequence[Clip],
    settings: AdapterSettings,
    seed: int,
    held_out: Sequence[str],
    device: torch.device,
) -> dict[str, Any]:
    """What the result depends on, without dates and places."""
    names = "".join(f"{c.machine}/{c.clip} {c.sample_rate} {c.frames}\n" for c in clips)
    return {
        "settings": asdict(settings),
        "seed": seed,
        "encoder": {
            "name": encoder.name,
            "weights_digest": encoder.weights_digest,
            "trained": encoder.trained,
            "length": encoder.length,
            "embed_dim": encoder.embed_dim,
            "depth": encoder.depth,
        },
        "held_out": sorted(held_out),
        "clips": len(clips),
        "clips_digest": hashlib.sha256(names.encode()).hexdigest(),
        "device": device.type,
        "precision": "bfloat16" if use_bfloat16(settings.precision, device) else "float32",
        "versions": {"dualmic-asd": workflow_lib.__version__, "torch": torch.__version__, "peft": peft.__version__},
    }


def _identity(provenance: dict[str, Any], clips: Sequence[Clip]) -> str:
    """Digest of the training that a saved state belongs to, recordings included: rewritten ones start afresh."""
    stats = [Path(clip.path).stat() for clip in clips]
    facts = {**provenance, "recordings": [(stat.st_size, stat.st_mtime_ns) for stat in stats]}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _result(training: Training, classes: ClassMap, provenance: dict[str, Any]) -> AdapterFolder:
    context, adapter = training.context, lora_state(training.model)
    counts = {
        "trainable": sum(parameter.numel() for parameter in training.parameters.values()),
        "lora": sum(tensor.numel() for tensor in adapter.values()),
        "all": sum(
            tensor.numel() for part in (context.encoder, context.heads) for tensor in part.state_dict().values()
        ),
    }
    return AdapterFolder(
        config=training.model.peft_config["default"],
        adapter=adapter,
        heads=context.heads.state_dict(),
        classes=classes,
        steps=training.rows["steps"],
        seconds=training.rows["seconds"],
        validation=training.rows["validation"],
        settings=context.settings,
        clips=len(context.store),
        provenance={**provenance, "parameters": counts},
    )
