"""The adapter folder: peft's standard files, heads, class map, training log and provenance; writing and loading."""

import copy
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import PeftConfig, PeftModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from workflow_lib.adaptation.classes import ClassMap
from workflow_lib.adaptation.events import Row, write_events
from workflow_lib.adaptation.heads import TaskHeads
from workflow_lib.adaptation.log_rows import LOG_HEADER, VALIDATION_HEADER
from workflow_lib.adaptation.lora import lora_state
from workflow_lib.adaptation.schedule import learning_rate, steps_per_epoch
from workflow_lib.config.adaptation import AdapterSettings
from workflow_lib.encoders.base import Encoder
from workflow_lib.errors import UserError
from workflow_lib.files import write_csv

# The names of the first two are peft's.
CONFIG_FILE = "adapter_config.json"
ADAPTER_FILE = "adapter_model.safetensors"
HEADS_FILE = "heads.safetensors"
CLASSES_FILE = "classes.json"
LOG_FILE = "training_log.csv"
VALIDATION_FILE = "validation.csv"
PROVENANCE_FILE = "provenance.json"


@dataclass(frozen=True)
class AdapterFolder:
    """Result of a finished training.

    Its logs: steps (steps, 8), by STEP_COLUMNS; seconds (epochs,); validation (epochs or 0, 6), by VALIDATION_HEADER
    without the epoch.
    """

    config: PeftConfig
    adapter: dict[str, Tensor]
    heads: dict[str, Tensor]
    classes: ClassMap
    steps: Tensor
    seconds: Tensor
    validation: Tensor
    settings: AdapterSettings
    clips: int
    provenance: dict[str, Any]


def write_folder(folder: Path, result: AdapterFolder) -> None:
    """Write all files into a hidden folder that then replaces an older one: the folder is whole or absent."""
    beside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    _write_config(beside, result.config)
    _write_tensors(beside / ADAPTER_FILE, result.adapter)
    _write_tensors(beside / HEADS_FILE, result.heads)
    result.classes.write(beside / CLASSES_FILE)
    log = list(_log_rows(result))
    validation = [(epoch, *row) for epoch, row in enumerate(result.validation.tolist(), start=1)]
    for file, header, rows in ((LOG_FILE, LOG_HEADER, log), (VALIDATION_FILE, VALIDATION_HEADER, validation)):
        write_csv(beside / file, header, ([f"{value:.7g}" for value in row] for row in rows))
    write_events(beside, LOG_HEADER, log, VALIDATION_HEADER, validation)
    _write_json(beside / PROVENANCE_FILE, result.provenance)
    if folder.exists():
        shutil.rmtree(folder)
    beside.replace(folder)


def _write_config(folder: Path, config: PeftConfig) -> None:
    """Write peft's own file, keys and module names sorted: peft writes a set, whose order changes from run to run."""
    saved = copy.deepcopy(config)
    saved.inference_mode = True
    saved.save_pretrained(str(folder))
    content = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    _write_json(folder / CONFIG_FILE, {**content, "target_modules": sorted(content["target_modules"])})


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path, {"format": "pt"})


def _log_rows(result: AdapterFolder) -> Iterator[Row]:
    """One row per step: losses and accuracies are means over its clips; the speed is that of its epoch, measured."""
    per_epoch, total = steps_per_epoch(result.clips, result.settings), len(result.steps)
    for step, row in enumerate(result.steps.tolist()):
        rate = learning_rate(step, total, result.settings)
        speed = result.clips / float(result.seconds[step // per_epoch])
        yield (step + 1, step // per_epoch + 1, rate, *row, speed)


def load_adapted(folder: Path, encoder: Encoder) -> Encoder:
    """A copy of the encoder with the folder's adapters merged into its weights, in evaluation mode, float32.

    Raises `UserError` for another encoder than the one that was adapted, by the digest of its weights, and for a folder
    that is not whole.
    """
    trained_on = read_provenance(folder)["encoder"]["weights_digest"]
    if encoder.weights_digest != trained_on:
        raise UserError(
            f"{folder}: the adapter belongs to an encoder with weights {trained_on[:12]}, "
            f"not {encoder.weights_digest[:12]}; load the checkpoint it was trained on, or train it again"
        )
    return unmerged(folder, encoder).merge_and_unload(safe_merge=True).eval()


def unmerged(folder: Path, encoder: Encoder) -> PeftModel:
    """peft's wrapper around a copy of the encoder with the folder's adapters beside its weights, in evaluation mode."""
    _check_file(folder / CONFIG_FILE)
    found = _tensor_names(folder / ADAPTER_FILE)
    model = PeftModel.from_pretrained(copy.deepcopy(encoder), str(folder)).eval()
    if found != set(lora_state(model)):
        raise UserError(
            f"{folder / ADAPTER_FILE}: its tensors do not fit {CONFIG_FILE} and this encoder; train it again"
        )
    return model


def load_heads(folder: Path) -> TaskHeads:
    """The task heads of an adapter folder on the CPU, in evaluation mode."""
    path = folder / HEADS_FILE
    _tensor_names(path)
    state = load_file(path)
    size, inputs = state["embedding.weight"].shape
    heads = TaskHeads(inputs // 4, size, *(len(state[name]) for name in ("proxies", "machine.weight", "domain.weight")))
    heads.load_state_dict(state)
    return heads.eval()


def read_provenance(folder: Path) -> dict[str, Any]:
    """The provenance of an adapter folder; raises `UserError` if there is none."""
    _check_file(folder / PROVENANCE_FILE)
    return json.loads((folder / PROVENANCE_FILE).read_text(encoding="utf-8"))


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"{path}: not there, so this is no whole adapter folder; train the adapter again")


def _tensor_names(path: Path) -> set[str]:
    _check_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            return set(file.keys())
    except SafetensorError as error:
        raise UserError(f"{path}: no safetensors file, or a damaged one; train the adapter again") from error
