"""Put the page together and write it, with its figures as files where asked for."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from workflow_lib.errors import UserError
from workflow_lib.files import replacing
from workflow_lib.report.charts.drawing import inline_svg, to_png, to_svg
from workflow_lib.report.page.content import Block, Chart, Section, charts_of
from workflow_lib.report.sections.health import health_section
from workflow_lib.report.sections.overview import first_screen, glossary, provenance_section
from workflow_lib.report.sections.runtime import runtime_section
from workflow_lib.report.sections.studies import studies_section
from workflow_lib.report.sections.suite import suite_section
from workflow_lib.report.suite_tables import SuiteTables, read_suite

log = logging.getLogger(__name__)

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Page:
    """The whole page before it is HTML."""

    title: str
    opening: tuple[Block, ...]
    sections: tuple[Section, ...]


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
) -> None:
    """Write one self-contained page about `suites` ({name: tables folder}); `figures` gets each chart as SVG and PNG.

    The same arguments give the same bytes, but for the section on run time, which is read from the benchmarks.
    UserError names the table, line and column at fault.
    """
    if not suites:
        raise UserError("report: no suite given; name at least one suite with its tables")
    tables = [read_suite(name, Path(folder)) for name, folder in suites.items()]
    page = _page(tables, title, provenance, inputs or ReportInputs())
    charts = list(charts_of([*page.opening, *page.sections]))
    svgs = [_svg(chart) for chart in charts]
    for name, chart, svg in zip(_unique(_file_name(chart.name) for chart in charts), charts, svgs, strict=True):
        if figures is not None:
            _write_whole(Path(figures, f"{name}.svg"), svg.encode("utf-8"))
            _write_whole(Path(figures, f"{name}.png"), _png(chart))
    inline = {
        id(chart): inline_svg(svg, f"drawing{place}", chart.description)
        for place, (chart, svg) in enumerate(zip(charts, svgs, strict=True), 1)
    }
    _write_whole(Path(output_html), _html(page, inline).encode("utf-8"))
    log.info("Report on %s with %d figures: %s", ", ".join(suites), len(charts), output_html)


def _page(suites: Sequence[SuiteTables], title: str, provenance: Mapping[str, str], inputs: ReportInputs) -> Page:
    anchors = _unique(f"suite-{_file_name(suite.name)}" for suite in suites)
    keys = dict(zip((suite.name for suite in suites), anchors, strict=True))
    parts = [_suite_part(suite, keys[suite.name], inputs) for suite in suites]
    last = (glossary(), *runtime_section(inputs.benchmarks), provenance_section(provenance))
    return Page(title, first_screen(suites, keys), (*parts, *studies_section(inputs.studies), *last))


def _suite_part(suite: SuiteTables, key: str, inputs: ReportInputs) -> Section:
    section = suite_section(suite, key, inputs.clips.get(suite.name), inputs.wrong_clips)
    if suite.name not in inputs.health:
        return section
    health = health_section(suite.name, Path(inputs.health[suite.name]), key)
    return replace(section, blocks=(*section.blocks, health))


def _html(page: Page, inline: Mapping[int, Markup]) -> str:
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
        page=page,
        style=style,
        script=script,
        drawing=lambda chart: inline[id(chart)],
        kind=lambda block: type(block).__name__.lower(),
    )


def _svg(chart: Chart) -> str:
    if isinstance(chart.drawing, Path):
        return _drawn_before(chart.drawing).decode("utf-8")
    return to_svg(chart.drawing, chart.title)


def _png(chart: Chart) -> bytes:
    if isinstance(chart.drawing, Path):
        return _drawn_before(chart.drawing.with_suffix(".png"))
    return to_png(chart.drawing, chart.title)


def _drawn_before(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as fault:
        raise UserError(f"{path}: cannot be read ({fault.strerror}): remove its folder and make it again") from None


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
