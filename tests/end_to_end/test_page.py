"""The page as a reader has it, driven in a real headless Chromium: from disk, without a network."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from page_example import write_long_page, write_page
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")  # Debian's and Ubuntu's package, and Google's
FIGURES = "main svg[role=img], main img"
OPEN_ALL = "for (const fold of document.querySelectorAll('details')) fold.open = true"
PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium itself; a machine without one skips, but the automatic checks must have it."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        told = f"no Chromium ({', '.join(NAMES)}) on this machine: install the package chromium"
        pytest.fail(told) if os.environ.get("CI") else pytest.skip(told)
    with sync_playwright() as driver:
        # No sandbox: containers run as root, and the page is our own.
        flags = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        chromium = driver.chromium.launch(executable_path=found, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def example_page(tmp_path_factory) -> Path:
    """A page with all that a page may have."""
    return write_page(tmp_path_factory.mktemp("a page"))


@dataclass
class Opened:
    """A page in the browser, with all that it said and asked for."""

    page: Page
    path: Path
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def listen(self) -> None:
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.page.on("requestfailed", lambda request: self.said.append(f"failed: {request.url[:80]}"))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.said.append(f"{message.type}: {message.text}")

    def fits(self, width: int) -> None:
        """Nothing scrolls sideways on a phone of that width, with folds closed and open."""
        self.page.set_viewport_size({**PHONE, "width": width})
        for script in ("0", OPEN_ALL):
            self.page.evaluate(script)
            assert self.page.evaluate("document.documentElement.scrollWidth") <= width

    def sort(self, table: Locator, title: str) -> int:
        """Sorts by a column; its place."""
        place = column(table, title)
        table.locator("thead button").nth(place).click()
        return place

    def table(self, *words: str) -> Locator:
        """The first table whose caption has all the words."""
        found = self.page.locator("table")
        for word in words:
            found = found.filter(has=self.page.locator("caption", has_text=word))
        return found.first


@pytest.fixture(params=["example", "workflow"])
def opened(request, browser) -> Iterator[Opened]:
    """The example page, and the page that the workflow itself writes; silent and self-sufficient in every test."""
    if request.param == "example":
        path = request.getfixturevalue("example_page")
    else:
        path = request.getfixturevalue("small_run").folder / "results" / "report.html"
    yield from open_page(browser, path)


@pytest.fixture(scope="module")
def long_page(tmp_path_factory) -> Path:
    return write_long_page(tmp_path_factory.mktemp("a page"))


@pytest.fixture
def long_names(browser, long_page) -> Iterator[Opened]:
    """A page on very long names."""
    yield from open_page(browser, long_page)


@pytest.fixture
def example(browser, example_page) -> Iterator[Opened]:
    yield from open_page(browser, example_page)


def open_page(browser: Browser, path: Path, **settings) -> Iterator[Opened]:
    context = browser.new_context(viewport=DESK, **settings)
    shown = Opened(context.new_page(), path)
    shown.listen()
    shown.page.goto(path.as_uri())
    yield shown
    context.close()
    assert shown.said == []
    assert {url for url in shown.asked if not url.startswith("data:")} == {path.as_uri()}


def cells(table: Locator, place: int) -> list[str]:
    """Texts of a column, from the top."""
    return table.locator(f"tbody tr > :nth-child({place + 1})").all_inner_texts()


def values(table: Locator, place: int) -> list[float]:
    """The numbers that a column holds, from the top; what has none is left out."""
    script = "(found) => found.map((cell) => cell.dataset.value).filter(Boolean).map(Number)"
    return table.locator(f"tbody tr > :nth-child({place + 1})").evaluate_all(script)


def column(table: Locator, title: str) -> int:
    return [text.strip() for text in table.locator("thead button").all_inner_texts()].index(title)


def sorts(table: Locator) -> list[str]:
    return table.locator("thead th").evaluate_all("(heads) => heads.map((head) => head.getAttribute('aria-sort'))")


def test_every_figure_is_visible_and_has_a_name_for_screen_readers(opened):
    page = opened.page
    page.evaluate(OPEN_ALL)
    assert page.locator(FIGURES).count() >= 5
    hidden = page.locator(FIGURES).evaluate_all(
        """(figures) => figures.filter((figure) => {
          const box = figure.getBoundingClientRect();
          const empty = figure.tagName === "IMG" ? !figure.naturalWidth : !figure.querySelector("path, text");
          return empty || box.width < 100 || box.height < 30 || !figure.checkVisibility({ opacityProperty: true });
        }).map((figure) => figure.getAttribute("aria-label") || figure.alt)"""
    )
    assert hidden == []
    unnamed = page.locator(FIGURES).evaluate_all(
        "(figures) => figures.filter((f) => !(f.getAttribute('aria-label') || f.alt)).length"
    )
    assert unnamed == 0
    assert page.get_by_role("img", name="Dot chart of Ω").count() >= 1
    assert page.locator("html").get_attribute("lang") == "en"


def test_a_click_sorts_numbers_by_value_and_says_so(opened):
    table = opened.table("Ranking by Ω")
    place = column(table, "Ω")
    button = table.locator("thead button").nth(place)
    first = values(table, place)
    ranked = column(table, "Place")  # not by Ω alone: what is untrained comes last
    assert sorts(table) == ["ascending" if number == ranked else "none" for number in range(len(sorts(table)))]
    assert len(first) >= 3 and first != sorted(first, reverse=True)
    button.click()
    assert values(table, place) == sorted(first)
    assert sorts(table)[place] == "ascending"
    button.click()
    assert values(table, place) == sorted(first, reverse=True)
    assert sorts(table) == ["descending" if number == place else "none" for number in range(len(sorts(table)))]
    assert "sorted by Ω, descending" in opened.page.locator("[role=status]").inner_text()


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_the_keyboard_sorts(opened, key):
    table = opened.table("Ranking by Ω")
    place = column(table, "System or branch")
    before = cells(table, place)
    table.locator("thead button").nth(place - 1).focus()
    opened.page.keyboard.press("Tab")  # on to the next head: every head can be reached
    opened.page.keyboard.press(key)
    assert sorts(table)[place] == "ascending"
    assert cells(table, place) == sorted(before, key=str.casefold)
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert opened.page.evaluate(outline) == "solid"


def test_durations_and_signed_numbers_sort_by_their_value(example):
    times = example.table("Run time per stage")
    assert values(times, example.sort(times, "Time of all jobs")) == [0.5, 64.75]
    differences = example.table("Differences between systems")
    found = values(differences, example.sort(differences, "Difference in Ω"))
    assert found == sorted(found)
    assert found[0] < 0 < found[-1]


def test_what_has_no_value_stays_last_whichever_way_a_table_is_sorted(example):
    table = example.table("Controlled complete-development study")
    for _ in range(2):
        example.sort(table, "Ω")
        assert cells(table, 0)[-1] == "CED"


def test_the_skip_link_is_first_and_leads_to_the_results(opened):
    page = opened.page
    page.keyboard.press("Tab")
    link = page.get_by_role("link", name="Skip to the results")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.wait_for_function("document.querySelector('.skip').getBoundingClientRect().top >= 0")
    link.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_a_fold_opens_by_keyboard(opened):
    fold = opened.page.locator("details:not([open])").first.element_handle()
    fold.query_selector("summary").focus()
    opened.page.keyboard.press("Enter")
    assert fold.evaluate("(fold) => fold.open")


def test_nothing_scrolls_sideways_on_a_phone(opened):
    page = opened.page
    opened.fits(PHONE["width"])
    inside = page.locator(".scroll").evaluate_all("(all) => all.filter((e) => e.scrollWidth > e.clientWidth).length")
    assert inside > 0  # wide tables do so within their own frame
    beyond = page.locator("main p, main summary, main audio, main img, main dd").evaluate_all(
        "(all) => all.filter((e) => e.getBoundingClientRect().right > innerWidth).map((e) => e.textContent)"
    )
    assert beyond == []


@pytest.mark.parametrize("width", [320, 390])
def test_long_names_do_not_widen_the_page_on_a_phone(long_names, width):
    long_names.fits(width)


@pytest.mark.parametrize("width", [1077, 718])  # A3 and A4 between ordinary margins
@pytest.mark.parametrize("shown", ["example", "long_names"])
def test_no_table_is_cut_at_the_edge_of_the_paper(request, shown, width):
    page = request.getfixturevalue(shown).page
    page.set_viewport_size({"width": width, "height": 1000})
    page.evaluate(OPEN_ALL)
    page.emulate_media(media="print")
    cut = page.locator("table").evaluate_all(
        """(tables) => tables.filter((t) => t.offsetWidth > t.parentElement.clientWidth + 1)
          .map((t) => t.caption.textContent)"""
    )
    assert cut == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_every_table_in_order_says_so_at_load(long_names):
    assert sorts(long_names.table("System Dual, seed 13711 by machine"))[0] == "ascending"
    ranking = long_names.table("Ranking by Ω")
    places = values(ranking, column(ranking, "Place"))
    assert places == sorted(places)  # in order too, but it is Ω that ranks: only one column may say so
    assert sorts(ranking)[column(ranking, "Ω")] == "descending"
    assert sorts(ranking).count("none") == len(sorts(ranking)) - 1
    assert set(sorts(long_names.table("Clips of demo"))) == {"none"}  # nothing in it is in any order


def test_an_empty_table_can_be_sorted(long_names):
    table = long_names.table("Clips of demo")
    assert table.locator("tbody tr").count() == 1
    for button in table.locator("thead button").all():
        button.click()
    assert "nothing to show" in table.inner_text()


def test_the_page_prints_with_everything_open(opened, tmp_path):
    page = opened.page
    folds = page.locator("details")
    opened_before = page.locator("details[open]").count()
    assert opened_before < folds.count()
    page.evaluate("addEventListener('beforeprint', () => { window.seen = document.querySelectorAll('[open]').length })")
    page.pdf(path=tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().count(b"/Type /Page\n") > 3
    assert page.evaluate("window.seen") == folds.count()
    assert page.locator("details[open]").count() == opened_before
    page.emulate_media(media="print")
    for part in ("nav", ".skip", "thead .arrow"):
        assert not page.locator(part).first.is_visible()
    assert page.locator("h1").is_visible()


def test_every_sound_can_be_played(opened):
    page = opened.page
    page.evaluate(OPEN_ALL)
    durations = page.locator("audio").evaluate_all(
        """(sounds) => Promise.all(sounds.map((sound) => new Promise((done) => {
          sound.onloadedmetadata = () => done(sound.duration);
          sound.onerror = () => done(-1);
          sound.preload = "auto";
          sound.load();
        })))"""
    )
    assert len(durations) >= 4
    assert all(0.5 < seconds < 2 for seconds in durations)  # of recordings of 1 s
    played = page.locator("audio").first.evaluate(
        """(sound) => new Promise((done) => {
          sound.muted = true;
          sound.ontimeupdate = () => sound.currentTime > 0 && done(sound.currentTime);
          sound.play().catch(() => done(-1));
        })"""
    )
    assert played > 0


def test_a_link_to_a_clip_opens_the_fold_that_it_is_in(example):
    page = example.page
    link = page.locator("a[href*='-clip-']").first
    target = page.locator(link.get_attribute("href").replace(".", "\\."))
    assert not target.is_visible()
    link.evaluate("(link) => link.click()")
    page.wait_for_function("(id) => document.getElementById(id).checkVisibility()", arg=target.get_attribute("id"))
    assert target.is_visible()


def test_dark_mode_is_dark_and_can_be_read(browser, example_page):
    for shown in open_page(browser, example_page, color_scheme="dark"):
        script = "['backgroundColor', 'color'].map((name) => getComputedStyle(document.body)[name])"
        ground, ink = (_brightness(colour) for colour in shown.page.evaluate(script))
        assert ground < 60 and ink > 180


def _brightness(colour: str) -> float:
    """Mean of the three channels of 'rgb(18, 23, 27)'."""
    return sum(map(int, colour.removeprefix("rgb(").rstrip(")").split(","))) / 3


def test_a_page_that_asks_for_something_is_caught(browser, tmp_path):
    """The tests above would see a request, an error and a failed file."""
    path = tmp_path / "bad.html"
    path.write_text("<script>console.error('x')</script><img src=missing.png>", encoding="utf-8")
    with pytest.raises(AssertionError):
        for shown in open_page(browser, path):
            shown.page.wait_for_load_state("networkidle")
