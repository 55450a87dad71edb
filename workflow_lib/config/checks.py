"""The configuration, checked: all faults at once, one line each, saying where and what to write instead.

Only the standard library, yaml and jsonschema are imported: this runs whenever Snakemake reads the workflow.
"""

import re
from collections.abc import Iterator, Mapping
from math import comb
from typing import Any

from workflow_lib.config.adaptation import AdapterSettings
from workflow_lib.config.candidates import candidate_faults, grid_branches
from workflow_lib.config.encoder_options import OPTIONS, encoder_names, encoder_options
from workflow_lib.config.schema import branch_kind, numbers_as_text, shape_faults
from workflow_lib.config.studies import study_faults
from workflow_lib.errors import UserError, nearest
from workflow_lib.fetch.published import restricted_encoders
from workflow_lib.fetch.sets import published_sets
from workflow_lib.protocols import possible_protocols

__all__ = ["branch_kind", "check_config"]

PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
DEFAULT_DEPTH, DEFAULT_WIDTH, HEAD_WIDTH = 12, 768, 64  # of every published encoder
PUBLISHED_DEPTH_12 = ("eat", "ced", "m2d")
UNTRAINED_OPTIONS = ("seed", "embed_dim", "depth", "chunk_frames")  # a published file says them itself
DEFAULT_STEP = 0.1
MAX_GRID_POINTS = 2_000_000


def check_config(config: Mapping[str, Any]) -> None:
    """Raise one UserError with every fault of the configuration, one line each."""
    faults = list(shape_faults(config)) or list(_meaning_faults(config))
    if faults:
        raise UserError("\n".join(f"config: {' '.join(fault.splitlines())}" for fault in faults))


def _meaning_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """Names that lead nowhere and values that do not go together; the shape is sound."""
    yield from _name_faults(config)
    yield from _run_faults(config)
    yield from _licence_faults(config["fetch"]["accept_licence"])
    yield from _submission_faults(config)
    for name, suite in config["suites"].items():
        yield from _suite_faults(f"suites.{name}", name, suite, config["suites"])
    unsound: set[str] = set()
    # Adapted models last: what stands on a faulty base is not judged.
    for name, model in sorted(config["models"].items(), key=lambda item: item[1]["kind"] == "adapted"):
        faults = list(_model_faults(f"models.{name}", model, config["models"], unsound))
        yield from faults
        if faults or model.get("base") in unsound:
            unsound.add(name)
    for name, branch in config["branches"].items():
        if branch.get("model") not in unsound:
            faults = list(_branch_faults(f"branches.{name}", branch, config["models"]))
            yield from faults or _candidate_faults(name, config)
    for name, system in config["systems"].items():
        yield from _system_faults(f"systems.{name}", system, config["branches"])
    yield from study_faults(config)


def _name_faults(config: Mapping[str, Any]) -> Iterator[str]:
    for section in ("suites", "models", "branches", "systems"):
        for name in config[section]:
            if not PLAIN_NAME.fullmatch(name):
                yield f"{section}.{name}: a name becomes part of file names: use letters, digits, '_', '-' and '.' only"


def _run_faults(config: Mapping[str, Any]) -> Iterator[str]:
    run, chosen = config["run"], config["run"]["suites"]
    suites = [] if chosen == "auto" else [chosen] if isinstance(chosen, str) else chosen
    for section, word, names in (
        ("suites", "suite", suites),
        ("systems", "system", run["systems"]),
        ("branches", "branch", run["branches"]),
    ):
        for name in names:
            if name not in config[section]:
                yield f"run.{section}: there is no {word} {name!r}: {nearest(name, config[section])}"


def _submission_faults(config: Mapping[str, Any]) -> Iterator[str]:
    settings, seeds = config["submission"], config["run"]["seeds"]
    for place, names in (("systems", settings["systems"]), ("meta", settings["meta"])):
        for name in names:
            if name not in config["systems"]:
                yield f"submission.{place}: there is no system {name!r}: {nearest(name, config['systems'])}"
    if settings["seed"] not in (None, *seeds):
        yield f"submission.seed: {settings['seed']} is not among run.seeds: write one of: {', '.join(map(str, seeds))}"


