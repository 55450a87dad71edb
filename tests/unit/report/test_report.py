"""The report: every number from the tables with its protocol, in one page that needs nothing else."""

import csv
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.figure
import numpy as np
import pytest
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from PIL import Image
from report_example import (
    HEADERS,
    MACHINES,
    ODD,
    Example,
    Scores,
    adapted_models,
    bare_example,
    drawn_scores,
    labelled_example,
    small_example,
    unlabelled_example,
)

from workflow_lib.errors import UserError
from workflow_lib.evaluation import FIXED_WEIGHTS
from workflow_lib.evaluation.evidence_rows import EQUAL_WEIGHTS, NORMAL_CALIBRATION
from workflow_lib.report import build_report
from workflow_lib.report.charts.drawing import drawn, evenly, inline_svg
from workflow_lib.report.charts.title import wrapped
from workflow_lib.report.page.cells import Cell, number
from workflow_lib.report.page.glossary import (
    NOT_EVALUATED,
    NOTHING_CHOSEN,
    OWN_CALIBRATION,
    TRANSFERRED,
    TRANSFERRED_CALIBRATION,
    TRANSFERRED_WEIGHTS,
    TWINS,
    UNTRAINED_BASE,
    UNTRAINED_HEADLINE,
    UNTRAINED_READING,
    UNTRAINED_SECTION,
    WEIGHTS_EQUAL,
    WEIGHTS_FIXED,
)
from workflow_lib.report.sections.entry_order import by_omega
from workflow_lib.report.sections.ranking import omega_table
from workflow_lib.report.suite_tables import read_suite
from workflow_lib.scoring.result import one_protocol

VOID = {"meta", "link", "br", "hr", "img", "input"}
PROVENANCE = {"Code version": "0.1.0", "Config digest": "0123abcd"}


