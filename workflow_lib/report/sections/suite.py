"""The part of the page about one suite: protocol by protocol, entry by entry."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from workflow_lib.config.twins import equal_twin, twin_of
from workflow_lib.evaluation.evidence_rows import Entry
from workflow_lib.report.page import glossary
from workflow_lib.report.page.cells import entry_title, number
from workflow_lib.report.page.content import Block, Details, Prose, Section
from workflow_lib.report.sections.clip_gallery import ClipGallery
from workflow_lib.report.sections.decisions import decision_blocks
from workflow_lib.report.sections.entry_order import (
    Rankings,
    entries_of,
    first_entries,
    leading_entry,
    protocols_of,
    rankings_of,
)
from workflow_lib.report.sections.health import health_section
from workflow_lib.report.sections.machines import machine_parts
from workflow_lib.report.sections.ranking import machine_blocks, ranking_blocks
from workflow_lib.report.sections.recordings_and_models import material_section
from workflow_lib.report.sections.training import training_blocks, untrained_training
from workflow_lib.report.sections.unlabelled import score_charts, top_clip_tables
from workflow_lib.report.sections.weights import choice_blocks, weight_blocks
from workflow_lib.report.suite_tables import SuiteTables


@dataclass(frozen=True)
class _SuiteContext:
    """What all parts of a suite's section are made from."""

    suite: SuiteTables
    rankings: Rankings
    gallery: ClipGallery
    wrong_clips: int


def suite_section(suite: SuiteTables, key: str, clips: Path | None, health: Path | None, wrong_clips: int) -> Section:
    """Everything about one suite; folders of its illustrated clips and health tables, None where it has no recordings.

    key: its anchor; wrong_clips: how many of each kind and machine are shown.
    """
    part = _SuiteContext(suite, rankings_of(suite), ClipGallery(clips, key), wrong_clips)
    entries = {protocol: entries_of(suite, protocol, part.rankings) for protocol in protocols_of(suite)}
    first = [protocol for protocol, found in entries.items() if not all(map(suite.is_untrained, found))]
    apart = bool(first) and any(map(suite.is_untrained, chain(*entries.values())))
    protocols = [_protocol_section(part, key, protocol, entries[protocol]) for protocol in first or entries]
    last: list[Section] = [material_section(suite, key, training=not apart or not untrained_training(suite))]
    last += [health_section(suite.name, Path(health), key)] if health else []
    last += [_untrained_section(part, key, entries, first)] if apart else []
    return Section(key, f"Suite {suite.name}", (Prose(_status(suite)), *protocols, *last))


def _untrained_section(
    part: _SuiteContext, key: str, entries: Mapping[str, Sequence[Entry]], first: Sequence[str]
) -> Section:
    """All that depends on random weights, of a suite that has other entries too; `first`: protocols that have some."""
    suite, others = part.suite, [protocol for protocol in entries if protocol not in first]
    blocks: list[Block] = [Prose(glossary.UNTRAINED_READING)]
    for protocol in first:
        found = [entry for entry in entries[protocol] if suite.is_untrained(entry)]
        blocks += [_entry_part(part, protocol, entry, opened=False) for entry in _systems_first(found)]
    blocks += [_protocol_section(part, key, protocol, entries[protocol]) for protocol in others]
    blocks += training_blocks(suite) if untrained_training(suite) else []
    return Section(f"{key}-untrained", glossary.UNTRAINED_SECTION, tuple(blocks))


def _systems_first(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: entry.kind != "system")


def is_evaluated(suite: SuiteTables) -> bool:
    """Whether any figure could be made from labels."""
    return bool(suite.official or suite.machines)


