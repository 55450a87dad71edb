"""Models of the configuration: encoders and what they take, blocks that are there, what can be adapted."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from workflow_lib.config.adaptation import AdapterSettings
from workflow_lib.config.encoder_options import OPTIONS, encoder_names, encoder_options, has_weights
from workflow_lib.config.faults import unknown_names
from workflow_lib.errors import UserError, nearest

SIZES = {"depth": 12, "embed_dim": 768}  # of every published encoder, and of an untrained one where they are left out
HEAD_WIDTH = 64
HIGHEST_HZ = 8000  # half of the sample rate
PUBLISHED_DEPTH_12 = ("eat", "ced", "m2d")


def model_faults(models: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """(model, its faults) of each model; what stands on a faulty base is judged without it."""
    faulty: set[str] = set()
    for name, model in models.items():
        if model["kind"] == "frozen":
            faults = list(_frozen_faults(f"models.{name}", model))
            faulty |= {name} if faults else set()
            yield name, faults
    for name, model in models.items():
        if model["kind"] == "adapted":
            yield name, list(_adapted_faults(f"models.{name}", model, models, faulty))


def _frozen_faults(place: str, model: Mapping[str, Any]) -> Iterator[str]:
    name = model["encoder"]
    if name not in encoder_names():
        yield from unknown_names(f"{place}.encoder", "encoder", [name], encoder_names())
        return
    unknown = [key for key in OPTIONS if key in model and key not in encoder_options(name)]
    if unknown:
        yield f"{place}: the encoder {name} takes no {', '.join(unknown)}: leave out what it does not take"
        return
    of_weights = {key: bool(model[key]) for key in ("checkpoint", "blocks")}
    if not has_weights(name):
        if given := [key for key, is_given in of_weights.items() if is_given]:
            yield f"{place}: the encoder {name} has no weights: leave out {', '.join(given)}"
        if (low := model.get("low_hz", 0)) >= (high := model.get("high_hz", HIGHEST_HZ)):
            yield f"{place}.low_hz: {low:g} is not below high_hz, {high:g}: write a lower frequency"
        return
    if missing := [key for key, is_given in of_weights.items() if not is_given]:
        yield from (f"{place}.{key}: missing: add it (config.yaml shows every key)" for key in missing)
        return
    if name in PUBLISHED_DEPTH_12 or model["checkpoint"] == "random":
        yield from _block_faults(f"{place}.blocks", model["blocks"], (SIZES | dict(model))["depth"])
    if model["checkpoint"] == "random":
        yield from _size_faults(place, model)


def _block_faults(place: str, blocks: Sequence[int], depth: int) -> Iterator[str]:
    for block in blocks:
        if block > depth:
            yield f"{place}: there is no block {block}: write 1 to {depth}"


def _size_faults(place: str, model: Mapping[str, Any]) -> Iterator[str]:
    """Sizes of an untrained encoder: the width is cut into heads, and EAT's positions into quarters."""
    width = (SIZES | dict(model))["embed_dim"]
    if "num_heads" not in model and width % HEAD_WIDTH:
        yield f"{place}.num_heads: missing: a width of {width} is cut into heads: write a divisor of {width}"
    elif "num_heads" in model and width % (heads := model["num_heads"]):
        yield f"{place}.embed_dim: {width} is no multiple of num_heads: write {-(-width // heads) * heads}"
    elif model["encoder"] == "eat" and width % 4:
        yield f"{place}.embed_dim: {width} is no multiple of 4, as eat needs: write {-(-width // 4) * 4}"


def _adapted_faults(place: str, model: Mapping[str, Any], models: Mapping[str, Any], faulty: set[str]) -> Iterator[str]:
    base = model["base"]
    depth = None
    if base not in faulty:
        encoders = {name: other["encoder"] for name, other in models.items() if other["kind"] == "frozen"}
        eats = [name for name, encoder in encoders.items() if encoder == "eat"]
        if base in eats:
            depth = (SIZES | models[base])["depth"]
            yield from _block_faults(f"{place}.blocks", model["blocks"], depth)
        elif base in encoders:
            what = f"only eat encoders can be adapted, {base} is {encoders[base]}"
            yield f"{place}.base: {what}: {nearest(base, eats)}"
        else:
            yield from unknown_names(f"{place}.base", "frozen model", [base], eats)
    try:
        block = AdapterSettings.from_mapping(model["adaptation"]).statistics_block
    except UserError as error:
        yield f"{place}.adaptation.{error}"
        return
    if depth is not None and block > depth:  # adapted blocks lie before the statistics block: its number bounds them
        write = f"write statistics_block and adapted_blocks from 1 to {depth}"
        yield f"{place}.adaptation: there is no block {block} of {depth}: {write}"
    elif block not in model["blocks"]:
        yield f"{place}.blocks: block {block} is adapted for: add it"
