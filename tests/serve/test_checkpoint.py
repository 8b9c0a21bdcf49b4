"""The folder that a server gets: the run's own where its processor shows pictures as the job says, else one that does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from facial_r1.config.schema import ImageSize, Model
from facial_r1.errors import InputError
from facial_r1.models import tiny
from facial_r1.serve.checkpoint import folder_to_serve


def model(image_size: ImageSize) -> Model:
    return Model(name="tiny", source=tiny.SOURCE, architecture="qwen2_5_vl", image_size=image_size, max_position=2048)


AS_TRAINED = model(ImageSize(mode="square", side=112))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the embedded checkpoint, as a run writes it."""
    return Path(shutil.copytree(tiny.WEIGHTS, tmp_path / "run" / "model"))


def bounds(folder: Path) -> dict[str, int]:
    return dict(json.loads((folder / "processor_config.json").read_text())["image_processor"]["size"])


@pytest.mark.parametrize("image_size", [ImageSize(mode="square", side=112), ImageSize(mode="native"), ImageSize(mode="budget")])
def test_a_run_is_served_as_it_is(folder: Path, tmp_path: Path, image_size: ImageSize) -> None:
    assert folder_to_serve(model(image_size), str(folder), tmp_path / "cache") == folder
    assert not (tmp_path / "cache").exists()


def test_the_embedded_model_is_served_from_the_package(tmp_path: Path) -> None:
    assert folder_to_serve(AS_TRAINED, tiny.SOURCE, tmp_path) == tiny.WEIGHTS


def test_another_picture_size_gets_a_processor_of_its_own(folder: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "preprocessor_config.json").write_text("{}")  # where older checkpoints keep what is now in processor_config.json
    served = folder_to_serve(model(ImageSize(mode="square", side=56)), str(folder), tmp_path / "cache")
    assert served.parent == tmp_path / "cache" / "served" and served.name.startswith("run-")
    assert bounds(served) == {"shortest_edge": 56 * 56, "longest_edge": 56 * 56}
    assert (served / "model.safetensors").resolve() == (folder / "model.safetensors") and (
        served / "chat_template.jinja"
    ).is_file()
    assert not (served / "preprocessor_config.json").exists()
    assert {name: (folder / name).read_bytes() for name in before} == before, "the run itself is not written to"
    assert folder_to_serve(model(ImageSize(mode="square", side=56)), str(folder), tmp_path / "cache") == served


def test_bounds_under_their_older_names_are_written_anew(folder: Path, tmp_path: Path) -> None:
    file = folder / "processor_config.json"
    settings = json.loads(file.read_text())
    settings["image_processor"] |= {"min_pixels": 784, "max_pixels": 3136}
    file.write_text(json.dumps(settings))
    served = folder_to_serve(AS_TRAINED, str(folder), tmp_path / "cache")
    assert served != folder and bounds(served) == {"shortest_edge": 12544, "longest_edge": 12544}


def test_a_checkpoint_without_a_chat_template_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match="no chat template there"):
        folder_to_serve(AS_TRAINED, str(folder), tmp_path)


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no config\.json there"):
        folder_to_serve(AS_TRAINED, str(tmp_path), tmp_path)


def test_a_hub_id_that_cannot_be_had_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"owner/none: no folder of that name, and the hub .*hf download owner/none"):
        folder_to_serve(AS_TRAINED, "owner/none", tmp_path)


def test_a_damaged_file_is_named(folder: Path, tmp_path: Path) -> None:
    (folder / "processor_config.json").write_text("{")
    with pytest.raises(InputError, match=r"processor_config\.json: not JSON"):
        folder_to_serve(AS_TRAINED, str(folder), tmp_path)