def _licence_faults(accepted: list[str]) -> Iterator[str]:
    for name in accepted:
        if name not in restricted_encoders():
            yield f"fetch.accept_licence: {name!r} needs no acceptance: {nearest(name, restricted_encoders())}"


def _suite_faults(place: str, name: str, suite: Mapping[str, Any], suites: Mapping[str, Any]) -> Iterator[str]:
    if "simulate" in suite:
        if "root" in suite:
            yield f"{place}: root and simulate exclude each other: a simulated suite lies in the results folder"
        if suite.get("channels", 2) != 2:
            yield f"{place}.channels: a simulated suite has two channels: write 2"
        low, high = suite["simulate"]["severity"]
        if low > high:
            yield f"{place}.simulate.severity: {low:g} is above {high:g}: write [{high:g}, {low:g}], the lowest first"
    if "ground_truth" in suite and "root" not in suite:
        yield f"{place}.ground_truth: only for recordings: write root, or leave it out"
    if "fetch" in suite:
        yield from _fetch_faults(place, suite)
    if "select_on" in suite:
        yield from _select_on_faults(f"{place}.select_on", name, suite["select_on"], suites)


def _fetch_faults(place: str, suite: Mapping[str, Any]) -> Iterator[str]:
    name, published = suite["fetch"], published_sets().get(suite["fetch"])
    if published is None:
        yield f"{place}.fetch: there is no published set {name!r}: {nearest(name, published_sets())}"
        return
    if "root" not in suite:
        yield f"{place}.root: missing: write the folder that the recordings of {published.name} shall lie in"
    for machine in suite.get("machines", ()):
        if machine not in published.machines:
            where = f"{place}.machines: {published.name} has no {machine}"
            yield f"{where}: {nearest(machine, published.machines)}"
    if suite.get("channels", 1) > published.channels:
        yield f"{place}.channels: {published.name} is mono: write 1"


def _select_on_faults(place: str, name: str, other: str, suites: Mapping[str, Any]) -> Iterator[str]:
    chained = [key for key, value in suites.items() if value.get("select_on", key) != key]
    free = [key for key in suites if key not in (name, *chained)]
    if other == name:
        yield f"{place}: {other!r} is this suite itself: leave it out"
    elif other not in suites:
        yield f"{place}: there is no other suite {other!r}: {nearest(other, free)}"
    elif other in chained:
        yield f"{place}: {other!r} has a select_on of its own and chooses nothing: {nearest(other, free)}"


# ---- models ----------------------------------------------------------------------------------------------------------


def _model_faults(place: str, model: Mapping[str, Any], models: Mapping[str, Any], unsound: set[str]) -> Iterator[str]:
    if model["kind"] == "frozen":
        yield from _frozen_faults(place, model)
    elif model["kind"] == "adapted":
        base = models.get(model["base"], {})
        faulty = base.get("kind") == "frozen" and model["base"] in unsound
        if not faulty and (base.get("kind") != "frozen" or base["encoder"] != "eat"):
            yield from _base_faults(f"{place}.base", model["base"], models)
            base = None
        depth = base.get("depth", DEFAULT_DEPTH) if base and model["base"] not in unsound else None
        yield from _adaptation_faults(place, model, depth)


def _frozen_faults(place: str, model: Mapping[str, Any]) -> Iterator[str]:
    name = model["encoder"]
    if name not in encoder_names():
        yield f"{place}.encoder: there is no encoder {name!r}: {nearest(name, encoder_names())}"
        return
    unknown = [key for key in OPTIONS if key in model and key not in encoder_options(name)]
    if unknown:
        yield f"{place}: the encoder {name} takes no {', '.join(unknown)}: leave out what it does not take"
        return
    if name in PUBLISHED_DEPTH_12 or model["checkpoint"] == "random":
        yield from _block_faults(f"{place}.blocks", model["blocks"], model.get("depth", DEFAULT_DEPTH))
    yield from _size_faults(place, model)


