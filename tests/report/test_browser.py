"""The page in a real browser: no error, no overflow on a phone, working filters, accessible."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from facial_r1.report import build
from tests.report.browser import Browser, find

pytestmark = pytest.mark.skipif(find() is None, reason="no Chromium or Chrome is installed (apt-get install chromium)")

Open = Callable[..., Browser]
EVERY = "[...document.querySelectorAll('#gallery article')].every"
CARDS = "document.querySelectorAll('#gallery > article').length"


def choose(name: str, value: str, form: str = "filters") -> str:
    return (
        f"(() => {{ const box = document.getElementById('{form}').elements.namedItem('{name}'); box.value = {json.dumps(value)};"
        " box.dispatchEvent(new Event('input', {bubbles: true})); return document.getElementById('count').textContent; })()"
    )


@pytest.mark.parametrize("width", [1400, 390])
def test_no_error_no_request_no_overflow(pipeline_dir: Path, browse: Open, width: int) -> None:
    browser = browse(build(pipeline_dir), width)
    wide = (
        "[...document.querySelectorAll('body *')].filter("
        "n => n.getBoundingClientRect().right > innerWidth + 1 && !n.closest('.scroll, .bar, svg')).length"
    )
    assert browser.run("innerWidth") == width
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run(wide) == 0
    assert browser.errors == []
    assert [url for url in browser.requests if not url.startswith(("data:", "file:", "about:"))] == []


def test_filters_of_a_single_run(grpo_dir: Path, browse: Open) -> None:
    browser = browse(build(grpo_dir))
    samples = [json.loads(line) for line in (grpo_dir / "samples.jsonl").read_text().splitlines()]
    assert browser.run("document.getElementById('count').textContent") == "30 faces"
    broken = sum(not sample["parsed"]["valid"] for sample in samples)
    assert broken and browser.run(choose("outcome", "unparsed")) == f"{broken} of 30 faces"
    browser.run("document.querySelector('#filters [type=reset]').click()")
    browser.run("new Promise(done => setTimeout(done, 20))")
    fear = sum(sample["labels"] == ["fear"] for sample in samples)
    assert browser.run(choose("emotion", "fear")) == f"{fear} of 30 faces" and browser.run(CARDS) == fear
    browser.run(choose("emotion", ""))
    assert browser.run(choose("text", "FACE-0007")) == "1 of 30 faces"
    browser.run(choose("text", ""))
    named = sum("AU12" in [*sample["AUs"], *sample["parsed"]["action_units"]] for sample in samples)
    assert browser.run(choose("au", "AU12")) == f"{named} of 30 faces"
    assert browser.errors == []


def test_show_more_and_a_click_on_the_confusion_matrix(grpo_dir: Path, browse: Open) -> None:
    browser = browse(build(grpo_dir))
    assert browser.run(CARDS) == 24
    browser.run("document.getElementById('more').click()")
    assert browser.run(CARDS) == 30 and browser.run("document.getElementById('more').hidden")
    count = browser.run(
        "(() => { const cell = document.querySelector('.heatmap .cell.right[data-truth=happiness]');"
        " cell.dispatchEvent(new Event('click'));"
        " return Number(cell.querySelector('.count').textContent); })()"
    )
    assert browser.run(CARDS) == count


def test_gained_and_lost_compare_the_models(pipeline_dir: Path, browse: Open) -> None:
    browser = browse(build(pipeline_dir))
    gained = browser.run(choose("outcome", "gained"))
    assert gained.endswith("of 30 faces") and int(gained.split()[0]) == browser.run(CARDS) > 0
    firsts = browser.run(f"{EVERY}(a => !a.querySelector('.models > div:first-child .chip.right'))")
    lasts = browser.run(f"{EVERY}(a => a.querySelector('.models > div:last-child .chip.right'))")
    assert firsts and lasts


def test_rollouts_can_be_walked_and_sorted(grpo_dir: Path, browse: Open) -> None:
    browser = browse(build(grpo_dir))
    rewards = "[...document.querySelectorAll('#browser .completion .head b')].map(n => Number(n.textContent))"
    assert len(browser.run(rewards)) == 8
    browser.run(
        "(() => { const box = document.getElementById('picker').elements.namedItem('sorted');"
        " box.checked = true; box.dispatchEvent(new Event('input')); })()"
    )
    assert browser.run(rewards) == sorted(browser.run(rewards), reverse=True)
    assert browser.run("document.getElementById('picker').elements.namedItem('step').selectedOptions[0].textContent") == "120"
    browser.run("document.getElementById('before').click()")
    assert browser.run("document.getElementById('picker').elements.namedItem('step').selectedOptions[0].textContent") == "60"
    assert browser.run("document.querySelector('#browser img').naturalWidth") > 0


def test_curves_are_read_with_the_keyboard(grpo_dir: Path, browse: Open) -> None:
    browser = browse(build(grpo_dir))
    browser.run(
        "(() => { const c = document.querySelector('svg.lines'); c.focus();"
        " c.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowLeft', bubbles: true})); })()"
    )
    told = browser.run("document.getElementById('tip').hidden ? '' : document.getElementById('tip').textContent")
    assert told.startswith("119\nreward")


@pytest.mark.parametrize("dark", [False, True])
def test_light_and_dark_follow_the_system_and_the_button(grpo_dir: Path, browse: Open, dark: bool) -> None:
    browser = browse(build(grpo_dir), dark=dark)
    brightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0)"
    assert (browser.run(brightness) < 200) == dark
    browser.run("document.getElementById('theme').click()")
    assert (browser.run(brightness) < 200) != dark


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_no_serious_violation(pipeline_dir: Path, browse: Open, dark: bool) -> None:
    script = Path(os.environ.get("AXE_CORE", "node_modules/axe-core/axe.min.js"))
    if not script.is_file():
        pytest.skip("axe-core is not here: `npm pack axe-core`, unpack it, and set AXE_CORE=<folder>/package/axe.min.js")
    browser = browse(build(pipeline_dir), 1400, dark)
    browser.call("Runtime.evaluate", expression=script.read_text(encoding="utf-8"))
    found = json.loads(
        browser.run("axe.run().then(r => JSON.stringify(r.violations.map(v => [v.impact, v.id, v.nodes[0].html])))")
    )
    assert [violation for violation in found if violation[0] in ("serious", "critical")] == []
