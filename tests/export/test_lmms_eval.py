"""The exported task gives lmms-eval our prompt, our pictures and, for the same answers, the figures of `stage=eval`."""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from facial_r1.errors import InputError
from facial_r1.export.command import main
from facial_r1.export.lmms_task import METRICS, open_task
from tests.command import ROOT, facial_r1, run_directory

LABELS = ("happiness", "sadness", "fear")


class Loader(yaml.SafeLoader):
    """Reads `!function utils.name` as lmms-eval does: as the name of something in a module beside the file."""


Loader.add_constructor("!function", lambda loader, node: ("function", loader.construct_scalar(node)))  # type: ignore[arg-type]


def rows(folder: Path, *, open_words: bool = False) -> list[dict[str, Any]]:
    """Twelve faces of four people; some without units, some without a description, one without a label."""
    (folder / "faces").mkdir()
    found = []
    for number in range(12):
        Image.new("RGB", (90, 60), (20 * number, 90, 90)).save(folder / "faces" / f"{number}.png")
        label = ["joyful", "calm"] if open_words else [LABELS[number % 3]]
        found.append({"id": f"r{number}", "dataset": "mine", "image": f"{number}.png", "question": "", "AUs": None if number == 3 else ["AU6", "AU12"][: number % 3],
                      "labels": [] if number == 5 else label, "subject": f"s{number % 4}", "meta_info": {"note": number if number % 2 else "text"},
                      "description": "" if number == 7 else "<think>The lip corners rise (AU12).</think><answer>happiness</answer>"})  # fmt: skip
    return found


def answer(row: dict[str, Any]) -> str:
    """Right, wrong, unreadable and with an empty line in it, by turns."""
    number = int(row["id"][1:])
    named = "sad" if number % 4 == 1 else (row["labels"] or ["fear"])[0]
    text = f"<think>The lip corners rise (AU12).\n\nThe cheeks rise (AU{6 + number % 2}).</think><answer>{named}</answer>"
    return "I cannot tell." if number == 8 else text + "\n"