def _status(suite: SuiteTables) -> str:
    if not is_evaluated(suite):
        first = "Listen to the clips at the top of each list first."
        return f"The test clips have no labels: {glossary.NOT_EVALUATED}. {first}"
    labelled = {row.machine for row in suite.ranking if row.anomaly is not None}
    unlabelled = sorted({row.machine for row in suite.ranking} - labelled)
    remark = f" Without labels, so {glossary.NOT_EVALUATED}: {', '.join(unlabelled)}." if unlabelled else ""
    return f"The test clips have labels, so the scores can be checked against them.{remark}"


def _protocol_section(part: _SuiteContext, key: str, protocol: str, entries: Sequence[Entry]) -> Section:
    """Figures of all entries of a protocol, and each by itself; those with untrained models only if all have one."""
    term, suite = glossary.protocol_term(protocol), part.suite
    systems = [entry for entry in entries if entry.kind == "system"]
    first = leading_entry(suite, entries)
    others = [entry for entry in _systems_first(first_entries(suite, entries)) if entry != first]
    blocks = (
        Prose(_choices(suite, protocol, [entry.name for entry in systems])),
        *ranking_blocks(suite, protocol),
        *([_entry_part(part, protocol, first, opened=True)] if first else []),
        *(_entry_part(part, protocol, entry, opened=False) for entry in others),
    )
    return Section(f"{key}-{protocol}", term.title, blocks, code=protocol)


def _choices(suite: SuiteTables, protocol: str, systems: Iterable[str]) -> str:
    """Who chose what under a protocol, and what nobody chose."""
    blended = {row.system for row in suite.weights if row.protocol == protocol}
    named = {name for name in systems if not twin_of(name)}
    fixed, equal, own = named & suite.fixed_weights, named & suite.equal_weights, named & suite.normal_calibration
    pseudo = named & suite.pseudo_weights
    given = fixed | equal | pseudo
    lines = [(glossary.WEIGHTS_FIXED, fixed), (glossary.WEIGHTS_EQUAL, equal), (glossary.WEIGHTS_PSEUDO, pseudo)]
    lines += [(glossary.OWN_CALIBRATION, own)]
    if any(map(twin_of, systems)):
        lines += [(glossary.TWINS, {name for name in named if equal_twin(name) in set(systems)})]
    if not is_evaluated(suite):
        chosen = {name for name in blended if not twin_of(name)}
        lines += [
            (glossary.TRANSFERRED, chosen - given - own),
            (glossary.TRANSFERRED_WEIGHTS, (chosen & own) - given),
            (glossary.TRANSFERRED_CALIBRATION, (chosen & given) - own),
        ]
    opening = glossary.protocol_term(protocol).meaning if is_evaluated(suite) else glossary.NOTHING_CHOSEN
    return " ".join([opening, *(line.format(", ".join(sorted(names))) for line, names in lines if names)])


def _entry_part(part: _SuiteContext, protocol: str, entry: Entry, *, opened: bool) -> Details:
    """All there is about one entry; the one that stands open machine by machine, other systems in common charts."""
    suite, rankings = part.suite, part.rankings
    twin = twin_of(entry.name) is not None
    drawn = opened or (entry.kind == "system" and not twin)
    blocks: list[Block] = machine_blocks(suite, protocol, entry, drawn=drawn)
    blocks += decision_blocks(suite, protocol, entry, rankings)
    blocks += top_clip_tables(suite, rankings.get((protocol, entry), {}))
    if opened:
        blocks += machine_parts(suite, protocol, entry, rankings, part.gallery, part.wrong_clips)
    elif drawn:
        blocks += score_charts(suite, protocol, entry, rankings)
    blocks += weight_blocks(suite, protocol, entry.name, entry.seed) if entry.kind == "system" and not twin else []
    blocks += [] if twin else choice_blocks(suite, protocol, entry)  # a twin's are those of its system
    omegas = [row.omega for row in suite.official if (row.protocol, row.entry) == (protocol, entry)]
    summary = " · ".join([entry_title(entry), protocol, *(f"Ω {number(omega).text}" for omega in omegas)])
    return Details(summary, tuple(blocks), suite.tag(entry.kind, entry.name), opened)
