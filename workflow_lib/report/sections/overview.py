"""The first screen: what was run on what, what to be careful about, and the headline figures; and the last lines."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from workflow_lib.config.twins import twin_of
from workflow_lib.csv_rows import grouped
from workflow_lib.evaluation.evidence_rows import ModelRow, OfficialRow
from workflow_lib.fetch.licence import NO_WEIGHTS
from workflow_lib.plan.model_name import ModelName
from workflow_lib.report.page.cells import Cell, count, entry_label, number, text
from workflow_lib.report.page.content import Block, Card, Cards, Definitions, Notice, Prose, Section, Table, table
from workflow_lib.report.page.glossary import GLOSSARY, METRICS, NOT_EVALUATED, PROTOCOLS, UNTRAINED_HEADLINE
from workflow_lib.report.sections.entry_order import official_of, protocols_of
from workflow_lib.report.sections.recordings_and_models import clips_of, machines_of
from workflow_lib.report.sections.suite import is_evaluated
from workflow_lib.report.suite_tables import SuiteTables


def first_screen(suites: Sequence[SuiteTables], keys: Mapping[str, str]) -> tuple[Block, ...]:
    """Overview, headline figures and the notice on untrained models; `keys` are the anchors of the suites."""
    cards = [card for suite in suites for card in _cards(suite, keys[suite.name])]
    reading = (
        "Ω is the official score: 1 is perfect, about 0.5 is guessing. Each figure belongs to the protocol beside it; "
        "figures of different protocols answer different questions and are not to be compared."
    )
    notice, results = _untrained_notice(suites), (_overview_table(suites), Cards(tuple(cards)))
    # Where a figure does not rest on random weights, it comes before the notice about those that do.
    if any(not card.tag for card in cards):
        return (*results, *notice, Prose(reading))
    return (*notice, *results, Prose(reading))


def _untrained_notice(suites: Sequence[SuiteTables]) -> list[Block]:
    lines = [line for suite in suites for line in (_random_line(suite), _flagged_line(suite)) if line]
    remark = "Every row that depends on such a model carries the label “untrained”."
    return [Notice("untrained", UNTRAINED_HEADLINE, (*lines, remark))] if lines else []


def _random_line(suite: SuiteTables) -> str:
    """One line for all models of a suite with random weights, as the first screen has more to say; "" for none."""
    models = Counter(ModelName.parse(row.model).model for row in suite.models if row.trained == "no")
    names = ", ".join(map(_counted, sorted(models.items())))
    used = suite.random_branches
    reported = {row.name for row in (*suite.official, *suite.ranking) if row.kind == "branch"}
    branches = ", ".join(sorted(used & reported)) or "none that is reported"
    systems = sorted({w.system for w in suite.weights if w.branch in used and not twin_of(w.system)})
    blends = f"; systems that blend them: {', '.join(systems)}" if systems else ""
    verb, them = ("has", "it") if models.total() == 1 else ("have", "them")
    line = f"{names} {verb} random weights. Branches that use {them}: {branches}{blends}."
    return f"On {suite.name}, {line}" if names else ""


def _flagged_line(suite: SuiteTables) -> str:
    """Names that the tables call untrained although no model of models.csv explains it; "" without any."""
    explained = {("branch", branch) for branch in suite.random_branches}
    explained |= {("system", w.system) for w in suite.weights if w.branch in suite.random_branches}
    names = sorted(f"{kind} {name}" for kind, name in suite.untrained - explained)
    return f"On {suite.name}, also untrained: {', '.join(names)}." if names else ""


def _overview_table(suites: Sequence[SuiteTables]) -> Table:
    cells: dict[str, Callable[[SuiteTables], Cell]] = {
        "Suite": lambda suite: text(suite.name),
        "Result": lambda suite: text("evaluated" if is_evaluated(suite) else NOT_EVALUATED),
        "Training clips": lambda suite: count(clips_of(suite, "train")),
        "Test clips": lambda suite: count(clips_of(suite, "test")),
        "Machines": lambda suite: text(f"{len(machines_of(suite))}: {', '.join(machines_of(suite))}"),
        "Models": lambda suite: text(models_text(suite.models)),
    }
    return table("What was run", suites, cells)


def models_text(models: Iterable[ModelRow]) -> str:
    """'published: eat; adapted: dualmic (16 models)': with which models a suite was scored, by where they are from."""
    parts = []
    for origin, rows in sorted(grouped(models, _origin).items(), key=lambda item: ("untrained" in item[0], item[0])):
        families = Counter(ModelName.parse(row.model).model for row in rows)
        parts.append(f"{origin}: {', '.join(map(_counted, families.items()))}")
    return "; ".join(parts)


def _origin(row: ModelRow) -> str:
    """Adapted here, trained here, published, without weights, or any of these on random weights."""
    if row.trained == "no":
        return "adapted from untrained" if row.kind == "adapted" else "untrained"
    if row.licence == NO_WEIGHTS:
        return "no weights needed"
    known = {"autoencoder": "trained here", "frozen": "published", "external": "made elsewhere"}
    return known.get(row.kind, row.kind or "of unknown kind")


def _cards(suite: SuiteTables, key: str) -> list[Card]:
    if not is_evaluated(suite):
        clips = clips_of(suite, "test")
        counted = "" if clips is None else f", {clips} test clips"
        detail = f"{len(machines_of(suite))} machines{counted}: see the most anomalous ones"
        return [Card(suite.name, "Ranked", NOT_EVALUATED, detail=detail, target=key)]
    found = ((name, official_of(suite, name)) for name in protocols_of(suite))
    cards = [_card(suite, f"{key}-{protocol}", rows) for protocol, rows in found if rows]
    return sorted(cards, key=lambda card: card.tag != "")  # first the protocols that have an entry without such models


def _card(suite: SuiteTables, target: str, rows: Sequence[OfficialRow]) -> Card:
    """The largest Ω of one protocol, of entries without untrained models if there are any; what holds it back."""
    best = rows[0]
    alike = [row for row in rows if suite.is_untrained(row) == suite.is_untrained(best)]
    of = f"{len(alike)} that are not untrained" if len(alike) < len(rows) else f"{len(rows)}"
    return Card(
        scope=f"{suite.name} · {best.protocol}",
        figure=f"Ω {number(best.omega).text}",
        label=f"{entry_label(best.entry)} ({best.kind})",
        tag=suite.tag(best.kind, best.name),
        detail="no entry has an Ω" if best.omega is None else f"largest of {of}{_weakest(suite, best)}",
        target=target,
    )


def _weakest(suite: SuiteTables, best: OfficialRow) -> str:
    rows = [row for row in suite.machines if (row.protocol, row.entry) == (best.protocol, best.entry)]
    metrics = [metric for metric in METRICS if metric != "harmonic_mean"]
    figures = [(getattr(row, metric), row.machine, METRICS[metric]) for row in rows for metric in metrics]
    known = [figure for figure in figures if figure[0] is not None]
    return "; weakest figure: {2} of {1}, {0:.4f}".format(*min(known)) if known else ""


def glossary() -> Section:
    """Words and protocols."""
    protocols = [(f"{term.title} ({name})", term.meaning) for name, term in PROTOCOLS.items()]
    named = Prose("Protocols: which machines chose what.")
    return Section("glossary", "Words and figures", (Definitions(GLOSSARY), named, Definitions(tuple(protocols))))


def provenance_section(provenance: Mapping[str, str]) -> Section:
    """Where the page comes from, as the caller gives it."""
    cells: dict[str, Callable[[tuple[str, str]], Cell]] = {
        "Item": lambda item: text(item[0]),
        "Value": lambda item: text(item[1]),
    }
    return Section("provenance", "Provenance", (table("What made this page", provenance.items(), cells),))


def _counted(named: tuple[str, int]) -> str:
    name, models = named
    return name if models == 1 else f"{name} ({models} models)"
