"""push: nothing without the command, nothing that should not leave, and every refusal readable with exit code 2."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import huggingface_hub
import pytest
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError
from PIL import Image

from facial_r1.cards import write_cards
from facial_r1.publish.command import main
from facial_r1.publish.parcel import pack
from facial_r1.report.load import load_run
from tests.cards.runs_on_disk import ROW, prepared, trained, write, written

REPO = "me/face-model"


class FakeApi:
    """Records what would be sent."""

    def __init__(self, **arguments: Any) -> None:
        self.public = False
        self.created: list[dict[str, Any]] = []
        self.commits: list[dict[str, bytes]] = []
        self.error: Exception | None = None

    def __call__(self, **arguments: Any) -> FakeApi:
        assert "token" not in arguments, "the token is the library's own business"
        return self

    def create_repo(self, repository: str, **options: Any) -> None:
        if self.error:
            raise self.error
        self.created.append({"repository": repository, **options})

    def repo_info(self, repository: str, repo_type: str) -> SimpleNamespace:
        return SimpleNamespace(private=not self.public)

    def create_commit(self, repository: str, operations: list[Any], **options: Any) -> None:
        contents = {op.path_in_repo: op.path_or_fileobj for op in operations}
        self.commits.append({name: one if isinstance(one, bytes) else Path(one).read_bytes() for name, one in contents.items()})


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    api = FakeApi()
    monkeypatch.setattr(huggingface_hub, "HfApi", api)
    return api


@pytest.fixture
def model(tmp_path: Path) -> Path:
    run = trained(tmp_path)
    write_cards(run)
    return run


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.splitlines()[-1].startswith("facial-r1 push: ")
    return said


def test_a_model_is_uploaded_in_one_commit(hub: FakeApi, model: Path, capsys: pytest.CaptureFixture[str]):
    assert main([str(model), "--repo", REPO, "--private"]) == 0
    assert hub.created == [{"repository": REPO, "repo_type": "model", "private": True, "exist_ok": True}]
    [commit] = hub.commits
    assert set(commit) == {"README.md", "model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"}
    assert commit["README.md"] == (model / "model" / "README.md").read_bytes()
    assert capsys.readouterr().out.splitlines()[-1] == f"https://huggingface.co/{REPO}"


def test_a_dry_run_lists_files_and_sizes_without_the_library(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert main([str(model), "--repo", REPO, "--dry-run"]) == 0
    said = capsys.readouterr()
    lines = {line.split()[1]: line.split()[0] for line in said.out.splitlines()[:-1]}
    assert lines["model.safetensors"] == "64" and len(lines) == 5 and "nothing was uploaded" in said.err
    assert "license: unknown" in said.err


def test_only_safetensors_and_no_pictures_leave(hub: FakeApi, model: Path, capsys: pytest.CaptureFixture[str]):
    folder = model / "model"
    for name in ("pytorch_model.bin", "training_args.json", "face.png", "notes.docx"):
        (folder / name).write_bytes(b"x")
    assert main([str(model), "--repo", REPO]) == 0
    assert not {"pytorch_model.bin", "training_args.json", "face.png", "notes.docx"} & set(hub.commits[0])
    said = capsys.readouterr().err
    assert "pytorch_model.bin: not safetensors" in said and "face.png: a picture" in said and "notes.docx" in said
    assert main([str(model), "--repo", REPO, "--with-images"]) == 0 and "face.png" in hub.commits[1]


def test_without_safetensors_nothing_is_uploaded(hub: FakeApi, model: Path, capsys: pytest.CaptureFixture[str]):
    (model / "model" / "model.safetensors").rename(model / "model" / "pytorch_model.bin")
    assert "no weights as safetensors" in refused([str(model), "--repo", REPO], capsys) and not hub.created


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("config.json", '{\n"a": "hf_' + "a" * 30 + '"}', "config.json:2"),
        ("generation_config.json", '{"api_key": "short"}', "names a secret"),  # pragma: allowlist secret
        ("chat_template.jinja", "http://me:secret@host/x", "chat_template.jinja:1"),  # pragma: allowlist secret
        ("config.json", '{"_name_or_path": "/home/someone/outputs/run/model"}', "path of this machine"),
    ],
)
def test_secrets_and_paths_stop_it(
    hub: FakeApi, model: Path, name: str, text: str, said: str, capsys: pytest.CaptureFixture[str]
):
    (model / "model" / name).write_text(text)
    message = refused([str(model), "--repo", REPO], capsys)
    assert said in message and "hf_aaaa" not in message and not hub.created


def test_a_model_without_a_card_is_refused_with_the_command_that_writes_it(
    hub: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = trained(tmp_path)
    assert f"facial-r1 card {run}" in refused([str(run), "--repo", REPO], capsys) and not hub.created


@pytest.mark.parametrize(("card", "said"), [("# no front", "no front matter"), ("---\ntags: [a]\n---\n", "no license")])
def test_a_card_that_the_hub_cannot_read_is_refused(model: Path, card: str, said: str, capsys: pytest.CaptureFixture[str]):
    (model / "model" / "README.md").write_text(card)
    assert said in refused([str(model), "--repo", REPO], capsys)


def test_an_unfinished_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = trained(tmp_path, state="interrupted")
    write_cards(run)
    assert "interrupted" in refused([str(run), "--repo", REPO], capsys)


def test_private_and_there_already_in_public_is_refused(hub: FakeApi, model: Path, capsys: pytest.CaptureFixture[str]):
    hub.public = True
    assert "is public" in refused([str(model), "--repo", REPO, "--private"], capsys) and not hub.commits


def http_error(code: int) -> HfHubHTTPError:
    response = httpx.Response(code, request=httpx.Request("POST", "http://hub/api"))
    return HfHubHTTPError("refused", response=response)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (LocalTokenNotFoundError("no token"), "hf auth login"),
        (http_error(401), "does not know the token"),
        (http_error(403), "may not write"),
        (http_error(404), "no user or organisation me"),
        (http_error(500), "the hub refused (500"),
        (httpx.ConnectError("no route to host"), "cannot be reached"),
        (ConnectionError("no route"), "cannot be reached"),
    ],
)
def test_what_the_hub_says_is_one_line_with_the_fix(
    hub: FakeApi, model: Path, error: Exception, said: str, capsys: pytest.CaptureFixture[str]
):
    hub.error = error
    message = refused([str(model), "--repo", REPO], capsys)
    assert said in message and "Traceback" not in message and not hub.commits


@pytest.mark.parametrize("name", ["alone", "a/b/c", "../x", "a/b c", ""])
def test_a_wrong_name_is_refused_before_anything(model: Path, name: str, capsys: pytest.CaptureFixture[str]):
    assert "owner/name" in refused([str(model), "--repo", name], capsys)


def dataset(tmp_path: Path) -> tuple[Path, list[Path]]:
    faces = []
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        faces.append(tmp_path / place / "same.jpg")
        Image.new("RGB", (8, 8)).save(faces[-1])
    rows = [{**ROW, "id": f"dir/r{number}", "image": str(face)} for number, face in enumerate(faces)]
    run = written(tmp_path, rows)
    write_cards(run)
    return run, faces


def test_a_dataset_goes_without_faces_and_without_paths(hub: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run, _ = dataset(tmp_path)
    assert main([str(run), "--repo", REPO]) == 0
    assert hub.created[0]["repo_type"] == "dataset" and set(hub.commits[0]) == {"README.md", "accepted.jsonl", "yield.json"}
    rows = [json.loads(line) for line in hub.commits[0]["accepted.jsonl"].splitlines()]
    assert [row["image"] for row in rows] == ["images/dir_r0.jpg", "images/dir_r1.jpg"]
    assert rows[0]["meta_info"]["provenance"] == {"model": "grpo-1/model", "run": "synthesis-1"}
    assert "2 pictures of faces" in capsys.readouterr().err and str(tmp_path).encode() not in b"".join(hub.commits[0].values())


def test_faces_asked_for_are_where_the_rows_say(hub: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run, faces = dataset(tmp_path)
    assert main([str(run), "--repo", REPO, "--with-images"]) == 0
    assert (
        hub.commits[0]["images/dir_r1.jpg"] == faces[1].read_bytes()
        and "does the owner's licence allow it" in capsys.readouterr().err
    )


def test_a_face_that_is_gone_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run, faces = dataset(tmp_path)
    faces[1].unlink()
    assert str(faces[1]) in refused([str(run), "--repo", REPO, "--with-images", "--dry-run"], capsys)


def test_a_prepared_dataset_leaves_its_contact_sheet_at_home(tmp_path: Path):
    run = prepared(tmp_path)
    write_cards(run)
    parcel = pack(load_run(run))
    assert set(parcel.files) == {"README.md", "train.jsonl", "test.jsonl"} and "contact_sheet.png" in dict(parcel.left_out)


def test_of_a_pipeline_one_step_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    whole = write(tmp_path / "pipeline-1", "pipeline")
    write(whole / "03_grpo", "grpo")
    assert "03_grpo" in refused([str(whole), "--repo", REPO], capsys)


def test_an_evaluation_is_nothing_to_upload(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert "neither a model nor a dataset" in refused([str(write(tmp_path / "eval-1", "eval")), "--repo", REPO], capsys)
