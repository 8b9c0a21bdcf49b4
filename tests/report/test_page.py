"""report.html: complete, self-contained, safe, small, and built from whatever there is."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facial_r1.errors import InputError
from facial_r1.report import build, build_comparison
from facial_r1.report.command import main
from tests.report import fixture_run

ATTACK = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'>{{ 7*7 }}"


class Outline(HTMLParser):
    """What a page contains."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.data, self.text, self._in = "", "", ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self._in = "data" if attributes.get("id") == "data" else tag

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in == "data":
            self.data += data
        elif self._in not in ("script", "style"):
            self.text += data

    def ids(self) -> set[str]:
        return {attributes["id"] for _, attributes in self.tags if attributes.get("id")}  # type: ignore[misc]


@pytest.fixture(scope="module")
def pipeline_page(pipeline_dir: Path) -> str:
    return build(pipeline_dir).read_text(encoding="utf-8")


def test_a_pipeline_shows_every_section(pipeline_page: str) -> None:
    outline = Outline(pipeline_page)
    assert {"overview", "training", "recognition", "faces", "rollouts", "synthesis", "setup"} <= outline.ids()
    data = json.loads(outline.data)
    assert [model["label"] for model in data["models"]] == ["Base", "SFT", "GRPO", "After synthesis"]
    assert pipeline_page.count("confusion matrix") == 0 and pipeline_page.count('class="chart heatmap"') == 4
    for text in (
        "GRPO − SFT",
        "SFT on written data",
        "near duplicate",
        "Mean reward",
        "Action units, upper face",
        "lip corner puller",
        "0.160",
    ):
        assert text in pipeline_page.replace("+0.160", "0.160"), text


def test_a_run_shows_lineage_alert_prompt_configuration_and_baselines(grpo_dir: Path) -> None:
    outline = Outline(build(grpo_dir).read_text(encoding="utf-8"))
    for text in (
        "sft-0a1b2c3d",
        "groups without spread",
        "Write your reasoning between <think>",
        "learning_rate",
        "Majority",
        "Unparsed answers",
    ):
        assert text in outline.text, text


def test_no_secret_of_the_configuration_is_shown(pipeline_page: str) -> None:
    assert "very-secret" not in pipeline_page and "(hidden)" in pipeline_page


def test_nothing_is_loaded_from_anywhere(pipeline_page: str) -> None:
    outline = Outline(pipeline_page)
    for tag, attributes in outline.tags:
        for name in ("src", "href", "srcset", "action", "data", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, attributes)
    assert not re.search(r"@import|url\(", pipeline_page)
    policy = next(attributes["content"] for tag, attributes in outline.tags if attributes.get("http-equiv"))
    assert policy is not None and "default-src 'none'" in policy


def test_headings_do_not_skip_levels_and_images_have_texts(pipeline_page: str) -> None:
    outline = Outline(pipeline_page)
    levels = [int(tag[1]) for tag, _ in outline.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1 and all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert all(attributes.get("alt") for tag, attributes in outline.tags if tag == "img")
    assert all(attributes.get("aria-label") or attributes.get("aria-hidden") for tag, attributes in outline.tags if tag == "svg")


def test_building_again_gives_the_same_bytes(grpo_dir: Path) -> None:
    first = build(grpo_dir).read_bytes()
    assert build(grpo_dir).read_bytes() == first


def attack(value: Any) -> Any:
    """The value with every text replaced, keys that name files and structure excepted."""
    if isinstance(value, dict):
        kept = ("image", "state", "stage", "finish_reason")
        return {key: item if key in kept else attack(item) for key, item in value.items()}
    if isinstance(value, list):
        return [attack(item) for item in value]
    return ATTACK if isinstance(value, str) else value


def test_texts_of_users_and_models_stay_texts(tmp_path: Path) -> None:
    folder = fixture_run.make_grpo(tmp_path / "grpo", faces=4)
    fixture_run.write_synthesis(
        folder,
        [{**record, "image": record["image"]} for record in map(json.loads, (folder / "samples.jsonl").read_text().splitlines())],
    )
    for name in ("samples.jsonl", "alerts.jsonl", "accepted.jsonl", "rejected.jsonl"):
        rows = [json.loads(line) for line in (folder / name).read_text().splitlines()]
        (folder / name).write_text("".join(json.dumps(attack(row)) + "\n" for row in rows))
    for name in ("status.json", "yield.json"):
        (folder / name).write_text(json.dumps(attack(json.loads((folder / name).read_text()))))
    summary = json.loads((folder / "summary.json").read_text())
    summary["metrics"][ATTACK] = summary["metrics"][f"au/f1/{ATTACK}"] = {"value": 0.5, "low": 0.4, "high": 0.6}
    summary["failures"][ATTACK] = 0.5
    summary["baselines"][ATTACK] = {"emotion/accuracy": {"value": 0.1}}
    summary["differences"] = {ATTACK: {ATTACK: {"difference": 0.1, "low": 0.0, "high": 0.2, "p": 0.5}}}
    (folder / "summary.json").write_text(json.dumps(summary))
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        row[f"reward/{ATTACK}"] = row[ATTACK] = row["loss"]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "confusion.csv").write_text(
        (folder / "confusion.csv").read_text().replace("fear", '"' + ATTACK.replace('"', '""') + '"')
    )
    (folder / "resolved.yaml").write_text(json.dumps({"stage": {"name": ATTACK}, ATTACK: ATTACK}))
    page = build(folder).read_text(encoding="utf-8")
    outline = Outline(page)
    assert [tag for tag, _ in outline.tags].count("script") == 2
    assert not [attributes for _, attributes in outline.tags if any(name.startswith("on") for name in attributes)]
    assert "<img src=x" not in page and "49" not in re.findall(r"alert\(2\)&gt;&#34;&#39;&gt;(.{0,12})", page)
    assert ATTACK in json.loads(outline.data)["samples"][0]["labels"]