def _block_faults(place: str, blocks: list[int], depth: int) -> Iterator[str]:
    for block in blocks:
        if block > depth:
            yield f"{place}: there is no block {block}: write 1 to {depth}"


def _size_faults(place: str, model: Mapping[str, Any]) -> Iterator[str]:
    """Sizes of an untrained encoder: the width is cut into heads, and EAT's positions into quarters."""
    random = model["checkpoint"] == "random"
    wrong = [key for key in (("trust_pickle",) if random else UNTRAINED_OPTIONS) if key in model]
    if wrong:
        only = "a published checkpoint" if random else "`checkpoint: random`"
        yield f"{place}: {', '.join(wrong)}: only for {only}: leave {'it' if len(wrong) == 1 else 'them'} out"
    if wrong or not random:
        return
    width, heads = model.get("embed_dim", DEFAULT_WIDTH), model.get("num_heads")
    if heads is None and width % HEAD_WIDTH:
        yield f"{place}.num_heads: missing: a width of {width} is cut into heads: write a divisor of {width}"
    elif heads is not None and width % heads:
        yield f"{place}.embed_dim: {width} is no multiple of num_heads: write {-(-width // heads) * heads}"
    elif model["encoder"] == "eat" and width % 4:
        yield f"{place}.embed_dim: {width} is no multiple of 4, as eat needs: write {-(-width // 4) * 4}"


def _base_faults(place: str, base: str, models: Mapping[str, Any]) -> Iterator[str]:
    frozen = [key for key, value in models.items() if value["kind"] == "frozen"]
    eats = [key for key in frozen if models[key]["encoder"] == "eat"]
    if base in frozen:
        encoder = models[base]["encoder"]
        yield f"{place}: only eat encoders can be adapted, {base} is {encoder}: {nearest(base, eats)}"
    else:
        yield f"{place}: there is no frozen model {base!r}: {nearest(base, eats)}"


def _adaptation_faults(place: str, model: Mapping[str, Any], depth: int | None) -> Iterator[str]:
    """`depth`: blocks of the base; None if that is not known."""
    if depth is not None:
        yield from _block_faults(f"{place}.blocks", model["blocks"], depth)
    texts = {key: text for key, value in model["adaptation"].items() if (text := numbers_as_text(value))}
    for key, text in texts.items():
        yield f"{place}.adaptation.{key}: {model['adaptation'][key]!r} is text for YAML: write {text}"
    try:
        settings = AdapterSettings.from_mapping({k: v for k, v in model["adaptation"].items() if k not in texts})
    except UserError as error:
        yield f"{place}.adaptation: {error}"
        return
    except OverflowError:
        yield f"{place}.adaptation: a number is too large: write a smaller one"
        return
    # Adapted blocks lie before the statistics block, so its number bounds them all.
    if depth is not None and settings.statistics_block > depth:
        what = f"block {settings.statistics_block} of {depth}"
        yield f"{place}.adaptation: there is no {what}: write statistics_block and adapted_blocks from 1 to {depth}"
    elif settings.statistics_block not in model["blocks"]:
        yield f"{place}.blocks: block {settings.statistics_block} is adapted for: add it"


# ---- branches and systems --------------------------------------------------------------------------------------------


def _branch_faults(place: str, branch: Mapping[str, Any], models: Mapping[str, Any]) -> Iterator[str]:
    kind = branch_kind(branch, models)
    if kind == "autoencoder" and branch["scorer"]["kind"] != "mahalanobis":
        for key in sorted({"reading", "shrinkage"} & set(branch["scorer"])):
            yield f"{place}.scorer.{key}: only for `kind: mahalanobis`: leave it out"
    if kind == "embedding":
        yield from _view_faults(place, branch, models[branch["model"]])
        if branch["conditioning"]["whiten"] and branch["conditioning"]["components"] is None:
            yield f"{place}.conditioning.whiten: whitening needs components: write a number there, or whiten: false"


