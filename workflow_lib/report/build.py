"""Puts the page together and writes it, with the figures beside it where asked for."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from workflow_lib.errors import UserError
from workflow_lib.files import replacing
from workflow_lib.report.content import Block, Chart, Section, charts_of
from workflow_lib.report.drawing import inline_svg, to_png, to_svg
from workflow_lib.report.health import health_section
from workflow_lib.report.overview import first_screen, glossary, provenance_section
from workflow_lib.report.runtime import runtime_section
from workflow_lib.report.studies import studies_section
from workflow_lib.report.suite import suite_section
from workflow_lib.report.suite_tables import SuiteTables, read_suite

log = logging.getLogger(__name__)

_PAGE = Path(__file__).parent / "page"


@dataclass(frozen=True)
class Page:
    """The whole page before it is HTML."""

    title: str
    opening: tuple[Block, ...]
    sections: tuple[Section, ...]


@dataclass(frozen=True)
class Material:
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
    material: Material | None = None,
) -> None:
    """Writes one self-contained page about `suites` ({name: tables folder}); `figures` gets each chart as SVG and PNG.

    The same tables, title, provenance and material give the same bytes; of the material, only the benchmarks (the
    section on run time) change from run to run. UserError names the table, line and column at fault.
    """
    if not suites:
        raise UserError("report: no suite given; name at least one suite with its tables")
    tables = [read_suite(name, Path(folder)) for name, folder in suites.items()]
    page = _page(tables, title, provenance, material or Material())
    charts = list(charts_of([*page.opening, *page.sections]))
    drawings = dict(zip(_unique(_file_name(chart.name) for chart in charts), map(_drawn, charts), strict=True))
    numbered = enumerate(zip(charts, drawings.values(), strict=True), 1)
    if figures is not None:
        _write_figures(Path(figures), drawings)
    inline = {id(chart): _inline(f"drawing{place}", drawing) for place, (chart, drawing) in numbered}
    _write_whole(Path(output_html), _html(page, inline).encode("utf-8"))
    log.info("Report on %s with %d figures: %s", ", ".join(suites), len(charts), output_html)


def _page(suites: Sequence[SuiteTables], title: str, provenance: Mapping[str, str], material: Material) -> Page:
    anchors = _unique(f"suite-{_file_name(suite.name)}" for suite in suites)
    keys = dict(zip((suite.name for suite in suites), anchors, strict=True))
    parts = [_suite_part(suite, keys[suite.name], material) for suite in suites]
    last = (glossary(), *runtime_section(material.benchmarks), provenance_section(provenance))
    return Page(title, first_screen(suites, keys), (*parts, *studies_section(material.studies), *last))


def _suite_part(suite: SuiteTables, key: str, material: Material) -> Section:
    section = suite_section(suite, key, material.clips.get(suite.name), material.wrong_clips)
    if suite.name not in material.health:
        return section
    health = health_section(suite.name, Path(material.health[suite.name]), key)
    return replace(section, blocks=(*section.blocks, health))


def _drawn(chart: Chart) -> tuple[Chart, str]:
    if isinstance(chart.drawing, Path):
        return chart, _read(chart.drawing).decode("utf-8")
    return chart, to_svg(chart.drawing, chart.title)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as fault:
        raise UserError(f"{path}: cannot be read ({fault.strerror}): remove its folder and make it again") from None


def _inline(prefix: str, drawing: tuple[Chart, str]) -> Markup:
    chart, svg = drawing
    return inline_svg(svg, prefix, chart.description)


def _html(page: Page, inline: Mapping[int, Markup]) -> str:
    environment = Environment(
        loader=FileSystemLoader(_PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style, script = (Markup((_PAGE / name).read_text(encoding="utf-8")) for name in ("page.css", "page.js"))
    template = environment.get_template("page.html.j2")
    return template.render(page=page, style=style, script=script, drawing=lambda chart: inline[id(chart)])


def _write_figures(folder: Path, drawings: Mapping[str, tuple[Chart, str]]) -> None:
    for name, (chart, svg) in drawings.items():
        drawn = chart.drawing
        png = _read(drawn.with_suffix(".png")) if isinstance(drawn, Path) else to_png(drawn, chart.title)
        _write_whole(folder / f"{name}.svg", svg.encode("utf-8"))
        _write_whole(folder / f"{name}.png", png)


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
