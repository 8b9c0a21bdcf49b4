"""Cards say what the run knows, with the hub's front matter, no path of the machine, and what is not known."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import DatasetCard, ModelCard

from facial_r1 import runs
from facial_r1.cards import dataset_card, model_card, write_cards
from facial_r1.cards.command import main
from facial_r1.cards.facts import base_model, parts
from facial_r1.cards.markdown import front_matter, hide_paths, is_ours, page, table
from facial_r1.errors import InputError
from facial_r1.report.load import load_run
from tests.cards.runs_on_disk import BY, RESOLVED, ROW, SUMMARY, prepared, trained, write, written


@pytest.fixture
def card(tmp_path: Path) -> str:
    return model_card(load_run(trained(tmp_path, summary={**SUMMARY, "by": BY})))


def test_the_hub_reads_the_front_matter(card: str):
    read = ModelCard(card)
    assert read.data.base_model == "Qwen/Qwen2.5-VL-7B-Instruct" and read.data.pipeline_tag == "image-text-to-text"
    assert read.data.datasets == ["raf_db"] and read.data.license == "unknown" and {"sft", "grpo"} <= set(read.data.tags)
    [result] = read.data.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_name) == ("accuracy", 0.921, "raf_db")
    assert "0.900 to 0.940" in result.metric_name, "a figure travels with its interval"
    assert read.data.metrics == ["accuracy"]


@pytest.mark.parametrize(
    "said",
    [
        "| Emotion accuracy | 0.921 | 0.900 to 0.940 | 3068 | 3068 | 0.386 |",
        "| Unparsed answers | 31 | 1.0% |",
        "3068 rows without action units",
        "| male | 1468 | 0.890 [0.900, 0.940] |",
        "Emotion accuracy is lowest for male",
        "accuracy (1), format (0.5)",
        "16 prompts x 8 answers",
        "| steps | 57 |",
        "64 of 12,271 rows",
        "12,271 rows on the train side; 3,068 rows on the test side; 2 bad rows left out",
        "on request from the owners, for non-commercial research only",
        "**SFT** (`sft-1`): data.amount=64, of 12,271 rows; 2.0 epochs",
        "all but vision",
        "8 (zero3)",
        "facial_r1 0.1.0, git abc123",
        "at most 262,144 pixels",
        "'Which emotion?'",
        "arXiv 2511.10254v1",
        "arXiv 2402.03300",
        "Article 5(1)(f)",
        "medical or safety",
        "Consent",
        "Licence: not stated",
        "seed 7",
    ],
)
def test_a_model_card_says(card: str, said: str):
    assert said in card


def test_no_path_of_the_machine_is_in_a_card(tmp_path: Path):
    pages = [
        model_card(load_run(trained(tmp_path))),
        dataset_card(load_run(written(tmp_path))),
        dataset_card(load_run(prepared(tmp_path))),
    ]
    assert not any("/home/someone" in text or str(tmp_path) in text for text in pages)


def test_what_is_not_known_is_said(tmp_path: Path):
    run = trained(tmp_path, summary={"stage": "grpo", "metrics": {}})
    shutil.rmtree(tmp_path / "sft-1")
    (run / "metrics.jsonl").unlink()
    text = model_card(load_run(run))
    assert "This run was not evaluated" in text and "its settings are not known" in text
    assert "model-index" not in text.split("---")[1] and "| steps | 60 steps |" in text


def test_groups_not_computed_and_drawn_faces_are_limits(tmp_path: Path):
    drawn = {**RESOLVED, "data": {"name": "schematic", "kind": "schematic"}, "model": {"source": "embedded:tiny"}}
    run = write(tmp_path / "sft-1", "sft", resolved=drawn)
    (run / "model").mkdir()
    text = model_card(load_run(run))
    assert "Trained on drawn faces only" in text and "Figures by group of people were not computed" in text
    assert front_matter(text).get("base_model") is None and "the tiny Qwen2.5-VL that comes with facial_r1" in text  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("start", "model", "base"),
    [
        (None, "Qwen/Qwen3-VL-8B-Instruct", "Qwen/Qwen3-VL-8B-Instruct"),
        ("someone/face-model", "Qwen/Qwen3-VL-8B-Instruct", "someone/face-model"),
        ("/gone/outputs/sft-2", "Qwen/Qwen3-VL-8B-Instruct", "Qwen/Qwen3-VL-8B-Instruct"),
        (None, "/models/mine", None),
        (None, "embedded:tiny", None),
    ],
)
def test_the_base_is_where_training_began(tmp_path: Path, start: str | None, model: str, base: str | None):
    run = write(tmp_path / "grpo-2", "grpo", resolved={**RESOLVED, "model": {"source": model}, "init_from": start})
    assert base_model(load_run(run))[0] == base


def test_a_mix_names_each_dataset_with_its_licence():
    mix = {
        "name": "mix",
        "kind": "jsonl",
        "protocol": {"name": "generic"},
        "sources": [{"source": "disfa", "name": "faces"}, {"files": ["/x/mine.jsonl"]}],
    }
    first, second = parts({"data": mix})
    assert (first.name, first.protocol) == ("faces", "disfa") and "research only" in first.licence
    assert (second.name, second.licence) == ("mine.jsonl", "")


def test_a_synthesis_card_has_counts_acceptance_and_how_it_was_made(tmp_path: Path):
    text = dataset_card(load_run(written(tmp_path)))
    read = DatasetCard(text)
    assert read.data.size_categories == ["n<1K"] and read.data.configs[0]["data_files"] == [
        {"split": "train", "path": "accepted.jsonl"}
    ]
    for said in ("Kept: 1 of 4 (25.0%)", "the labels were in its prompt", "| accepted.jsonl | 1 | 1 | 1 | 5 |", "| Label | 2 |", "`description`",
                 "| happiness | 1 |", "on request from the owners", "The labels were in the prompt, so the reasoning leads to them"):  # fmt: skip
        assert said in text, said


def test_a_prepare_card_has_a_split_for_each_side(tmp_path: Path):
    text = dataset_card(load_run(prepared(tmp_path)))
    assert {entry["split"] for entry in DatasetCard(text).data.configs[0]["data_files"]} == {"train", "test"}
    assert "| no face | 3 |" in text and "2 pictures lie in .../images" in text and "Facial-R1 (AAAI" not in text


def test_the_command_writes_beside_the_model_and_takes_a_licence(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = trained(tmp_path)
    assert main([str(run), "--license", "apache-2.0"]) == 0
    file = Path(capsys.readouterr().out.strip())
    assert file == run / "model" / "README.md" and front_matter(file.read_text())["license"] == "apache-2.0"  # type: ignore[index]


def test_a_pipeline_gets_a_card_for_each_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    whole = write(tmp_path / "pipeline-1", "pipeline")
    run = trained(tmp_path / "other")
    shutil.move(run, whole / "03_grpo")
    shutil.move(written(tmp_path / "another"), whole / "04_synthesis")
    write(whole / "01_base", "eval")
    assert main([str(whole)]) == 0
    assert [Path(line).relative_to(whole) for line in capsys.readouterr().out.splitlines()] == [
        Path("03_grpo/model/README.md"), Path("04_synthesis/README.md"),
    ]  # fmt: skip


def test_a_card_edited_by_hand_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = trained(tmp_path)
    [file] = write_cards(run)
    write_cards(run)
    file.write_text(file.read_text().replace("Consent", "My own words"))
    assert main([str(run)]) == 2 and "--force" in capsys.readouterr().err and "My own words" in file.read_text()
    assert main([str(run), "--force"]) == 0 and "My own words" not in file.read_text()


def test_further_evaluations_are_shown_and_others_refused(tmp_path: Path):
    run = trained(tmp_path)
    other = write(tmp_path / "eval-1", "eval", model=str(run / "model"), data={"name": "sfew"})
    [file] = write_cards(run, [other])
    assert "### sfew (`eval-1`)" in file.read_text() and {
        r.dataset_name for r in ModelCard(file.read_text()).data.eval_results
    } == {"raf_db", "sfew"}
    assert "on the test side of its own training data only" not in file.read_text()
    wrong = write(tmp_path / "eval-2", "eval", model="/somewhere/else")
    with pytest.raises(InputError, match="evaluated /somewhere/else"):
        write_cards(run, [wrong])


@pytest.mark.parametrize(("stage", "message"), [("eval", "neither a model nor a dataset"), ("sft", "no model/ there")])
def test_what_has_no_card_is_refused(tmp_path: Path, stage: str, message: str, capsys: pytest.CaptureFixture[str]):
    assert main([str(write(tmp_path / "run", stage))]) == 2
    assert message in capsys.readouterr().err


def test_no_rows_no_dataset(tmp_path: Path):
    with pytest.raises(InputError, match="no rows were written"):
        dataset_card(load_run(written(tmp_path, rows=[])))


def test_a_finished_run_writes_its_card_and_a_failure_to_do_so_fails_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = trained(tmp_path)
    runs.write_card(runs.RunDirectory(run))
    assert is_ours((run / "model" / "README.md").read_text())
    (run / "model" / "README.md").write_text("mine")
    runs.write_card(runs.RunDirectory(run))
    assert "could not be written" in capsys.readouterr().err and (run / "model" / "README.md").read_text() == "mine"


def test_no_secret_of_the_settings_is_in_a_card(tmp_path: Path):
    run = write(
        tmp_path / "grpo-1",
        "grpo",
        resolved={
            **RESOLVED,
            "prompt": {"instruction": "hf_" + "a" * 30},
            "generation": {"api_key": "very-secret"},  # pragma: allowlist secret
        },
    )
    (run / "model").mkdir()
    text = model_card(load_run(run))
    assert "very-secret" not in text and "hf_aaaa" not in text


def test_writing_a_card_needs_no_torch(tmp_path: Path):
    run = trained(tmp_path)
    script = f"import sys; from facial_r1.cards.command import main; main([{str(run)!r}]); print([m for m in ('torch', 'transformers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("in /data/people/faces, twice", "in .../faces, twice"),
        ("see https://arxiv.org/abs/2402.03300", "see https://arxiv.org/abs/2402.03300"),
        ("<think>a</think><answer>b</answer>", "<think>a</think><answer>b</answer>"),
        ("~/faces/1.jpg and C:/Users/me/x.png", ".../1.jpg and .../x.png"),
        ("Qwen/Qwen2.5-VL", "Qwen/Qwen2.5-VL"),
    ],
)
def test_paths_are_hidden_and_nothing_else(text: str, shown: str):
    assert hide_paths(text) == shown


def test_a_page_knows_whether_it_was_changed():
    text = page({"license": "mit", "nothing": None}, "# A")
    assert is_ours(text) and not is_ours(text + "x") and not is_ours("# A") and front_matter(text) == {"license": "mit"}


def test_a_table_escapes_bars_and_line_ends():
    assert table(("a",), [("x|y\nz",)]).splitlines()[-1] == "| x\\|y z |" and table(("a",), []) == ""


def test_a_row_that_is_no_json_is_named(tmp_path: Path):
    run = written(tmp_path)
    (run / "accepted.jsonl").write_text(json.dumps(ROW) + "\n{broken\n")
    with pytest.raises(InputError, match=r"accepted\.jsonl:2"):
        dataset_card(load_run(run))


@pytest.mark.slow
def test_a_training_run_leaves_a_card_that_knows_how_many_rows_it_used(cold_start: Path):
    text = (cold_start / "model" / "README.md").read_text()
    used = json.loads((cold_start / "status.json").read_text())["used"]
    assert is_ours(text) and f"Trained on {used['rows']} of {used['of']} rows" in text and "This run was not evaluated" in text