def _candidate_faults(name: str, config: Mapping[str, Any]) -> Iterator[str]:
    branches, models = config["branches"], config["models"]
    adapted = {key: models.get(value.get("model"), {}).get("kind") == "adapted" for key, value in branches.items()}
    faults = list(candidate_faults(name, branches, adapted))
    yield from faults
    if not faults:
        points = grid_branches(name, branches[name]).values()
        place = f"branches.{name}.candidates"
        of_points = [fault for point in points for fault in _branch_faults(place, point, models)]
        yield from dict.fromkeys(fault.replace(f"{place}.conditioning.", f"{place}.") for fault in of_points)


def _view_faults(place: str, branch: Mapping[str, Any], model: Mapping[str, Any]) -> Iterator[str]:
    view, block = branch["view"], branch.get("block")
    if "head" in view:
        if model["kind"] != "adapted":
            yield f"{place}.view: {branch['model']} has no head: use near, far or near-far, or an adapted model"
        elif view != ["head"]:
            yield f"{place}.view: head stands alone: write [head]"
    elif block not in model["blocks"]:
        blocks, store = ", ".join(map(str, model["blocks"])), f"models.{branch['model']}.blocks"
        what = "missing" if block is None else f"{store} has no block {block}"
        yield f"{place}.block: {what}: write one of {blocks}, or add it there"


def _system_faults(place: str, system: Mapping[str, Any], branches: Mapping[str, Any]) -> Iterator[str]:
    for branch in system["branches"]:
        if branch not in branches:
            yield f"{place}.branches: there is no branch {branch!r}: {nearest(branch, branches)}"
    weights, on_grid = system.get("weights"), system.get("search", "grid") == "grid"
    searched = weights is None and on_grid
    yield from _protocol_faults(f"{place}.protocols", system)
    yield from _step_faults(f"{place}.step", system.get("step", DEFAULT_STEP), len(system["branches"]), searched)
    if weights is None:
        return
    if "search" in system:
        yield f"{place}: search and weights exclude each other: leave out weights to have them chosen, or search"
    if set(weights) != set(system["branches"]):
        yield f"{place}.weights: name each branch of the system once: {', '.join(system['branches'])}"
    elif abs(sum(weights.values()) - 1) > 1e-9:
        yield f"{place}.weights: they sum to {sum(weights.values()):g}: make them sum to 1"


def _protocol_faults(place: str, system: Mapping[str, Any]) -> Iterator[str]:
    asked = system.get("protocols", [])
    if impossible := [name for name in asked if name not in possible_protocols("system", system)]:
        why = "its weights are fixed" if "weights" in system else "its weights are chosen"
        others = ", ".join(possible_protocols("system", system))
        yield f"{place}: {', '.join(impossible)}: {why}: write some of {others}"


def _step_faults(place: str, step: float, n_branches: int, searched: bool) -> Iterator[str]:
    n_steps = round(1 / step)
    if abs(n_steps * step - 1) > 1e-9:
        yield f"{place}: 1 is no multiple of {step:g}: write 0.1, 0.05, 0.2, 0.25 or 0.5"
    elif searched and _grid_points(n_branches, n_steps) > MAX_GRID_POINTS:
        fitting = next(n for n in (50, 20, 10, 5, 4, 2, 1) if n < n_steps and _fits(n_branches, n))
        points = f"{_grid_points(n_branches, n_steps):,} combinations of weights"
        yield f"{place}: {step:g} gives {points}, at most {MAX_GRID_POINTS:,} can be tried: write {1 / fitting:g}"


def _fits(n_branches: int, n_steps: int) -> bool:
    return _grid_points(n_branches, n_steps) <= MAX_GRID_POINTS


def _grid_points(n_branches: int, n_steps: int) -> int:
    return comb(n_branches - 1 + n_steps, n_branches - 1)
