"""The part of the page about one suite: protocol by protocol, entry by entry."""

from collections.abc import Iterable

from workflow_lib.report.content import Block, Details, Prose, Section, entry_title
from workflow_lib.report.described import material
from workflow_lib.report.entries import Rankings, entries_of, protocols_of, rankings_of
from workflow_lib.report.evaluated import machine_blocks, ranking_blocks, tag_of, weight_blocks
from workflow_lib.report.ranked import score_chart, top_clip_tables
from workflow_lib.report.reading import SuiteTables
from workflow_lib.report.rows import Entry
from workflow_lib.report.words import (
    NOT_EVALUATED,
    NOTHING_CHOSEN,
    TRANSFERRED,
    TRANSFERRED_CALIBRATION,
    WEIGHTS_FIXED,
    protocol_term,
)


def suite_section(suite: SuiteTables, key: str) -> Section:
    """Everything about one suite."""
    rankings = rankings_of(suite)
    protocols = [_protocol_section(suite, key, protocol, rankings) for protocol in protocols_of(suite)]
    return Section(key, f"Suite {suite.name}", (Prose(_status(suite)), *protocols, material(suite, key)))


def is_evaluated(suite: SuiteTables) -> bool:
    """Whether any figure could be made from labels."""
    return bool(suite.official or suite.machines)


def _status(suite: SuiteTables) -> str:
    if not is_evaluated(suite):
        return f"The test clips have no labels: {NOT_EVALUATED}. Listen to the clips at the top of each list first."
    unlabelled = _unlabelled(suite)
    told = f" Without labels, so {NOT_EVALUATED}: {', '.join(unlabelled)}." if unlabelled else ""
    return f"The test clips have labels, so the scores can be checked against them.{told}"


def _unlabelled(suite: SuiteTables) -> list[str]:
    labelled = {row.machine for row in suite.ranking if row.anomaly is not None}
    return sorted({row.machine for row in suite.ranking} - labelled)


def _protocol_section(suite: SuiteTables, key: str, protocol: str, rankings: Rankings) -> Section:
    term = protocol_term(protocol)
    entries = entries_of(suite, protocol, rankings)
    systems = [entry for entry in entries if entry.kind == "system"]
    blocks = (
        Prose(_choices(suite, protocol, [entry.name for entry in systems])),
        *ranking_blocks(suite, protocol),
        *_entry_parts(suite, protocol, rankings, systems or entries, first_open=True),
        *_entry_parts(suite, protocol, rankings, [entry for entry in entries if systems and entry.kind == "branch"]),
    )
    return Section(f"{key}-{protocol}", term.title, blocks, code=protocol)


def _choices(suite: SuiteTables, protocol: str, systems: Iterable[str]) -> str:
    """Who chose what under a protocol, and what nobody chose."""
    blended = {row.system for row in suite.weights if row.protocol == protocol}
    fixed = suite.fixed_weights & set(systems)
    told = [(WEIGHTS_FIXED, fixed)]
    if not is_evaluated(suite):
        told += [(TRANSFERRED, blended - fixed), (TRANSFERRED_CALIBRATION, blended & fixed)]
    opening = protocol_term(protocol).meaning if is_evaluated(suite) else NOTHING_CHOSEN
    return " ".join([opening, *(line.format(", ".join(sorted(names))) for line, names in told if names)])


def _entry_parts(
    suite: SuiteTables, protocol: str, rankings: Rankings, entries: list[Entry], *, first_open: bool = False
) -> list[Details]:
    return [
        _entry_part(suite, protocol, rankings, entry, opened=first_open and place == 0)
        for place, entry in enumerate(entries)
    ]


def _entry_part(suite: SuiteTables, protocol: str, rankings: Rankings, entry: Entry, *, opened: bool) -> Details:
    """All there is about one entry; only the entry that stands open, and systems, are drawn."""
    drawn = opened or entry.kind == "system"
    blocks: list[Block] = machine_blocks(suite, protocol, entry, drawn=drawn)
    blocks += top_clip_tables(suite, rankings.get((protocol, entry), {}))
    blocks += score_chart(suite, protocol, entry, rankings) if drawn else []
    blocks += weight_blocks(suite, protocol, entry.name, entry.seed) if entry.kind == "system" else []
    summary = f"{entry_title(entry)} · {protocol}{_omega_of(suite, protocol, entry)}"
    return Details(summary, tuple(blocks), tag_of(suite, entry.kind, entry.name), opened)


def _omega_of(suite: SuiteTables, protocol: str, entry: Entry) -> str:
    found = [row.omega for row in suite.official if row.protocol == protocol and row.entry == entry]
    return f" · Ω {'undefined' if found[0] is None else f'{found[0]:.4f}'}" if found else ""