def test_a_failed_run_with_torn_files_still_has_a_page(grpo_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "torn"
    shutil.copytree(grpo_dir, folder, ignore=shutil.ignore_patterns("report.html"))
    fixture_run.write_status(folder, "grpo", state="failed", reason="CUDA out of memory")
    (folder / "summary.json").write_text("{")
    (folder / "samples.jsonl").write_text((folder / "samples.jsonl").read_text()[:-40])
    (folder / "metrics.jsonl").write_text((folder / "metrics.jsonl").read_text()[:-20])
    (folder / "confusion.csv").write_text("truth,fear\nfear,many\n")
    (folder / "resolved.yaml").write_text("a: [")
    (folder / "rollouts" / "step_00000060.parquet").write_bytes(b"")
    text = Outline(build(folder).read_text(encoding="utf-8")).text
    for part in (
        "CUDA out of memory",
        "summary.json could not be read",
        "broken line",
        "confusion.csv could not be read",
        "resolved.yaml could not be read",
        "step_00000060",
    ):
        assert part in text, part


@pytest.mark.parametrize("kept", ["status.json", "metrics.jsonl", "summary.json", "samples.jsonl"])
def test_one_file_is_enough(grpo_dir: Path, tmp_path: Path, kept: str) -> None:
    shutil.copy(grpo_dir / kept, tmp_path / kept)
    assert Outline(build(tmp_path).read_text(encoding="utf-8")).ids() >= {"overview", "setup"}


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run directory"):
        build(tmp_path)
    with pytest.raises(InputError, match="no run directory"):
        build(tmp_path / "absent")
    assert list(tmp_path.iterdir()) == []


def test_500_faces_of_the_worst_kind_stay_under_10_mb(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    records = []
    for index in range(500):
        Image.fromarray(noise.integers(0, 256, (128, 128, 3), np.uint8)).save(tmp_path / f"{index}.jpg", quality=95)
        records.append(
            {
                "id": str(index),
                "image": f"{index}.jpg",
                "AUs": ["AU1", "AU4"],
                "labels": ["fear"],
                "subject": "s",
                "meta_info": {},
            }
        )
    fixture_run.write_status(tmp_path, "eval")
    fixture_run.write_evaluation(tmp_path, records, 0.5)
    page = build(tmp_path)
    shown = json.loads(Outline(page.read_text(encoding="utf-8")).data)
    assert page.stat().st_size < 10_000_000
    assert len(shown["samples"]) == 500 and len(shown["faces"]) == 500


def test_a_page_that_would_be_too_large_shows_fewer_faces(grpo_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "grpo"
    shutil.copytree(grpo_dir, folder)
    whole = build(folder).stat().st_size
    page = build(folder, max_bytes=whole * 3 // 5)
    assert page.stat().st_size <= whole * 3 // 5
    assert "samples are in this page" in page.read_text(encoding="utf-8")


def test_a_comparison_shows_both_runs_on_the_same_faces(pipeline_dir: Path, tmp_path: Path) -> None:
    page = build_comparison({"A": pipeline_dir / "02_sft", "B": pipeline_dir / "03_grpo"}, tmp_path / "a_b.html")
    data = json.loads(Outline(page.read_text(encoding="utf-8")).data)
    assert [model["key"] for model in data["models"]] == ["A", "B"]
    assert all(set(row["answers"]) == {"A", "B"} for row in data["samples"])


def test_the_command_builds_pages_and_tables(grpo_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "grpo"
    shutil.copytree(grpo_dir, folder)
    assert main([str(folder), "--tables", "--compare", str(tmp_path / "c.html")]) == 0
    assert [Path(line).name for line in capsys.readouterr().out.split()] == [
        "report.html",
        "metrics.csv",
        "metrics.md",
        "metrics.tex",
        "c.html",
    ]
    assert main([str(tmp_path / "absent")]) == 2
    assert "no run directory" in capsys.readouterr().err


def test_importing_the_report_loads_no_heavy_library() -> None:
    heavy = ("torch", "transformers", "matplotlib", "pyarrow", "wandb", "rich")
    script = f"import sys, facial_r1.report; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_the_yields_of_both_tests_stand_side_by_side(pipeline_dir: Path) -> None:
    page = build(pipeline_dir).read_text()
    table = re.sub(r"<[^>]+>|\s+", " ", page[page.index('<table class="tests">') :].split("</table>")[0])
    cells = " ".join(table.split())
    assert cells.endswith("strict decides 1,002 (66.8%) 1,311 (87.4%) published 1,250 (83.3%) 1,423 (94.9%)"), cells