class Parsed(HTMLParser):
    """The page as a reader has it: tables with their cells, ids, links and text; unbalanced elements are an error."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.tables: list[dict] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.elements.append((tag, values))
        self.ids += [values["id"]] if "id" in values else []
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append({"protocol": values.get("data-protocol"), "caption": "", "rows": []})
        elif tag == "tr":
            self.tables[-1]["rows"].append([])
        elif tag in ("td", "th"):
            self.tables[-1]["rows"][-1].append(
                {"text": "", "value": values.get("data-value"), "scope": values.get("scope")}
            )

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open or "script" in self.open:
            return
        self.text += data
        if "caption" in self.open:
            self.tables[-1]["caption"] += data
        elif "td" in self.open or "th" in self.open:
            self.tables[-1]["rows"][-1][-1]["text"] += data

    def drawings(self, words: str = "") -> list[str]:
        """What screen readers say of the drawings that have the words."""
        return [v["aria-label"] for tag, v in self.elements if tag == "svg" and words in v["aria-label"]]

    def table(self, *words: str) -> dict:
        """The one table whose caption has all the words."""
        found = [table for table in self.tables if all(word in table["caption"] for word in words)]
        assert len(found) == 1, f"{len(found)} tables with {words}"
        return found[0]

    def rows(self, *words: str) -> list[dict[str, dict]]:
        """Rows of the one table with the words, by the heads of their columns."""
        head, *rows = self.table(*words)["rows"]
        return [dict(zip((cell["text"] for cell in head), row, strict=True)) for row in rows]


def report(tmp_path: Path, *examples: Example, figures: bool = False, name: str = "report") -> str:
    folders = {example.suite: example.write(tmp_path / name / str(place)) for place, example in enumerate(examples)}
    page = tmp_path / name / "report.html"
    target = tmp_path / name / "figures" if figures else None
    build_report(folders, page, title="Example & more", provenance=PROVENANCE, figures=target)
    return page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> tuple[Path, str]:
    """A report on a labelled suite with an untrained model and on an unlabelled suite."""
    folder = tmp_path_factory.mktemp("full")
    return folder, report(folder, labelled_example(untrained=True), unlabelled_example(), figures=True)


@pytest.fixture(scope="module")
def page(full) -> Parsed:
    return Parsed(full[1])


def table_rows(folder: Path, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / f"{name}.csv").read_text(encoding="utf-8").splitlines()))


# --- one page that needs nothing else -----------------------------------------------------------------------------


def test_page_refers_to_nothing_outside_itself(full, page):
    for tag, values in page.elements:
        for name in ("src", "href", "xlink:href", "srcset", "data", "action", "poster"):
            assert re.match(r"(#|data:)", values.get(name, "#")), f"<{tag} {name}={values[name]!r}>"
    assert not re.search(r"https?://|@import|@font-face|//cdn", full[1])
    assert not re.search(r"url\((?!#)", full[1])
    # Its own policy forbids it, too.
    (policy,) = [values["content"] for _, values in page.elements if "Content-Security-Policy" in values.values()]
    assert policy.startswith("default-src 'none'")


def test_ids_are_unique_and_every_reference_inside_the_page_has_its_target(full, page):
    assert len(page.ids) == len(set(page.ids))
    for _, values in page.elements:
        for name in ("href", "aria-labelledby"):
            if not values.get(name, "data:").startswith("data:"):
                assert values[name].lstrip("#") in page.ids
    assert set(re.findall(r"url\(#([^)]*)\)", full[1])) <= set(page.ids)


def test_tables_have_captions_scopes_and_sort_buttons(page):
    assert len(page.tables) > 10
    for table in page.tables:
        head, *rows = table["rows"]
        assert table["caption"].strip()
        assert {cell["scope"] for cell in head} == {"col"}
        assert all([cell["scope"] for cell in row].count("row") == 1 for row in rows)
    heads = sum(len(table["rows"][0]) for table in page.tables)
    assert sum(tag == "button" and "data-sort" in values for tag, values in page.elements) == heads
    assert sum(values.get("aria-sort") == "none" for _, values in page.elements) == heads
    assert ("a", {"class": "skip", "href": "#main"}) in page.elements


def test_same_tables_give_the_same_bytes(tmp_path):
    examples = (trained_example(adapted_models(), steps=60, withheld=40), unlabelled_example(machines=["pump"]))
    assert len({report(tmp_path, *examples, figures=True, name=name) for name in ("here", "elsewhere")}) == 1
    first, second = tmp_path / "here" / "figures", tmp_path / "elsewhere" / "figures"
    names = sorted(path.name for path in first.iterdir())
    assert names == sorted(path.name for path in second.iterdir())
    assert "demo-training.png" in names
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)


def test_every_chart_is_in_the_page_and_in_two_files(full):
    figures = full[0] / "report" / "figures"
    names = {path.stem for path in figures.glob("*.svg")}
    assert names == {path.stem for path in figures.glob("*.png")}
    assert full[1].count('<svg role="img" aria-label="') == len(names)
    assert {
        "demo-cross_fitted-omega",
        "demo-cross_fitted-Dual-13711-machines",
        "plant-complete_dev-Dual-scores",
    } <= names
    assert not list(figures.glob(".*"))


SVG = "{http://www.w3.org/2000/svg}"


def drawn_words(path: Path) -> tuple[str, str]:
    """Title of an SVG file and all that is written in its drawing."""
    root = ElementTree.parse(path).getroot()
    return root.find(f"{SVG}title").text, " ".join(text.text or "" for text in root.iter(f"{SVG}text"))


def test_every_drawing_says_by_itself_whose_numbers_it_shows(full):
    files = sorted((full[0] / "report" / "figures").glob("*.svg"))
    assert len(files) >= 10
    for path in files:
        suite, protocol, *entry = path.stem.split("-")
        title, drawn = drawn_words(path)
        assert title in drawn or all(word in drawn.split() for word in title.split()), path.name
        assert f"suite {suite}, protocol {protocol}" in title
        if entry[0] != "omega":
            assert f"{entry[0]}" in title
            assert ("(untrained)" in title) == (suite == "demo" and entry[0] in ("Dual", "eat"))
        with Image.open(path.with_suffix(".png")) as picture:
            assert picture.info["Title"] == title


def test_marks_are_explained_where_they_are_used(full, tmp_path):
    figures = full[0] / "report" / "figures"
    _, drawn = drawn_words(figures / "demo-cross_fitted-omega.svg")
    assert {"filled: system", "hollow: branch", "grey: untrained", "line: interval"} <= set(
        re.findall(r"\w+: \w+", drawn)
    )
    report(tmp_path, small_example(), figures=True)
    _, drawn = drawn_words(tmp_path / "report" / "figures" / "demo-cross_fitted-omega.svg")
    assert "hollow: branch" in drawn and "grey" not in drawn


def test_long_titles_are_wrapped_and_long_names_cut_to_the_width():
    name = "machine_" * 16
    lines = wrapped(f"System {name}, suite demo, protocol complete_dev", 300)
    assert "".join(lines).replace(" ", "") == f"System{name},suitedemo,protocolcomplete_dev"
    assert len(lines) > 3
    for line in lines:
        assert TextPath((0, 0), line, size=9, prop=FontProperties(family="DejaVu Sans")).get_extents().width <= 300


def test_a_drawing_in_the_page_keeps_its_words_and_no_idle_ids(full):
    svgs = re.findall(r"<svg.*?</svg>", full[1], re.DOTALL)
    for svg in svgs:
        assert all(f"#{name}" in svg for name in re.findall(r' id="([^"]+)"', svg))
        assert not re.search(r' (d|x|y)="[^"]*\.\d{3}', svg)
    figure = matplotlib.figure.Figure()
    figure.text(0.123456, 0.5, '0.123456 x="0.123456"')
    assert '>0.123456 x="0.123456"<' in inline_svg(drawn(figure, "t", "svg").decode(), "p", "d")


# --- numbers and protocols ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["complete_dev", "cross_fitted"])
def test_ranking_shows_the_official_scores_best_first(full, page, protocol):
    told = page.rows("Ranking by Ω, suite demo", f"protocol {protocol}")
    wanted = [row for row in table_rows(full[0] / "report" / "0", "official") if row["protocol"] == protocol]
    wanted.sort(key=lambda row: (row["untrained"] == "yes", -float(row["omega"])))  # untrained ones after all others
    assert [row["Place"]["text"] for row in told] == ["1", "2", "3", "4"]
    assert [row["Ω"]["value"] for row in told] == [row["omega"] for row in wanted]
    assert [row["Ω"]["text"] for row in told] == [f"{float(row['omega']):.4f}" for row in wanted]
    assert [row["System or branch"]["text"].split()[0] for row in told] == [row["name"] for row in wanted]
    assert [row["Seed"]["text"] for row in told] == [row["seed"] or "\u2013" for row in wanted]


def test_machine_tables_show_all_figures_of_the_table(full, page):
    titles = ("Source AUC", "Target AUC", "pAUC", "Harmonic mean")
    columns = ("source_auc", "target_auc", "pauc", "harmonic_mean")
    for row in table_rows(full[0] / "report" / "0", "machines"):
        label = f"{row['name']}, seed {row['seed']}" if row["seed"] else row["name"]
        rows = page.rows(f"{label} by machine, suite demo", f"protocol {row['protocol']}")
        told = next(line for line in rows if line["Machine"]["text"].split()[0] == row["machine"])
        assert [told[title]["value"] for title in titles] == [row[column] for column in columns]
        assert [told[title]["text"] for title in titles] == [f"{float(row[column]):.4f}" for column in columns]


def test_weights_and_calibration_are_shown_for_every_fold(page):
    weights = page.rows("System Dual, seed 13711: fusion weights", "cross_fitted")
    assert [row["Held out"]["text"].split()[0] for row in weights] == list(MACHINES)
    assert {(row["ae"]["text"], row["eat"]["text"], row["Ω where chosen"]["text"]) for row in weights} == {
        ("0.70", "0.30", "0.5875")
    }
    calibration = page.rows("System Dual, seed 13711: calibration", "cross_fitted")
    told = {(row["Branch"]["text"].split()[0], row["Median"]["value"], row["IQR"]["value"]) for row in calibration}
    assert told == {("ae", "9.25", "1.375"), ("eat", "10.25", "1.5")}


def test_every_table_with_scores_names_its_one_protocol(full, page):
    of_value: dict[str, set[str]] = {}
    for table, column in (("machines", "harmonic_mean"), ("official", "omega")):
        for row in table_rows(full[0] / "report" / "0", table):
            of_value.setdefault(row[column], set()).add(row["protocol"])
    seen = 0
    for table in page.tables:
        values = {cell["value"] for row in table["rows"] for cell in row} & set(of_value)
        if values:
            assert set.intersection(*(of_value[value] for value in values)) == {table["protocol"]}
            assert f"protocol {table['protocol']}" in table["caption"]
            seen += 1
    assert seen == 10  # two rankings and, for four entries under two protocols, the machines


def test_rows_of_two_protocols_refuse_to_share_a_table(tmp_path):
    suite = read_suite("demo", labelled_example().write(tmp_path))
    with pytest.raises(UserError, match="holds one protocol, not complete_dev and cross_fitted"):
        omega_table(suite, by_omega(suite.official))
    assert one_protocol(["cross_fitted"] * 3) == "cross_fitted"


def test_headline_gives_the_best_entry_of_each_protocol(full, page):
    rows = table_rows(full[0] / "report" / "0", "official")
    opening = page.text[: page.text.index("Ω is the official score")]
    for protocol in ("complete_dev", "cross_fitted"):
        known = [row for row in rows if row["protocol"] == protocol and row["untrained"] == "no"]
        best = max(float(row["omega"]) for row in known)
        assert re.search(rf"demo · {protocol}\s+Ω {best:.4f}", opening)
        assert f"largest of {len(known)} that are not untrained" in opening


def test_a_system_stands_before_the_branch_that_it_consists_of(tmp_path):
    example = Example("demo")
    for kind, name in (("branch", "alone"), ("system", "Alone")):
        example.entry("cross_fitted", kind, name, {"fan": drawn_scores("fan", 3, 1.0)})
    page = Parsed(report(tmp_path, example))
    assert [row["System or branch"]["text"] for row in page.rows("Ranking by Ω")] == ["Alone", "alone"]
    assert "Alone (system)" in page.text


@pytest.mark.parametrize("ahead", ["branch", "system"])
def test_a_branch_ahead_of_all_systems_is_pointed_out(tmp_path, ahead):
    example = Example("demo")
    for kind in ("branch", "system"):
        gain = 2.0 if kind == ahead else 0.1
        example.entry("cross_fitted", kind, kind, {"fan": drawn_scores("fan", 3, gain)})
    remark = "A single branch is ahead of every system"
    assert (remark in report(tmp_path, example)) == (ahead == "branch")


def test_equal_scores_have_the_same_place(tmp_path):
    example = Example("demo")
    for name, omega in (("a", 0.5), ("b", 0.75), ("c", 0.75), ("d", None), ("e", 0.625), ("f", 0.5)):
        example.add("official", "complete_dev", "branch", name, "", "no", 3, omega)
    told = Parsed(report(tmp_path, example)).rows("Ranking by Ω")
    places = [(row["System or branch"]["text"], row["Place"]["text"]) for row in told]
    assert places == [("b", "1"), ("c", "1"), ("e", "3"), ("a", "4"), ("f", "4"), ("d", "\u2013")]


# --- who chose the weights ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["complete_dev", "cross_fitted"])
def test_no_machine_is_said_to_have_chosen_fixed_weights(tmp_path, protocol):
    example = small_example(protocols=[protocol])
    example.add("notes", "Dual", "", "", FIXED_WEIGHTS)
    page = Parsed(report(tmp_path, example))
    assert WEIGHTS_FIXED.format("Dual") in page.text
    fixed = page.table("System Dual, seed 13711: fusion weights")
    chosen = page.table("System NearMah: fusion weights")
    assert [cell["text"] for cell in fixed["rows"][0]][-1] == "Ω where calibrated"
    assert [cell["text"] for cell in chosen["rows"][0]][-1] == "Ω where chosen"
    assert f"{FIXED_WEIGHTS.capitalize()}. “Ω where calibrated”" in page.text


def test_a_twin_has_a_readable_name_its_figures_and_no_charts_of_its_own(tmp_path):
    example = small_example()
    example.entry("cross_fitted", "system", "Dual@equal", {"fan": drawn_scores("fan", 9, 1.4)}, seed="13711")
    example.weights("cross_fitted", "Dual@equal", {"fan": {"ae": 0.5, "eat": 0.5}}, seed="13711")
    page = Parsed(report(tmp_path, example, figures=True))
    drawn_of_dual = [path.name for path in (tmp_path / "report" / "figures").glob("*Dual*.svg")]
    assert drawn_of_dual and not [name for name in drawn_of_dual if "equal" in name]
    assert "@equal" not in page.text and "Dual, equal weights" in page.text
    named = {row["System or branch"]["text"] for row in page.rows("Ranking by Ω")}
    assert {"Dual", "Dual, equal weights"} <= named
    pairs = [(row["System"]["text"], row["compared with"]["text"]) for row in page.rows("Differences between systems")]
    of_twin = [pair for pair in pairs if "Dual, equal weights, seed 13711" in pair]
    assert [b for _, b in of_twin] == ["ae (branch)", "Dual, seed 13711"]
    assert ("NearMah", "Dual, equal weights, seed 13711") not in pairs and len(pairs) > len(of_twin)
    assert page.table("System Dual, equal weights, seed 13711 by machine")
    tables = [table["caption"] for table in page.tables]
    assert not [caption for caption in tables if "Dual, equal weights, seed 13711: fusion weights" in caption]
    assert TWINS.format("Dual") in page.text and "The branches of Dual" not in page.text


@pytest.mark.parametrize(
    ("notes", "present", "absent"),
    [
        ([EQUAL_WEIGHTS], [WEIGHTS_EQUAL, TRANSFERRED_CALIBRATION], [TRANSFERRED, TRANSFERRED_WEIGHTS]),
        ([NORMAL_CALIBRATION], [OWN_CALIBRATION, TRANSFERRED_WEIGHTS], [TRANSFERRED, TRANSFERRED_CALIBRATION]),
        (
            [EQUAL_WEIGHTS, NORMAL_CALIBRATION],
            [WEIGHTS_EQUAL, OWN_CALIBRATION],
            [TRANSFERRED, TRANSFERRED_WEIGHTS, TRANSFERRED_CALIBRATION],
        ),
    ],
)
def test_only_what_other_machines_chose_is_called_taken_over(tmp_path, notes, present, absent):
    example = unlabelled_example(machines=["pump"])
    for note in notes:
        example.add("notes", "Dual", "", "", note)
    page = Parsed(report(tmp_path, example))
    assert all(line.format("Dual") in page.text for line in present)
    assert not [line for line in absent if line.format("Dual") in page.text]
    assert ("Calibration of the branches" in page.text) == (NORMAL_CALIBRATION not in notes)


def test_chosen_weights_are_not_called_fixed_and_transferred_ones_are_said_to_be_so(full, page):
    assert TRANSFERRED.format("Dual") in page.text
    assert "fixed by the configuration: no machine" not in full[1]
    assert "Ω where calibrated" not in full[1]


def test_fixed_weights_of_an_unlabelled_suite_take_only_the_calibration_over(tmp_path):
    example = unlabelled_example(machines=["pump"])
    example.add("notes", "Dual", "", "", FIXED_WEIGHTS)
    text = Parsed(report(tmp_path, example)).text
    assert f"{WEIGHTS_FIXED.format('Dual')} {TRANSFERRED_CALIBRATION.format('Dual')}" in text
    assert TRANSFERRED.format("Dual") not in text
    example.rows["weights"] = []  # nothing was transferred then
    text = Parsed(report(tmp_path, example)).text
    assert NOTHING_CHOSEN in text
    assert "labelled machines" not in text


def test_the_note_on_fixed_weights_of_an_untrained_system_says_untrained(tmp_path):
    example = small_example(untrained=True)
    example.rows["notes"] = []
    example.add("notes", "Dual", "", "", FIXED_WEIGHTS)
    assert Parsed(report(tmp_path, example)).table("Notes on demo")["rows"][1][0]["text"].endswith(" untrained")


# --- clips that are not known -------------------------------------------------------------------------------------


def test_what_is_not_known_of_the_clips_is_a_dash_and_never_zero(tmp_path):
    example = bare_example("mine", "pump")
    example.add("clips", "pump", "test", "source", "normal", 25, "", "", "", "")
    page = Parsed(report(tmp_path, example))
    overview = page.rows("What was run")[0]
    assert [overview[head]["text"] for head in ("Training clips", "Test clips")] == ["\u2013", "25"]
    clips = page.rows("Clips of mine")[0]
    assert [clips[head]["text"] for head in ("Channels", "Rate", "Length")] == ["\u2013"] * 3


def test_recordings_without_a_test_clip_count_zero_of_them(tmp_path):
    example = small_example()
    example.rows["clips"] = [row for row in example.rows["clips"] if row[2] == "train"]
    overview = Parsed(report(tmp_path, example)).rows("What was run")[0]
    assert [overview[head]["text"] for head in ("Training clips", "Test clips")] == ["100", "0"]


# --- untrained ----------------------------------------------------------------------------------------------------


def test_untrained_models_are_announced_on_the_first_screen(page):
    text = page.text
    results = text.index("What was run"), text.index("demo · cross_fitted")
    notice = text[text.index(UNTRAINED_HEADLINE) : text.index("Ω is the official score")]
    assert max(results) < text.index(UNTRAINED_HEADLINE)  # what does not rest on random weights leads
    assert "eat has random weights" in notice
    assert "Branches that use it: eat" in notice
    assert "systems that blend them: Dual" in notice


def test_many_untrained_models_are_one_line_so_that_the_results_stay_on_the_first_screen(tmp_path):
    example = small_example(untrained=True)
    for model in adapted_models(["fan"], [7]):
        example.add("models", model, "adapted", "no", "on random weights", "ef" * 32, "ae", "MIT")
    text = Parsed(report(tmp_path, example)).text
    assert text.count("have random weights") == 1
    assert "dualmic (2 models), eat have random weights. Branches that use them: ae, eat;" in text


def test_every_row_that_depends_on_an_untrained_model_says_so(page):
    for protocol in ("complete_dev", "cross_fitted"):
        ranking = page.rows("Ranking by Ω, suite demo", f"protocol {protocol}")
        names = {row["System or branch"]["text"] for row in ranking}
        assert names == {"ae", "NearMah", "eat untrained", "Dual untrained"}
        for label, tag in (("Dual, seed 13711", True), ("eat, seed 13711", True), ("ae", False), ("NearMah", False)):
            rows = page.table(f"{label} by machine, suite demo", f"protocol {protocol}")["rows"][1:]
            assert [row[0]["text"].endswith(" untrained") for row in rows] == [tag] * len(MACHINES)
    weights = page.table("System Dual, seed 13711: fusion weights", "cross_fitted")["rows"][1:]
    assert all(row[0]["text"].endswith(" untrained") for row in weights)
    assert page.rows("Models of demo")[1]["Model"]["text"] == "eat untrained"
    assert page.table("Notes on demo")["rows"][1][0]["text"].endswith(" untrained")


def test_all_that_is_untrained_stands_in_one_section_after_the_rest(page):
    text = page.text
    apart = text.index(UNTRAINED_READING)
    for protocol in ("complete_dev", "cross_fitted"):
        for label in ("Branch ae", "System NearMah"):
            assert text.index(f"{label} · {protocol} · Ω") < apart
        for label in ("Branch eat, seed 13711", "System Dual, seed 13711"):
            assert apart < text.index(f"{label} · {protocol} · Ω") < text.index("Suite plant", apart)
        assert f"Machine by machine, System NearMah, protocol {protocol}." in text
    assert text.index("Notes on demo") < apart
    assert text.count(UNTRAINED_SECTION) == 2  # in the contents and as a heading


def test_a_protocol_with_untrained_entries_alone_is_shown_whole_after_the_others(tmp_path):
    example = small_example(untrained=True)
    for kind, name, gain in (("system", "Wide", 3.0), ("branch", "eat", 2.0)):
        example.entry("complete_dev", kind, name, {"fan": drawn_scores("fan", 9, gain)}, untrained="yes")
    text = Parsed(report(tmp_path, example)).text
    apart = text.index(UNTRAINED_READING)
    assert text.index("Ranking by Ω, suite demo, protocol cross_fitted") < apart
    assert apart < text.index("Ranking by Ω, suite demo, protocol complete_dev")
    assert apart < text.index("Machine by machine, System Wide, protocol complete_dev.")
    assert text.index("demo · cross_fitted") < text.index("demo · complete_dev")  # the headline figures


def test_without_any_other_entry_the_untrained_ones_have_the_page(tmp_path):
    example = Example("demo")
    for kind, name in (("branch", "eat"), ("system", "Dual")):
        example.entry("complete_dev", kind, name, {"fan": drawn_scores("fan", len(name), 1.0)}, untrained="yes")
    example.add("models", "eat", "frozen", "no", "", "", "eat", "")
    text = Parsed(report(tmp_path, example)).text
    assert UNTRAINED_READING not in text
    assert text.index(UNTRAINED_HEADLINE) < text.index("demo · complete_dev")
    assert "largest of 2; weakest" in text
    assert "Machine by machine, System Dual, protocol complete_dev." in text


@pytest.mark.parametrize("trained", ["no", "yes"])
def test_the_training_of_untrained_models_is_shown_with_them(tmp_path, trained):
    example = small_example(untrained=True)
    example.training("dualmic@full-seed7")
    example.add("models", "dualmic@full-seed7", "adapted", trained, "", "", "", "")
    page = Parsed(report(tmp_path, example))
    assert page.rows("Training of adapted models")[0]["Model"]["text"].startswith("dualmic@full-seed7")
    apart, shown = map(page.text.index, (UNTRAINED_READING, "Training of adapted models, suite demo"))
    assert (apart < shown) == (trained == "no")


def test_a_labelled_suite_of_trained_models_has_no_alarm_no_top_clips_and_no_training(tmp_path):
    page = report(tmp_path, small_example(), figures=True)
    assert UNTRAINED_HEADLINE not in page
    assert 'class="tag"' not in page
    assert "(untrained)" not in page
    assert "most anomalous clips by" not in page
    assert "Training of adapted models" not in Parsed(page).text
    assert not list((tmp_path / "report" / "figures").glob("*training*"))


def test_one_table_that_says_untrained_is_enough(tmp_path):
    example = small_example()
    example.rows["models"][1][3] = "no"
    page = Parsed(report(tmp_path, example))
    names = {row["System or branch"]["text"] for row in page.rows("Ranking by Ω", "cross_fitted")}
    assert names == {"ae", "NearMah", "eat untrained", "Dual untrained"}


# --- training of adapted models -----------------------------------------------------------------------------------


def trained_example(models: Sequence[str] = ("dualmic@full-seed7",), steps: int = 6, withheld: int = 0) -> Example:
    """The small example with the logs of adapted models."""
    example = small_example()
    for level, model in enumerate(models):
        example.training(model, steps, level=1.0 + level / 8, withheld=withheld)
    return example


def training_svg(folder: Path) -> str:
    return (folder / "report" / "figures" / "demo-training.svg").read_text(encoding="utf-8")


def test_training_is_shown_as_figure_and_table(tmp_path):
    models = adapted_models(machines := (*MACHINES, "valve"))
    example = trained_example(models, steps=40, withheld=40)
    page = Parsed(report(tmp_path, example, figures=True))
    assert (tmp_path / "report" / "figures" / "demo-training.png").is_file()
    svg = training_svg(tmp_path)
    assert all(words in svg for words in ("dualmic, seed 13711", "dualmic, seed 2026", "full", "median", "chance"))
    told = page.rows("Training of adapted models, suite demo")
    assert [row["Model"]["text"] for row in told] == models
    assert {row["Seed"]["text"] for row in told} == {"13711", "2026"}
    assert [row["Held out"]["text"] for row in told[::2]] == ["none", *machines]
    assert {(row["Steps"]["text"], row["Epochs"]["text"]) for row in told} == {("40", "2")}
    assert "Training of adapted models" in page.text[page.text.index("Models of demo") :]
    (drawn,) = page.drawings("the training")
    assert "dualmic, seed 2026: 5 models, median loss from" in drawn


def test_the_table_of_training_gives_first_and_last_tenth_and_the_last_epoch(tmp_path):
    example = trained_example(["dualmic@without-ToyCar+fan-seed7"], steps=40, withheld=40)
    (row,) = Parsed(report(tmp_path, example)).rows("Training of adapted models")
    losses = [cells[5] for cells in example.rows["training"]]
    assert float(row["First loss"]["value"]) == pytest.approx(np.mean(losses[:4]))
    assert float(row["Last loss"]["value"]) == pytest.approx(np.mean(losses[-4:]))
    last = example.rows["validation"][-1]
    titles = ("Withheld clips", "Chance", "Attribute accuracy", "Machine accuracy", "Domain accuracy")
    assert [float(row[title]["value"]) for title in titles] == [last[3], last[4], *last[6:]]
    assert (row["Held out"]["text"], row["Clips per second"]["value"]) == ("ToyCar, fan", "12.0")


def test_nothing_withheld_is_said_and_left_undrawn(tmp_path):
    page = Parsed(report(tmp_path, trained_example(), figures=True))
    (row,) = page.rows("Training of adapted models")
    for title in ("Withheld clips", "Attribute accuracy", "Machine accuracy", "Domain accuracy", "Chance"):
        assert (row[title]["text"], row[title]["value"]) == ("\u2013", None)
    assert "No clips were withheld" in page.text
    assert "chance" not in training_svg(tmp_path)


def test_one_model_of_two_with_withheld_clips_has_its_own_panel(tmp_path):
    example = trained_example(withheld=40)
    example.training("other@full-seed7")
    report(tmp_path, example, figures=True)
    assert "no clips withheld" in training_svg(tmp_path)


@pytest.mark.parametrize("trained", ["no", "yes", "unknown"])
def test_an_untrained_base_is_named_in_table_caption_and_figure(tmp_path, trained):
    example = trained_example(["dualmic@full-seed7", "dualmic@without-ToyCar+fan-seed7"])
    example.add("models", "dualmic@full-seed7", "adapted", trained, "", "", "", "")
    page = Parsed(report(tmp_path, example, figures=True))
    name = "Training of adapted models"
    told = [page.table(name)["caption"], training_svg(tmp_path), *page.drawings("the training")]
    told.append(page.text[page.text.index("loss by optimiser step") :])
    told += [row["Model"]["text"] for row in page.rows(name)]  # the pair scored nothing, but has the same base
    assert len(told) == 6
    assert [UNTRAINED_BASE in words for words in told] == [trained == "no"] * len(told)


@pytest.mark.parametrize("steps", [1, 2, 350])
def test_many_models_stay_small_and_short_runs_are_drawn(tmp_path, steps):
    pairs = [f"m{first:02d}+m{second:02d}" for first in range(7) for second in range(first)]
    models = adapted_models([f"m{place:02d}" for place in range(7)] + pairs)
    assert len(models) == 58
    page = report(tmp_path, trained_example(models, steps=steps, withheld=40))
    assert len(Parsed(page).rows("Training of adapted models")) == 58
    assert len(page) < 500_000


def test_names_of_lines_that_end_together_are_pushed_apart_within_the_panel():
    from workflow_lib.report.charts.training_curves import _LABEL_GAP, _apart

    for heights in ([0.02, 0.02, 0.03, 0.5], [0.9, 0.98, 0.99, 1.0], [-0.5, 2.0]):
        moved = _apart(heights)
        assert min(moved) >= 0 and max(moved) <= 1
        assert np.diff(moved).min() >= _LABEL_GAP - 1e-9


# --- suites of other kinds ----------------------------------------------------------------------------------------


def test_unlabelled_suite_shows_the_most_anomalous_clips_and_no_scores(full, page):
    assert NOT_EVALUATED in page.rows("What was run")[1]["Result"]["text"]
    rows = table_rows(full[0] / "report" / "1", "ranking")
    for machine in ("pump", "blower"):
        wanted = [row for row in rows if row["machine"] == machine and row["name"] == "Dual"][:20]
        told = page.rows(f"{machine}: most anomalous clips by System Dual", "complete_dev")
        assert [row["Clip"]["text"] for row in told] == [row["clip"] for row in wanted]
        assert [row["Anomaly score"]["value"] for row in told] == [row["score"] for row in wanted]
        assert [row["Place"]["text"] for row in told] == [str(place) for place in range(1, 21)]
    assert "The first 20 of 100 clips; ranking.csv has all of them." in page.text
    assert not [table for table in page.tables if "Ranking by Ω, suite plant" in table["caption"]]


def test_single_machine_with_one_branch_gives_a_report(tmp_path):
    page = Parsed(report(tmp_path, bare_example("mine", "pump"), figures=True))
    assert len(page.rows("ae by machine, suite mine")) == 1
    assert (tmp_path / "report" / "figures" / "mine-complete_dev-ae-machine-pump.svg").exists()


def test_undefined_figures_are_named_and_never_look_like_numbers(tmp_path):
    scores = drawn_scores("valve", 5, 1.0)
    keep = (scores.domain == "source") | (scores.anomaly == 1)
    clips = [clip for clip, kept in zip(scores.clips, keep, strict=True) if kept]
    short = Scores(clips, scores.score[keep], scores.anomaly[keep], scores.domain[keep])
    example = Example("demo")
    example.entry("complete_dev", "branch", "ae", {"fan": drawn_scores("fan", 5, 1.0), "valve": short})
    page = Parsed(report(tmp_path, example))
    told = {row["Machine"]["text"]: row for row in page.rows("ae by machine, suite demo")}
    assert (told["valve"]["Target AUC"]["text"], told["valve"]["Target AUC"]["value"]) == ("undefined", "")
    assert float(told["valve"]["Source AUC"]["value"]) > 0.5
    assert "Target AUC of valve: ae" in page.text
    assert "Ω: ae" in page.text
    assert "Target AUC of fan" not in page.text
    ranking = page.rows("Ranking by Ω, suite demo")
    assert (ranking[0]["Place"]["text"], ranking[0]["Ω"]["text"]) == ("\u2013", "undefined")


def test_odd_names_are_shown_as_they_are_and_never_become_markup(tmp_path):
    example = Example(ODD)
    for kind in ("branch", "system"):
        example.entry("cross_fitted", kind, f"$a_1$ {ODD}", {ODD: drawn_scores("fan", 2, 1.0)}, seed='"1"')
    example.add("models", "<script>alert(1)</script>", "frozen", "no", "--> </style>", "", "", "")
    example.add("notes", ODD, "", ODD, "</table><img src=x>")
    page = report(tmp_path, example, figures=True)
    parsed = Parsed(page)
    assert "<b>" not in page and "<img" not in page and page.count("<script") == 1
    for kind in ("Branch", "System"):
        (row,) = parsed.rows(f'{kind} $a_1$ {ODD}, seed "1" by machine, suite {ODD}')
        assert row["Machine"]["text"] == ODD
    files = sorted(path.name for path in (tmp_path / "report" / "figures").iterdir())
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in files)


def test_names_that_fold_to_the_same_file_keep_their_own_figures(tmp_path):
    example = Example("demo")
    for name in ("a/b", "a b", "A?B"):
        example.entry("cross_fitted", "system", name, {"fan": drawn_scores("fan", 2, 1.0, labelled=False)})
    report(tmp_path, example, figures=True)
    figures = tmp_path / "report" / "figures"
    assert len(list(figures.glob("*-machine-fan*.svg"))) == 1  # the first of them stands in front
    assert len(list(figures.glob("*-scores*.svg"))) == 2


def test_large_groups_are_thinned_in_the_drawing_only(tmp_path):
    example = Example("demo")
    example.entry("complete_dev", "system", "Big", {"fan": drawn_scores("fan", 2, 1.0, per_group=3000)})
    assert len(report(tmp_path, example)) < 200_000


def test_a_number_keeps_its_exact_value_beside_what_is_shown():
    assert number(0.1 + 0.2) == Cell("0.3000", "0.30000000000000004", numeric=True)
    assert number(None).text == "undefined"


# --- faulty tables ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", sorted(HEADERS))
def test_a_missing_table_or_column_is_named(tmp_path, table):
    folder, column = small_example().write(tmp_path / "tables"), HEADERS[table][-1]
    path = folder / f"{table}.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(column, "other", 1), encoding="utf-8")
    with pytest.raises(UserError, match=rf"{table}\.csv: column {column} is missing"):
        read_suite("demo", folder)
    path.unlink()
    with pytest.raises(UserError, match=rf"{table}\.csv: the table is missing; evaluate suite 'demo' again") as fault:
        build_report({"demo": folder}, tmp_path / "report.html", title="t", provenance={})
    assert "\n" not in str(fault.value)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("table", "column", "cell", "fault"),
    [
        ("machines", "source_auc", "1.2", "must lie between 0 and 1"),
        ("machines", "pauc", "good", "must be a finite number"),
        ("machines", "untrained", "maybe", "must be one of yes, no"),
        ("machines", "protocol", "", "is empty, but must be filled"),
        ("ranking", "score", "nan", "must be a finite number"),
        ("ranking", "anomaly", "2", "must be 0, 1 or empty"),
        ("clips", "clips", "ten", "must be a whole number"),
        ("clips", "sample_rate", "16000/44100", "must be a whole number"),
        ("models", "trained", "perhaps", "must be one of yes, no, unknown"),
        ("training", "loss", "nan", "must be a finite number"),
        ("training", "step", "1.5", "must be a whole number"),
        ("validation", "accuracy_domain", "", "must be a finite number"),
        ("validation", "chance", "1.5", "must lie between 0 and 1"),
        ("uncertainty", "low", "-0.1", "must lie between 0 and 1"),
        ("uncertainty", "replicates", "many", "must be a whole number"),
        ("differences", "same_sign", "1.5", "must lie between 0 and 1"),
        ("differences", "kind_b", "model", "must be one of branch, system"),
        ("seeds", "seeds", "two", "must be a whole number"),
        ("thresholds", "threshold", "high", "must be a finite number"),
    ],
)
def test_a_faulty_cell_is_named_with_line_and_column(tmp_path, table, column, cell, fault):
    example = trained_example(withheld=40)
    example.rows[table][1][HEADERS[table].index(column)] = cell
    with pytest.raises(UserError, match=rf"{table}\.csv, line 3: {column} .*{fault}") as raised:
        read_suite("demo", example.write(tmp_path))
    assert "\n" not in str(raised.value)


def test_a_short_line_and_the_tables_of_another_suite_are_refused(tmp_path):
    folder = small_example().write(tmp_path)
    with pytest.raises(UserError, match=r"machines\.csv, line 2: suite is 'demo', but this folder was given as 'mine'"):
        read_suite("mine", folder)
    with (folder / "notes.csv").open("a") as file:
        file.write("demo,eat\n")
    with pytest.raises(UserError, match=r"notes\.csv, line 3: 2 cells, but the header has 5"):
        read_suite("demo", folder)


def test_a_report_on_nothing_is_refused(tmp_path):
    with pytest.raises(UserError, match="no suite given"):
        build_report({}, tmp_path / "report.html", title="t", provenance={})


def test_thinning_keeps_both_ends():
    assert evenly(7, 200).tolist() == list(range(7))
    kept = evenly(5000, 200)
    assert (len(kept), kept[0], kept[-1]) == (200, 0, 4999)
