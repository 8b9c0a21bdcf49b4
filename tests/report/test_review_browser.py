"""The review page in a real browser: decide by click and key, filter, keep, export, load again."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from facial_r1.report.decisions import Decision, read_decisions
from facial_r1.report.review import TABLE, write_review
from tests.report import fixture_run
from tests.report.browser import Browser, find

pytestmark = pytest.mark.skipif(find() is None, reason="no Chromium or Chrome is installed (apt-get install chromium)")

Open = Callable[..., Browser]
PROGRESS = "document.getElementById('progress').textContent"
FOCUSED = "document.activeElement.dataset.id || document.activeElement.tagName"
# Export, and what the file holds, caught before the browser saves it.
EXPORT = (
    "new Promise(done => { const make = URL.createObjectURL; URL.createObjectURL = blob => { blob.text().then(done); return make(blob); };"
    " HTMLAnchorElement.prototype.click = function () {}; document.getElementById('export').click(); URL.createObjectURL = make; })"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run = tmp_path / "synthesis-0a1b"
    rows = fixture_run.make_faces(run / "faces", 8)
    rows[0]["meta_info"] = {"provenance": {"checks": {"format": False, "leak": True}}}
    rows[1] |= {"AUs": None, "labels": [], "description": '=AU12, "quoted"\nand a second line'}
    write_review(run, rows)
    return run


@pytest.fixture
def ids(folder: Path) -> list[str]:
    return [row["id"] for row in csv.DictReader((folder / TABLE).open(newline=""))]


def press(key: str) -> str:
    event = f"new KeyboardEvent('keydown', {{key: {json.dumps(key)}, bubbles: true, cancelable: true}})"
    return f"document.activeElement.dispatchEvent({event}) || true"


def choose(name: str, value: str) -> str:
    return (
        f"(() => {{ const box = document.getElementById('filters').elements.namedItem('{name}'); box.value = {json.dumps(value)};"
        " box.dispatchEvent(new Event('input', {bubbles: true}));"
        " return [...document.querySelectorAll('article')].filter(n => !n.hidden).length; })()"
    )


def click(number: int, decision: str) -> str:
    return f"document.querySelectorAll('article')[{number}].querySelector('[data-decision={decision}]').click()"


@pytest.mark.parametrize(("width", "dark"), [(1400, False), (390, True)])
def test_no_error_no_request_no_overflow(folder: Path, browse: Open, width: int, dark: bool) -> None:
    browser = browse(folder / "review.html", width, dark)
    wide = "[...document.querySelectorAll('body *')].filter(n => n.getBoundingClientRect().right > innerWidth + 1).length"
    assert browser.run("document.documentElement.scrollWidth") <= width and browser.run(wide) == 0
    assert browser.run("document.querySelectorAll('article').length") == 8
    assert browser.run("[...document.images].every(image => image.naturalWidth > 0)")
    brightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0)"
    assert (browser.run(brightness) < 200) == dark
    assert browser.errors == []
    assert [url for url in browser.requests if not url.startswith(("data:", "file:", "about:"))] == []


def test_an_untouched_page_exports_the_table_as_we_wrote_it(folder: Path, browse: Open) -> None:
    assert browse(folder / "review.html").run(EXPORT) == (folder / TABLE).read_text()


def test_accept_on_the_first_card_is_in_the_export(folder: Path, ids: list[str], browse: Open, tmp_path: Path) -> None:
    browser = browse(folder / "review.html")
    browser.run(click(0, "accept"))
    browser.run(click(1, "reject"))
    browser.run(
        "(() => { const box = document.querySelectorAll('.comment input')[1]; box.value = 'says \"AU4\", none there';"
        " box.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )
    assert browser.run(PROGRESS) == "2 of 8 decided: 1 accept, 1 reject, 0 unsure"
    assert browser.run("document.querySelector('[data-decision=accept]').getAttribute('aria-pressed')") == "true"
    (tmp_path / "mine.csv").write_text(browser.run(EXPORT))
    found = read_decisions([tmp_path / "mine.csv"], ids)
    assert found[ids[0]] == Decision("accept") and found[ids[1]] == Decision("reject", 'says "AU4", none there')
    assert {found[key].decision for key in ids[2:]} == {""}
    browser.run(click(0, "accept"))
    assert browser.run(PROGRESS).startswith("1 of 8"), "a second click takes the decision back"
    assert browser.errors == []


def test_the_export_button_saves_a_file(folder: Path, ids: list[str], browse: Open, tmp_path: Path) -> None:
    browser = browse(folder / "review.html")
    browser.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path / "downloads"))
    browser.run(click(0, "unsure"))
    browser.run("document.getElementById('export').click()")
    saved = tmp_path / "downloads" / "review.csv"
    for _ in range(100):
        if saved.is_file():
            break
        browser.run("new Promise(done => setTimeout(done, 50))")
    assert read_decisions([saved], ids)[ids[0]].decision == "unsure"


def test_keys_decide_and_move(folder: Path, ids: list[str], browse: Open) -> None:
    browser = browse(folder / "review.html")
    browser.run(press("ArrowDown"))
    assert browser.run(FOCUSED) == ids[0]
    for key in "aru":
        browser.run(press(key))
    assert browser.run(PROGRESS) == "3 of 8 decided: 1 accept, 1 reject, 1 unsure" and browser.run(FOCUSED) == ids[3]
    browser.run(press("ArrowUp"))
    assert browser.run(FOCUSED) == ids[2]
    browser.run(press("c"))
    assert browser.run(FOCUSED) == "INPUT"
    browser.run(press("a"))
    assert browser.run(PROGRESS).startswith("3 of 8"), "letters in a comment decide nothing"
    browser.run(press("Escape"))
    assert browser.run(FOCUSED) == ids[2]
    browser.run("document.getElementById('filters').elements.keys.checked = false")
    browser.run(press("a"))
    assert "1 unsure" in browser.run(PROGRESS), "keys can be switched off"
    assert browser.errors == []


def test_filters_by_decision_and_label(folder: Path, browse: Open) -> None:
    browser = browse(folder / "review.html")
    rows = list(csv.DictReader((folder / TABLE).open(newline="")))
    label = next(row["labels"] for row in rows if row["labels"])
    assert browser.run(choose("label", label)) == sum(row["labels"] == label for row in rows)
    browser.run(choose("label", ""))
    browser.run(click(0, "accept"))
    assert browser.run(choose("decision", "accept")) == 1 and browser.run(choose("decision", "open")) == 7
    assert browser.run(choose("decision", "reject")) == 0 and not browser.run("document.getElementById('none').hidden")


def test_decisions_outlive_the_page_and_belong_to_these_texts(folder: Path, browse: Open) -> None:
    browser = browse(folder / "review.html")
    browser.run(click(2, "reject"))
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:  # the browser hands its storage from page to page in the background
        browser.run("new Promise(done => setTimeout(done, 500))")
        browser.open(folder / "review.html")
        if browser.run(PROGRESS).startswith("1 of 8"):
            break
    assert browser.run(PROGRESS) == "1 of 8 decided: 0 accept, 1 reject, 0 unsure"
    assert browser.run("document.querySelectorAll('article')[2].classList.contains('reject')")
    rows = fixture_run.make_faces(folder / "faces", 8)
    write_review(folder, [{**row, "description": "another text"} for row in rows])
    browser.open(folder / "review.html")
    assert browser.run(PROGRESS).startswith("0 of 8")


def test_an_export_is_loaded_again(folder: Path, ids: list[str], browse: Open) -> None:
    browser = browse(folder / "review.html")
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([["id", "comment", "decision"], [ids[4], 'two\nlines, "quoted"', "Accept"], ["elsewhere", "", "reject"]])
    load = (
        "(() => { const box = document.getElementById('load'), files = new DataTransfer();"
        f" files.items.add(new File([{json.dumps(text.getvalue())}], 'mine.csv')); box.files = files.files;"
        " box.dispatchEvent(new Event('change')); return new Promise(done => setTimeout(done, 100)); })()"
    )
    browser.run(load)
    assert browser.run(PROGRESS) == "1 of 8 decided: 1 accept, 0 reject, 0 unsure"
    assert browser.run("document.getElementById('problem').textContent").startswith("1 rows of mine.csv are not on this page")
    loaded = {row["id"]: row for row in csv.DictReader(io.StringIO(browser.run(EXPORT), newline=""))}
    assert loaded[ids[4]]["comment"].replace("\r", "").replace("\n", " ").startswith("two")
    assert browser.errors == []


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_no_serious_violation(folder: Path, browse: Open, dark: bool) -> None:
    script = Path(os.environ.get("AXE_CORE", "node_modules/axe-core/axe.min.js"))
    if not script.is_file():
        pytest.skip("axe-core is not here: `npm pack axe-core`, unpack it, and set AXE_CORE=<folder>/package/axe.min.js")
    browser = browse(folder / "review.html", 1400, dark)
    for number, decision in enumerate(("accept", "reject", "unsure")):
        browser.run(click(number, decision))
    browser.call("Runtime.evaluate", expression=script.read_text(encoding="utf-8"))
    found = json.loads(
        browser.run("axe.run().then(r => JSON.stringify(r.violations.map(v => [v.impact, v.id, v.nodes[0].html])))")
    )
    assert [violation for violation in found if violation[0] in ("serious", "critical")] == []
