"""`facial-r1 predict` on the embedded model and on servers: what is written, what is counted, how it ends."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from facial_r1.app import main
from facial_r1.data.schematic.drawing import draw
from facial_r1.data.schematic.faces import face
from facial_r1.generation import openai_engine
from tests.command import SMALL, facial_r1, run_directory
from tests.data.media.made import tone, write_sound, write_video
from tests.generation.fake_server import Body, serving

GOOD = "<think>The lip corners rise (AU12).</think><answer>happy</answer>"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four drawn faces in the folder where the command is given."""
    folder = tmp_path / "faces"
    folder.mkdir()
    for number in range(4):
        draw(face(0, number, range(40))).save(folder / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command in this process: exit code, standard output, standard error."""

    def given(*arguments: str, lines: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(lines))
        try:
            code = main(["predict", *arguments])
        except SystemExit as stop:
            code = int(str(stop.code))
        done = capsys.readouterr()
        return code, done.out, done.err

    return given


def server(url: str) -> list[str]:
    return ["generation=openai", f"generation.base_url={url}", "generation.model=fake", "generation.cache=false"]


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_the_embedded_base_answers_and_says_what_it_cannot_do(faces: Path, run: Run) -> None:
    code, out, err = run("faces/0.png", "output_root=nothing")
    assert code == 0 and out.startswith("faces/0.png\n  emotion:") and "not in the answer format" in out
    assert "never seen the answer format; train one first: python -m facial_r1 stage=sft" in err
    assert "1 answered, 1 of them not in the answer format" in err


def test_a_broken_picture_costs_only_itself(faces: Path, run: Run) -> None:
    """One that is no picture, and one whose header is sound and whose data is cut off."""
    (faces / "text.png").write_text("no picture")
    (faces / "cut.png").write_bytes((faces / "1.png").read_bytes()[:500])
    code, _, err = run("faces", "--jsonl", "out.jsonl")
    assert code == 0 and "4 answered" in err and "2 could not be read" in err
    assert "text.png: unreadable image" in err and "cut.png: unreadable image" in err
    assert [row["id"] for row in rows(Path("out.jsonl"))] == [f"faces/{number}.png" for number in range(4)]


def test_settings_reach_the_engine(faces: Path, run: Run) -> None:
    with serving(answer=lambda body, index: GOOD) as fake:
        code, out, _ = run("-", "--jsonl", "-", "--prompt", "facial_r1", "--question", "Which mood?", "stage.max_new_tokens=9",
                           "protocol=raf_db", *server(fake.url), lines="faces/0.png\nfaces/1.png\n")  # fmt: skip
    assert code == 0 and [json.loads(line)["labels"] for line in out.splitlines()] == [["happiness"]] * 2
    body = fake.bodies[0]
    text = body["messages"][-1]["content"][-1]["text"]
    assert body["max_tokens"] == 9 and "Which mood?" in text and "surprise, fear, disgust" in text and len(text) > 1000


def test_the_rows_hold_the_published_fields_and_the_answer(faces: Path, run: Run) -> None:
    with serving(answer=lambda body, index: GOOD) as fake:
        run("faces/2.png", "--jsonl", "out.jsonl", *server(fake.url))
    (row,) = rows(Path("out.jsonl"))
    assert row == {
        "id": "faces/2.png", "dataset": "predicted", "image": str(faces / "2.png"), "question": "", "AUs": ["AU12"],
        "labels": ["happiness"], "description": GOOD, "meta_info": {}, "completion": GOOD, "valid": True, "finish_reason": "stop",
    }  # fmt: skip


def test_answers_that_a_server_fails_to_give_are_counted(faces: Path, run: Run) -> None:
    asked: list[Body] = []

    def fault(body: Body, attempt: int) -> str | None:
        asked.append(body)
        return "400" if len(asked) == 2 else None

    with serving(fault, answer=lambda body, index: GOOD) as fake:
        code, _, err = run("faces", "--jsonl", "out.jsonl", "generation.concurrency=1", *server(fake.url))
    assert code == 1 and "3 answered, 1 failed" in err and "no answer: invalid after 1 try" in err
    assert len(rows(Path("out.jsonl"))) == 3


def test_a_server_that_is_gone_ends_the_command_with_1(faces: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_engine, "GIVE_UP_AFTER", 2)
    Path("out.jsonl").write_text("what was there\n")
    with serving(lambda body, attempt: "400") as fake:
        code, _, err = run("faces", "--jsonl", "out.jsonl", *server(fake.url))
    assert code == 1 and "failed one after the other" in err and "Traceback" not in err
    assert (
        Path("out.jsonl").read_text() == "what was there\n"
        and [path.name for path in Path.cwd().iterdir()].count(".out.jsonl.partial") == 0
    )


def test_ctrl_c_keeps_what_was_answered(faces: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from facial_r1.predict.asking import Asking

    ask, chunks = Asking.ask, []

    def interrupted(self: Any, *arguments: Any) -> Any:
        chunks.append(1)
        if len(chunks) == 2:
            raise KeyboardInterrupt
        return ask(self, *arguments)

    monkeypatch.setattr(Asking, "ask", interrupted)
    with serving(answer=lambda body, index: GOOD) as fake:
        code, _, err = run("faces", "--jsonl", "out.jsonl", "generation.concurrency=1", *server(fake.url))
    assert code == 130 and "2 answered" in err and len(rows(Path("out.jsonl"))) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model=tiny"], "nothing to look at"),
        (["faces/0.pgn"], "nothing to read: 1 of 1 could not be used"),
        (["-"], "nothing to read"),
        (["faces", "init_from=nowhere/at/all"], "there is no such folder. Give a run"),
        (["faces", "prompt=breif"], "did you mean 'brief'"),
        (["faces", "--prompt", "breif"], "did you mean 'brief'"),
        (["faces", "modle=tiny"], "did you mean 'model'"),
        (["faces", "stage=sft"], "leave stage= out"),
        (["faces", "generation=vllm"], "generation=vllm needs vLLM"),
        (["faces", "model.source=/nowhere"], "there is no such directory"),
        (["faces", "--jsonl", "gone/out.jsonl"], "--jsonl gone/out.jsonl: give a file in a folder that exists"),
        (["faces", "--jsonl", "faces"], "--jsonl faces: give a file"),
        ([], "the following arguments are required"),
        (["faces", "--jsnl", "x"], "unrecognized arguments: --jsnl"),
    ],
)
def test_what_is_wrong_is_refused_with_2(faces: Path, run: Run, arguments: list[str], message: str) -> None:
    if "generation=vllm" in arguments and __import__("importlib.util").util.find_spec("vllm"):
        pytest.skip("vLLM is installed here")
    code, out, err = run(*arguments)
    assert code == 2 and message in err and not out, err


def test_pictures_that_are_all_broken_are_nothing_to_read(faces: Path, run: Run) -> None:
    Path("bad.png").write_text("no picture")
    code, _, err = run("bad.png")
    assert code == 2 and "no file could be opened" in err


def test_a_file_with_an_equals_sign_in_its_name_is_a_file(faces: Path, run: Run) -> None:
    (faces / "0.png").rename("id=3.png")
    with serving(answer=lambda body, index: GOOD) as fake:
        code, out, _ = run("id=3.png", *server(fake.url))
    assert code == 0 and out.startswith("id=3.png\n  emotion:      happiness")


@pytest.mark.slow
def test_answers_are_those_of_an_evaluation(tmp_path: Path, cold_start: Path, face_cache: Path) -> None:
    """The same rows through stage=eval and through predict: the same text, character for character."""
    done = facial_r1(
        "stage=eval", f"init_from={cold_start}", *SMALL, "stage.resamples=0", f"run_dir={tmp_path}/run", cache=face_cache
    )
    samples = rows(run_directory(done) / "samples.jsonl")
    (test_rows,) = face_cache.glob("schematic-48-16-24-*/test.jsonl")
    told = facial_r1("predict", str(test_rows), f"init_from={cold_start}", "--jsonl", f"{tmp_path}/out.jsonl")
    assert told.returncode == 0, told.stderr
    said = {row["id"]: row for row in rows(tmp_path / "out.jsonl")}
    assert len(said) == len(samples) == 16
    for row in samples:
        mine = said[row["id"]]
        assert mine["completion"] == row["completion"] and mine["valid"] == row["parsed"]["valid"], row["prompt"]
    assert len({row["completion"] for row in samples}) > 3, "answers that are all alike show nothing"


def test_clips_and_sounds_are_seen_and_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    """A video with the sound of its name beside it is one row, a broken one costs only itself."""
    pytest.importorskip("av")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "clips"
    write_video(folder / "a.mp4", 8, size=(64, 64))
    write_sound(folder / "a.wav", tone(0.8))
    write_sound(folder / "b.wav", tone(0.8))
    write_video(folder / "c.mp4", 8, size=(64, 64), sound=tone(0.8))
    (folder / "cut.mp4").write_bytes((folder / "a.mp4").read_bytes()[:300])
    settings = ["model=tiny_omni", "prompt=clip", "stage.max_new_tokens=4", "output_root=nothing", "generation.cache=false"]
    code, _, err = run("clips", "--jsonl", "out.jsonl", *settings)
    assert code == 0 and "3 answered" in err and "cut.mp4" in err, err
    found = {row["id"]: row for row in rows(tmp_path / "out.jsonl")}
    has = {name: (Path(row.get("video", "")).name, Path(row.get("audio", "")).name) for name, row in found.items()}
    assert has == {"clips/a.mp4": ("a.mp4", "a.wav"), "clips/b.wav": ("", "b.wav"), "clips/c.mp4": ("c.mp4", "video")}


def test_a_model_that_sees_alone_is_shown_the_video_without_its_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    pytest.importorskip("av")
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "a.mp4", 8, size=(64, 64), sound=tone(0.8))
    code, _, err = run("a.mp4", "stage.max_new_tokens=4", "output_root=nothing", "generation.cache=false")
    assert code == 0 and "1 answered" in err, err
