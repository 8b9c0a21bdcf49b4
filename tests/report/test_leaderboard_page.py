"""The FERBench leaderboard as a page: its data, and the page in a real browser."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from facial_r1.data.protocol import load_protocol
from facial_r1.report.leaderboard_board import Board, make_board
from facial_r1.report.leaderboard_page import differing, write_page
from tests.metrics.ferbench_cases import answer, question
from tests.report.browser import Browser, find
from tests.report.ferbench_models import everywhere, rows, scored

Open = Callable[..., Browser]
in_browser = pytest.mark.skipif(find() is None, reason="no Chromium or Chrome is installed (apt-get install chromium)")
CARDS = "document.querySelectorAll('#gallery > article').length"
NASTY = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    folder = tmp_path_factory.mktemp("models")
    return make_board(
        [
            scored(folder, "good", everywhere(range(4))),
            scored(folder, "near", {**everywhere(range(3, 8)), "sfew": range(2)}),
            scored(folder, "bare", everywhere(range(2)), shape="bare"),
        ],
        published=load_protocol("ferbench").published,
        resamples=100,
    )


@pytest.fixture(scope="module")
def page(board: Board, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(board, tmp_path_factory.mktemp("page") / "leaderboard.html")


def choose(form: str, name: str, value: str) -> str:
    return (
        f"(() => {{ const box = document.getElementById('{form}').elements.namedItem('{name}'); box.value = {json.dumps(value)};"
        " box.dispatchEvent(new Event('input', {bubbles: true})); return document.getElementById('count').textContent; })()"
    )


def embedded(page: Path) -> dict[str, object]:
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    assert match
    found: dict[str, object] = json.loads(match[1])
    return found


def test_differing_questions_are_those_where_just_one_is_right(board: Board) -> None:
    for name, at in differing(board, 10_000):
        found = [{int(value) for value in board.right[name, mode][:, at]} for mode in ("strict", "compat")]
        assert {0, 1} in found, (name, at)


def test_few_questions_are_shared_out_over_sets_and_models(board: Board) -> None:
    chosen = differing(board, 24)
    assert len(chosen) == 24 and {name for name, _ in chosen} == {"affectnet", "rafdb", "ferplus", "sfew"}


def test_a_single_model_shows_what_it_gets_wrong(tmp_path: Path) -> None:
    alone = make_board([scored(tmp_path, "alone", {"sfew": range(5)}, 0)], resamples=0)
    assert differing(alone, 100) == [("sfew", at) for at in range(5)]


def test_the_page_is_the_same_every_time_and_loads_nothing(board: Board, page: Path, tmp_path: Path) -> None:
    text = page.read_text()
    assert write_page(board, tmp_path / "again.html").read_text() == text
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", text) and "default-src 'none'" in text


def test_a_page_keeps_to_its_size(board: Board, tmp_path: Path) -> None:
    small = write_page(board, tmp_path / "small.html", max_bytes=90_000)
    assert small.stat().st_size <= 90_000 < write_page(board, tmp_path / "large.html").stat().st_size


def test_answers_are_data_and_never_markup(tmp_path: Path) -> None:
    own = rows("sfew", range(3))
    own[0]["model_response"] = answer("happy", NASTY)
    models = []
    for name, found in (("one", own), (f"<b>{NASTY}", rows("sfew", range(0)))):
        from facial_r1.report.leaderboard_models import Source, read_model
        from tests.metrics.ferbench_cases import write

        models.append(
            read_model(Source(name, (write(tmp_path / name[:3].strip("<>"), "sfew_2.0_results.json", found),)), resamples=0)
        )
    text = write_page(make_board(models, resamples=0), tmp_path / "page.html").read_text()
    assert "<img src=x" not in text and text.count("<script") == 2


def test_faces_are_shown_where_the_pictures_are(board: Board, tmp_path: Path) -> None:
    for number in range(40):
        path = tmp_path / "images" / question("sfew", number)["image_path"].lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (number, 90, 90)).save(path)
    page = write_page(board, tmp_path / "page.html", tmp_path / "images")
    samples = embedded(page)["samples"]
    assert isinstance(samples, list)
    assert all((sample["face"] >= 0) == (sample["set"] == "sfew") for sample in samples)
    assert "were not found below --images" in page.read_text()


@in_browser
@pytest.mark.parametrize(("width", "dark"), [(1400, False), (390, True)])
def test_no_error_no_request_no_overflow(page: Path, browse: Open, width: int, dark: bool) -> None:
    browser = browse(page, width, dark)
    wide = (
        "[...document.querySelectorAll('body *')].filter("
        "n => n.getBoundingClientRect().right > innerWidth + 1 && !n.closest('.scroll, .bar, svg')).length"
    )
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run(wide) == 0
    assert browser.errors == []
    assert [url for url in browser.requests if not url.startswith(("data:", "file:", "about:"))] == []


@in_browser
def test_the_ranking_fits_a_desktop(page: Path, browse: Open) -> None:
    browser = browse(page, 1300)
    assert (
        browser.run(
            "(() => { const box = document.querySelector('.ranking').parentElement; return box.scrollWidth - box.clientWidth; })()"
        )
        <= 0
    )


@in_browser
def test_the_two_chosen_models_are_compared(page: Path, browse: Open) -> None:
    browser = browse(page)
    browser.run(choose("pair", "set", "sfew"))
    tiles = "[...document.querySelectorAll('#agreement .big')].map(n => parseInt(n.textContent.replace(',', '')))"
    assert browser.run(tiles)[:4] == [36, 0, 2, 2]  # good is wrong on 0..3, near on 0..1
    assert browser.run("[...document.querySelectorAll('.matrix h3')].map(n => n.textContent)") == ["good", "near"]
    assert browser.run(choose("filters", "who", "second")) == "2 questions" and browser.run(CARDS) == 2
    assert browser.run(choose("filters", "who", "first")) == "0 questions"
    browser.run(choose("pair", "second", "0"))
    assert browser.run("document.getElementById('agreement').textContent") == "Choose two different models."
    assert browser.errors == []


@in_browser
def test_matrices_hold_the_counts_of_the_chosen_reading(board: Board, page: Path, browse: Open) -> None:
    browser = browse(page)
    browser.run(choose("pair", "first", str([model.name for model in board.models].index("bare"))))
    for mode, right in (("strict", 0), ("compat", 152)):
        browser.run(choose("pair", "mode", mode))
        assert browser.run("document.querySelector('.matrix p').textContent") == f"{right} of 160 right", mode


@in_browser
def test_filters_by_truth_and_words(page: Path, browse: Open) -> None:
    browser = browse(page)
    everything = int(browser.run(choose("filters", "truth", "")).split()[0])
    fears = "[...document.querySelectorAll('#gallery .chip.truth')].map(n => n.textContent)"
    shown = int(browser.run(choose("filters", "truth", "fear")).split()[0])
    assert 0 < shown < everything and set(browser.run(fears)) == {"fear"}
    browser.run(choose("filters", "truth", ""))
    assert browser.run(choose("filters", "text", "no such words anywhere")).startswith("0 of ")


@in_browser
def test_everything_can_be_reached_and_named(page: Path, browse: Open) -> None:
    """Labels for all controls, names for all scrolling regions, one h1, headings in order, the theme by a button."""
    browser = browse(page)
    assert browser.run("[...document.querySelectorAll('select, input')].every(n => n.labels.length === 1)")
    assert browser.run("[...document.querySelectorAll('.scroll')].every(n => n.tabIndex === 0 && n.getAttribute('aria-label'))")
    assert browser.run("[...document.querySelectorAll('table')].every(n => n.caption && n.querySelectorAll('th[scope]').length)")
    levels = browser.run("[...document.querySelectorAll('h1, h2, h3, h4')].map(n => Number(n.tagName[1]))")
    assert levels[0] == 1 and levels.count(1) == 1 and all(after - before <= 1 for before, after in itertools.pairwise(levels))
    browser.run("document.getElementById('theme').click()")
    assert browser.run("document.documentElement.dataset.theme") == "dark"


@in_browser
@pytest.mark.parametrize("dark", [False, True])
def test_numbers_in_the_matrix_can_be_read(page: Path, browse: Open, dark: bool) -> None:
    """WCAG AA: 4.5 to 1 between each number and its shaded cell."""
    browser = browse(page, 1400, dark)
    lowest = browser.run("""(() => {
      const pen = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d', {willReadFrequently: true});
      const light = (colour) => { pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1);
        return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3).map(v => v / 255)
          .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4).reduce((s, v, i) => s + v * [.2126, .7152, .0722][i], 0); };
      return Math.min(...[...document.querySelectorAll('.matrix td')].filter(n => n.textContent).map(n => { const style = getComputedStyle(n);
        const back = style.backgroundColor === 'rgba(0, 0, 0, 0)' ? getComputedStyle(n.closest('.card')).backgroundColor : style.backgroundColor;
        const [a, b] = [light(style.color), light(back)].sort((x, y) => y - x); return (a + .05) / (b + .05); }));
    })()""")
    assert lowest >= 4.5