@pytest.fixture(scope="module", params=[False, True], ids=["labels", "open words"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A real evaluation of given answers, and what is exported from it."""
    folder = tmp_path_factory.mktemp("export")
    data = rows(folder, open_words=request.param)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in data))
    (folder / "answers.jsonl").write_text(
        "".join(json.dumps({"id": row["id"], "completion": answer(row)}) + "\n" for row in data)
    )
    protocol = (
        ["protocol=open"]
        if request.param
        else [f"data.protocol.labels=[{','.join(LABELS)}]", "data.protocol.empty_action_units=absent"]
    )
    settings = ["data.test_images=[faces]", *protocol, "model.image_size.mode=square", "model.image_size.side=56"]
    done = facial_r1(
        "stage=eval",
        "data=jsonl",
        "data.test_files=[rows.jsonl]",
        *settings,
        "stage.predictions=answers.jsonl",
        "run_dir=run",
        cwd=folder,
    )
    run = run_directory(done)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # the run names its data relative to where it was started
        assert main([str(run), "--lmms-eval", str(folder / "out")]) == 0
    return {
        "folder": folder,
        "run": run,
        "out": folder / "out",
        "task": folder / "out" / "facial_r1_jsonl",
        "rows": data,
        "settings": settings,
    }


@pytest.fixture(scope="module")
def config(exported: dict[str, Any]) -> dict[str, Any]:
    return yaml.load((exported["task"] / "facial_r1_jsonl.yaml").read_text(), Loader)


def functions(folder: Path) -> Any:
    """`utils.py`, loaded from its file as lmms-eval loads it."""
    spec = importlib.util.spec_from_file_location("utils", folder / "utils.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def docs(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "data.jsonl").read_text().splitlines()]


def test_the_task_has_the_keys_that_lmms_eval_reads(exported: dict[str, Any], config: dict[str, Any]):
    assert (config["task"], config["dataset_path"], config["test_split"], config["output_type"]) == (
        "facial_r1_jsonl",
        "json",
        "test",
        "generate_until",
    )
    assert (exported["task"] / config["dataset_kwargs"]["data_files"]["test"]).is_file(), (
        "relative to the YAML, so the folder can be moved"
    )
    assert config["generation_kwargs"]["until"] == [], "an empty line ends no answer"
    assert config["reasoning_tags"] == "none" and config["generation_kwargs"]["max_new_tokens"] == 128
    assert config["score_key"] == "score" and config["cluster_key"] == "subject"


def test_every_function_that_the_task_names_is_there(exported: dict[str, Any], config: dict[str, Any]):
    named = [value[1] for value in config.values() if isinstance(value, tuple)] + [
        entry["aggregation"][1] for entry in config["metric_list"]
    ]
    module = functions(exported["task"])
    assert len(named) == 5 + len(config["metric_list"])
    assert all(callable(getattr(module, name.removeprefix("utils."))) for name in named)


def test_figures_are_those_of_the_evaluation(exported: dict[str, Any], config: dict[str, Any]):
    """process_results on every row, then each aggregation, as lmms-eval does it (answers stripped, None left out)."""
    module, summary = functions(exported["task"]), json.loads((exported["run"] / "summary.json").read_text())["metrics"]
    items: dict[str, list[Any]] = {}
    for doc, row in zip(docs(exported["task"]), exported["rows"], strict=True):
        for name, item in module.process_results(doc, [answer(row).strip()]).items():
            items.setdefault(name, []).append(json.loads(json.dumps(item)))
    reported = {entry["metric"]: entry["aggregation"][1].removeprefix("utils.") for entry in config["metric_list"]}
    assert set(reported) == {name for name in METRICS if name in summary} and "format/valid" in reported
    for name, function in reported.items():
        figure: Callable[[Any], float] = getattr(module, function)
        assert figure(items[name]) == pytest.approx(summary[name]["value"]), name
        assert len(items[name]) == summary[name]["n"], name


def test_only_means_have_scores_of_samples(exported: dict[str, Any]):
    """lmms-eval makes standard errors of them; that of a mean must not stand beside a macro-F1."""
    found = open_task(exported["task"]).process_results(docs(exported["task"])[0], [answer(exported["rows"][0])])
    assert {name for name, item in found.items() if isinstance(item, dict) and "score" in item} <= {
        "emotion/accuracy", "au/subset_accuracy", "text/rouge_l", "format/valid",
    }  # fmt: skip
    assert isinstance(found["score"], float) and found["format/valid"]["subject"] == "mine/subject/s0"


def test_the_prompt_is_the_one_of_the_run_and_pictures_have_its_size(exported: dict[str, Any]):
    module, [doc, *_] = functions(exported["task"]), docs(exported["task"])
    [sample, *_] = [json.loads(line) for line in (exported["run"] / "samples.jsonl").read_text().splitlines()]
    assert (
        module.doc_to_text(doc) == sample["prompt"]
        and module.doc_to_text(doc, {"pre_prompt": "A ", "post_prompt": " B"}) == f"A {sample['prompt']} B"
    )
    [picture] = module.doc_to_visual(doc)
    assert picture.mode == "RGB" and picture.size == (56, 56)
    [turn] = module.doc_to_messages(doc)
    assert [part["type"] for part in turn["content"]] == ["image", "text"] and turn["content"][1]["text"] == sample["prompt"]


def test_samples_have_the_shape_of_lmms_evals_log(exported: dict[str, Any]):
    [file] = (exported["out"] / "samples" / "run").glob("*_samples_facial_r1_jsonl.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["doc_id"] for line in lines] == list(range(12))
    assert {"doc_id", "target", "filtered_resps", "token_counts", "doc_hash", "input", "score"} <= set(lines[0])
    assert lines[0]["filtered_resps"] == answer(exported["rows"][0]).strip() and lines[1]["target"].startswith("AU6; ")
    assert all(isinstance(line["score"], float) and len(line["doc_hash"]) == 64 for line in lines)


def test_columns_have_one_type_each(exported: dict[str, Any]):
    """lmms-eval reads the rows as a table; a field that is a number here and a text there would stop it."""
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_list(docs(exported["task"]))
    assert len(table) == 12 and table[3]["AUs"] is None and table[2]["AUs"] == ["AU6", "AU12"]


def test_a_file_of_rows_is_asked_by_the_settings(exported: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(exported["folder"])
    assert main(["rows.jsonl", *exported["settings"], "prompt=brief", "--lmms-eval", str(tmp_path), "--task", "My faces!"]) == 0
    found = docs(tmp_path / "my_faces")
    assert len(found) == 12 and (tmp_path / "my_faces" / "my_faces.yaml").is_file() and not (tmp_path / "samples").exists()
    assert (
        "Think inside <think></think>" in found[0]["prompt"]
        and "prompt brief" in (tmp_path / "my_faces" / "my_faces.yaml").read_text()
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["absent.jsonl"], "no such run or file"),
        (["run", "prompt=brief"], "without settings"),
        (["rows.jsonl", "data.images=[faces]", "prompt=breif"], "brief"),
        (["answers.jsonl", "data.images=[faces]"], "answers.jsonl:1"),
        (["faces"], "no samples.jsonl"),
    ],
)
def test_what_cannot_be_exported_is_said(
    exported: dict[str, Any],
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(exported["folder"])
    assert main([*arguments, "--lmms-eval", str(tmp_path / "new")]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "new").exists()


def test_a_folder_of_somebody_else_is_not_replaced(
    exported: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "facial_r1_jsonl").mkdir()
    (tmp_path / "facial_r1_jsonl" / "thesis.txt").write_text("x")
    monkeypatch.chdir(exported["folder"])
    assert main([str(exported["run"]), "--lmms-eval", str(tmp_path)]) == 2
    assert "no task of ours" in capsys.readouterr().err and (tmp_path / "facial_r1_jsonl" / "thesis.txt").is_file()


def test_data_that_is_elsewhere_says_where_to_go(
    exported: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert main([str(exported["run"]), "--lmms-eval", str(tmp_path / "out")]) == 2
    assert "where the run was started" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_task_that_cannot_be_read_says_so(tmp_path: Path):
    with pytest.raises(InputError, match="export the task again"):
        open_task(tmp_path)


def test_no_samples_of_a_metric_are_no_number(exported: dict[str, Any]):
    assert math.isnan(open_task(exported["task"]).aggregation("format/valid")([]))


REAL = """
import json, sys
from lmms_eval.tasks import TaskManager, get_task_dict
folder, rows = sys.argv[1], json.loads(sys.argv[2])
manager = TaskManager(include_path=folder, include_defaults=False)
task = get_task_dict(["facial_r1_jsonl"], manager)["facial_r1_jsonl"]
items = {}
for doc, text in zip(task.test_docs_no_media(), rows):
    for name, item in task.process_results(doc, [text]).items():
        items.setdefault(name, []).append(item)
visual = task.doc_to_visual(task.test_docs()[0])
print(json.dumps({"figures": {name: task.aggregation()[name](found) for name, found in items.items() if name in task.aggregation()},
                  "text": task.doc_to_text(task.test_docs()[0]), "size": visual[0].size, "until": task.config.generation_kwargs["until"]}))
"""


def test_lmms_eval_itself_loads_the_task_and_agrees(exported: dict[str, Any], tmp_path: Path):
    if importlib.util.find_spec("lmms_eval") is None:
        pytest.skip("lmms-eval is not installed")
    texts = json.dumps([answer(row) for row in exported["rows"]])
    env = {
        "PYTHONPATH": str(ROOT),
        "PATH": "/usr/bin:/bin",
        "HF_HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "1",
        "HOME": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", REAL, str(exported["out"]), texts], capture_output=True, text=True, env=env, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    summary = json.loads((exported["run"] / "summary.json").read_text())["metrics"]
    assert found["figures"] == pytest.approx({name: summary[name]["value"] for name in METRICS if name in summary})
    assert found["size"] == [56, 56] and found["until"] == []
