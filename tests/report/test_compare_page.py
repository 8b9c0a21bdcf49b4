"""`compare.html`: its data, and the page in a real browser."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from facial_r1.report.compare_page import gap, write_page
from facial_r1.report.compare_runs import read_pair
from facial_r1.report.compare_scores import Comparison, compare
from facial_r1.stages.predictions import read_predictions
from tests.report import compare_cases
from tests.report.browser import Browser, find

Open = Callable[..., Browser]
in_browser = pytest.mark.skipif(find() is None, reason="no Chromium or Chrome is installed (apt-get install chromium)")
CARDS = "document.querySelectorAll('#gallery > article').length"
NASTY = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    root = tmp_path_factory.mktemp("runs")
    records = compare_cases.faces(root, 90, datasets=True)
    runs = [
        compare_cases.write_run(root / name, records, skill, seed)
        for seed, (name, skill) in enumerate((("sft", 0.4), ("grpo", 0.85)))
    ]
    return compare(read_pair(runs[0], runs[1], read_predictions), resamples=300)


@pytest.fixture(scope="module")
def page(found: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(found, [*found.lines, *found.by_dataset], tmp_path_factory.mktemp("page") / "compare.html")


def write(found: Comparison, path: Path, **options: int) -> Path:
    return write_page(found, [*found.lines, *found.by_dataset], path, **options)


def embedded(page: Path) -> dict[str, object]:
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    assert match
    read: dict[str, object] = json.loads(match[1])
    return read


def samples(page: Path) -> list[dict[str, object]]:
    read = embedded(page)["samples"]
    assert isinstance(read, list)
    return read


def choose(name: str, value: str) -> str:
    return (
        f"(() => {{ const box = document.getElementById('filters').elements.namedItem('{name}'); box.value = {json.dumps(value)};"
        " box.dispatchEvent(new Event('input', {bubbles: true})); return document.getElementById('count').textContent; })()"
    )


def test_the_gallery_holds_the_flips_and_only_them(found: Comparison, page: Path) -> None:
    shown = samples(page)
    ids = [key[0] for key in found.pair.keys]
    for side in "ab":
        assert [one["id"] for one in shown if one["better"] == side] == [ids[place] for place in found.flips(side)]


def test_answers_stand_in_full_beside_the_truth_and_the_face(found: Comparison, page: Path) -> None:
    one = samples(page)[0]
    key = (str(one["id"]), 1)
    answers = one["answers"]
    assert isinstance(answers, list) and one["face"] == 0
    for side, answer in zip((found.pair.a, found.pair.b), answers, strict=True):
        assert "".join(part if isinstance(part, str) else part[0] for part in answer["text"]) == side.rows[key]["completion"]
    assert one["labels"] == found.pair.a.rows[key]["labels"]
    outcomes = [answer["outcome"] for answer in answers]
    assert (outcomes[0] == "right") == (one["better"] == "a") and (outcomes[1] == "right") == (one["better"] == "b")


def test_the_page_is_the_same_every_time_and_loads_nothing(found: Comparison, page: Path, tmp_path: Path) -> None:
    text = page.read_text()
    assert write(found, tmp_path / "again.html").read_text() == text
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", text) and "default-src 'none'" in text


def test_a_page_keeps_to_its_size_and_says_what_is_missing(found: Comparison, page: Path, tmp_path: Path) -> None:
    small = write(found, tmp_path / "small.html", max_bytes=page.stat().st_size - 20_000)
    assert small.stat().st_size < page.stat().st_size
    bare = write(found, tmp_path / "bare.html", max_bytes=1)
    assert samples(bare) == [] and "do not fit into this page; their ids are in compare.json" in bare.read_text()
    least = write(found, tmp_path / "least.html", max_bytes=bare.stat().st_size + 120_000)
    shown, flips = samples(least), len(found.flips("a")) + len(found.flips("b"))
    assert 0 < len(shown) < flips and {one["better"] for one in shown} == {"a", "b"}
    assert f"{len(shown)} of {flips} such samples are in this page" in least.read_text()


def test_answers_are_data_and_never_markup(found: Comparison, tmp_path: Path) -> None:
    key = found.pair.keys[found.flips("b")[0]]
    rows = {**found.pair.a.rows, key: {**found.pair.a.rows[key], "completion": NASTY}}
    side = replace(found.pair.a, rows=rows, name=f"<b>{NASTY}")
    text = write(replace(found, pair=replace(found.pair, a=side)), tmp_path / "page.html").read_text()
    assert "<img src=x" not in text and text.count("<script") == 2


def test_without_pictures_the_samples_are_shown_all_the_same(found: Comparison, tmp_path: Path) -> None:
    rows = [{key: {**row, "image": "nowhere.png"} for key, row in side.rows.items()} for side in (found.pair.a, found.pair.b)]
    pair = replace(found.pair, a=replace(found.pair.a, rows=rows[0]), b=replace(found.pair.b, rows=rows[1]))
    page = write(replace(found, pair=pair), tmp_path / "page.html")
    assert "the pictures are not where the runs say" in page.read_text() and samples(page)


def test_runs_that_never_part_have_no_gallery(found: Comparison, tmp_path: Path) -> None:
    same = compare(replace(found.pair, b=found.pair.a), resamples=100)
    text = write(same, tmp_path / "page.html").read_text()
    assert 'id="gallery"' not in text and "not decided" in text


def test_a_difference_beyond_the_axis_is_an_arrow(found: Comparison) -> None:
    line = found.line("emotion/accuracy")
    assert line is not None and line.difference is not None
    assert (
        "<circle" in gap(line, 1.0)
        and "<circle" not in gap(line, line.difference / 2)
        and 'class="off"' in gap(line, line.difference / 2)
    )


# --- in a browser ------------------------------------------------------------------------------------------------------


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
def test_the_figures_fit_a_desktop_and_their_differences_a_phone(page: Path, browse: Open) -> None:
    left_over = (
        "(() => { const box = document.querySelector('.compared').parentElement; return box.scrollWidth - box.clientWidth; })()"
    )
    assert browse(page, 1300).run(left_over) <= 0
    ends = "document.querySelector('.compared tbody .gap').getBoundingClientRect().right"
    assert browse(page, 390).run(ends) < 390


@in_browser
def test_every_filter_shows_what_it_says(found: Comparison, page: Path, browse: Open) -> None:
    browser, shown = browse(page), samples(page)
    total = len(shown)
    for name, value, fits in (
        ("direction", "a", lambda one: one["better"] == "a"),
        ("direction", "b", lambda one: one["better"] == "b"),
        ("truth", "fear", lambda one: one["labels"][0] == "fear"),
        ("dataset", "studio", lambda one: one["dataset"] == "studio"),
        ("unit", "AU12", lambda one: "AU12" in [*one["aus"], *(c for a in one["answers"] for c in [*a["false"], *a["named"]])]),
        ("text", str(shown[3]["id"]).upper(), lambda one: one["id"] == shown[3]["id"]),
    ):
        wanted = sum(map(fits, shown))
        assert 0 < wanted < total, name
        assert browser.run(choose(name, value)) == f"{wanted} of {total} samples", name
        assert browser.run(CARDS) == min(wanted, 24)
        browser.run(choose(name, ""))
    assert browser.run("document.getElementById('count').textContent") == f"{total} samples"
    assert browser.errors == []


@in_browser
def test_filters_go_together_and_are_cleared(page: Path, browse: Open) -> None:
    browser, shown = browse(page), samples(page)
    browser.run(choose("direction", "b"))
    both = sum(one["better"] == "b" and one["dataset"] == "studio" for one in shown)
    assert browser.run(choose("dataset", "studio")).startswith(f"{both} of ")
    browser.run("document.querySelector('#filters [type=reset]').click()")
    browser.run("new Promise(done => setTimeout(done, 30))")
    assert browser.run("document.getElementById('count').textContent") == f"{len(shown)} samples"


@in_browser
def test_more_samples_come_on_demand(page: Path, browse: Open) -> None:
    browser, total = browse(page), len(samples(page))
    assert total > 24 and browser.run(CARDS) == 24
    browser.run("document.getElementById('more').click()")
    assert browser.run(CARDS) == min(48, total)
    assert browser.run("document.querySelector('#gallery img').naturalWidth") > 0


@in_browser
def test_a_card_says_who_won(page: Path, browse: Open) -> None:
    browser = browse(page)
    browser.run(choose("direction", "b"))
    sides = "[...document.querySelectorAll('#gallery .models')].map(n => [...n.children].map(c => c.className).join())"
    assert set(browser.run(sides)) == {"answer lost,answer won"}
    chips = (
        "[...document.querySelectorAll('#gallery .models > .won .chip:first-child')].every(n => n.classList.contains('right'))"
    )
    assert browser.run(chips)


@in_browser
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_no_violation(page: Path, browse: Open, dark: bool) -> None:
    script = Path(os.environ.get("AXE_CORE", "node_modules/axe-core/axe.min.js"))
    if not script.is_file():
        pytest.skip("axe-core is not here: `npm pack axe-core`, unpack it, and set AXE_CORE=<folder>/package/axe.min.js")
    browser = browse(page, 1400, dark)
    browser.run("document.querySelectorAll('details').forEach(n => { n.open = true; })")
    browser.call("Runtime.evaluate", expression=script.read_text(encoding="utf-8"))
    broken = json.loads(
        browser.run("axe.run().then(r => JSON.stringify(r.violations.map(v => [v.impact, v.id, v.nodes[0].html])))")
    )
    assert broken == []
