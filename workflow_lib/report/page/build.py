"""Put the page together and write it, with its figures as files where asked for."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from workflow_lib.errors import UserError
from workflow_lib.files import replacing
from workflow_lib.forked import forked_map
from workflow_lib.report.charts.drawing import drawn, drawn_before, inline_svg
from workflow_lib.report.page.content import Chart, Section, charts_of
from workflow_lib.report.sections.overview import first_screen, glossary, provenance_section
from workflow_lib.report.sections.runtime import runtime_section
from workflow_lib.report.sections.studies import studies_section
from workflow_lib.report.sections.suite import suite_section
from workflow_lib.report.suite_tables import SuiteTables, read_suite

log = logging.getLogger(__name__)

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class ReportInputs:
    """What a page shows besides the tables of its suites; the mappings go from the name of a suite to a folder."""

    health: Mapping[str, Path] = field(default_factory=dict)  # health tables, of suites that have recordings
    clips: Mapping[str, Path] = field(default_factory=dict)  # illustrated clips, of suites that have recordings
    studies: Sequence[Path] = ()
    benchmarks: Path | None = None
    wrong_clips: int = 3  # of each kind and machine


def build_report(
    suites: Mapping[str, Path],
    output_html: Path,
    *,
    title: str,
    provenance: Mapping[str, str],
    figures: Path | None = None,
    inputs: ReportInputs | None = None,
    workers: int = 1,
) -> None:
    """Write one self-contained page about `suites` ({name: tables folder}); `figures` gets each chart as SVG and PNG.

    `workers` processes draw the charts. The same arguments give the same bytes, whatever the workers, but for the
    section on run time, which is read from the benchmarks.
    UserError names the table, line and column at fault.
    """
    if not suites:
        raise UserError("report: no suite given; name at least one suite with its tables")
    tables = [read_suite(name, Path(folder)) for name, folder in suites.items()]
    keys = dict(zip(suites, _unique(f"suite-{_file_name(name)}" for name in suites), strict=True))
    opening = first_screen(tables, keys)
    sections = [*_sections(tables, keys, inputs or ReportInputs()), provenance_section(provenance)]
    charts = list(charts_of([*opening, *sections]))
    forms = ("svg",) if figures is None else ("svg", "png")
    files = forked_map(lambda chart: {form: _drawn(chart, form) for form in forms}, charts, workers)
    for name, file in zip(_unique(_file_name(chart.name) for chart in charts), files, strict=True):
        for form, content in file.items():
            if figures is not None:
                _write_whole(Path(figures, f"{name}.{form}"), content)
    inline = {
        id(chart): inline_svg(file["svg"].decode("utf-8"), f"drawing{place}", chart.description)
        for place, (chart, file) in enumerate(zip(charts, files, strict=True), 1)
    }
    page = _html(inline, title=title, opening=opening, sections=sections)
    _write_whole(Path(output_html), page.encode("utf-8"))
    log.info("Report on %s with %d figures: %s", ", ".join(suites), len(charts), output_html)


def _sections(suites: Sequence[SuiteTables], keys: Mapping[str, str], inputs: ReportInputs) -> list[Section]:
    parts = [
        suite_section(
            suite, keys[suite.name], inputs.clips.get(suite.name), inputs.health.get(suite.name), inputs.wrong_clips
        )
        for suite in suites
    ]
    return [*parts, *studies_section(inputs.studies), glossary(), *runtime_section(inputs.benchmarks)]


def _html(inline: Mapping[int, Markup], **content: Any) -> str:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = (Markup((_FOLDER / name).read_text(encoding="utf-8")) for name in ("page.css", "page.js"))
    template = environment.get_template("page.html.j2")
    return template.render(
        style=style,
        script=script,
        drawing=lambda chart: inline[id(chart)],
        kind=lambda block: type(block).__name__.lower(),
        **content,
    )


def _drawn(chart: Chart, form: str) -> bytes:
    """A chart as svg or png."""
    if isinstance(chart.drawing, Path):
        return drawn_before(chart.drawing.with_suffix(f".{form}"))
    return drawn(chart.drawing, chart.title, form)


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        beside.write_bytes(content)


def _file_name(name: str) -> str:
    """Letters, digits, dots, underscores and dashes only: safe as a file name and as an anchor."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.") or "unnamed"


def _unique(names: Iterable[str]) -> list[str]:
    """The names with -2, -3 … after those that came before; case does not tell files apart everywhere."""
    taken: set[str] = set()
    found = []
    for name in names:
        free, number = name, 1
        while free.casefold() in taken:
            number += 1
            free = f"{name}-{number}"
        taken.add(free.casefold())
        found.append(free)
    return found
