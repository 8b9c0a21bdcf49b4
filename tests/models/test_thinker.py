"""The thinker behind a backbone: the library's numbers, loading out of a whole checkpoint, parts and freezing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, Qwen2_5OmniThinkerForConditionalGeneration

from facial_r1.config.schema import Model
from facial_r1.models import loading, tiny_omni
from facial_r1.models.media import Item, forward_arguments
from facial_r1.models.parts import parts
from facial_r1.models.perception import clip_item, expanded, picture_items, sound_item
from facial_r1.models.positions import rotary_positions, rule_of
from facial_r1.models.thinker import part_of_whole
from tests.models.drawn_media import asked, clip, sound
from tests.models.families import picture

MakeConfig = Callable[..., Model]
CLIP_SIZE = {"shortest_edge": 112 * 112, "longest_edge": 112 * 112}


@pytest.fixture(scope="module")
def tiny() -> Any:
    return tiny_omni(seed=0, random=True)


def ours(processor: Any, text: str, shown: dict[str, Any], order: tuple[str, ...]) -> tuple[torch.Tensor, list[Item]]:
    """Ids and items of one prompt by our own path."""
    messages = asked(text, *order)
    written = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    items: list[Item] = []
    for name in order:
        if name == "image":
            items += picture_items(processor, [shown["image"]])
        elif name == "audio":
            items.append(sound_item(processor, shown["audio"]))
        else:
            items.append(clip_item(processor, shown["video"]))
            items += [sound_item(processor, shown["audio"])] if name == "clip" else []
    ids = processor.tokenizer(expanded(processor, written, items, [name == "clip" for name in order]))["input_ids"]
    return torch.tensor(ids), items


def theirs(processor: Any, text: str, shown: dict[str, Any], order: tuple[str, ...]) -> dict[str, Any]:
    """The library's batch of one row."""
    written = processor.apply_chat_template(asked(text, *order), tokenize=False, add_generation_prompt=True)
    named: dict[str, Any] = {}
    if "image" in order:
        named["images"] = [shown["image"]]
    if {"video", "clip"} & set(order):
        frames = torch.from_numpy(shown["video"].frames).permute(0, 3, 1, 2)
        named |= {"videos": [frames], "fps": len(frames) / shown["video"].seconds, "size": CLIP_SIZE}
    if {"audio", "clip"} & set(order):
        named["audio"] = [shown["audio"]]
    if "images" in named and "videos" in named:
        del named["size"]
        named["videos_kwargs"] = {"size": CLIP_SIZE, "fps": named.pop("fps"), "do_sample_frames": False}
    return processor(text=[written], return_tensors="pt", use_audio_in_video="clip" in order, **named)


CASES = {
    "picture": ("image",),
    "clip alone": ("video",),
    "sound alone": ("audio",),
    "clip beside a sound": ("video", "audio"),
    "clip with its sound": ("clip",),
    "picture, then a clip with its sound": ("image", "clip"),
}
#: Frames, seconds of the clip, seconds of the sound: several turns of two seconds, either of them the longer one, an odd frame.
LENGTHS = {
    "short": (4, 1.0, 1.0),
    "long": (8, 5.0, 5.0),
    "sound longer": (4, 1.0, 3.3),
    "clip longer": (6, 6.0, 1.5),
    "odd": (5, 2.5, 2.5),
}


@pytest.mark.parametrize("order", CASES.values(), ids=CASES)
@pytest.mark.parametrize("length", LENGTHS.values(), ids=LENGTHS)
def test_tokens_tensors_and_positions_are_those_of_the_library(tiny: Any, order: tuple[str, ...], length: Any) -> None:
    model, processor = tiny
    frames, seconds, heard = length
    shown = {"image": picture(112, 112), "video": clip(1, frames, 112, seconds), "audio": sound(2, heard)}
    if "video" in order and "audio" in order:
        shown["video"] = clip(1, frames, 112, seconds)
    ids, items = ours(processor, "What now?", shown, order)
    batch = theirs(processor, "What now?", shown, order)
    assert ids.tolist() == batch["input_ids"][0].tolist()
    given = forward_arguments(items)
    if "pixel_values_videos" in batch:
        assert torch.equal(given["pixel_values_videos"], batch["pixel_values_videos"])
        assert torch.equal(given["video_grid_thw"], batch["video_grid_thw"])
    mask = batch.get("feature_attention_mask")
    if mask is not None:
        assert given["audio_feature_lengths"].tolist() == mask.sum(-1).tolist()
        mel = batch["input_features"][0][:, : int(mask.sum())]
        torch.testing.assert_close(given["input_features"], mel, rtol=0, atol=2e-5)
    grid = batch.get("video_second_per_grid")
    expected, _ = model.get_rope_index(
        batch["input_ids"],
        batch.get("image_grid_thw"),
        batch.get("video_grid_thw"),
        batch["attention_mask"],
        "clip" in order,
        None if mask is None else mask.sum(-1),
        None if grid is None else torch.as_tensor(grid),
    )
    assert torch.equal(rotary_positions(rule_of(model.config), ids, items), expected[:, 0])


@pytest.mark.parametrize("order", CASES.values(), ids=CASES)
def test_the_backbone_gives_the_librarys_logits(tiny: Any, order: tuple[str, ...]) -> None:
    model, processor = tiny
    shown = {"image": picture(112, 112), "video": clip(1, 4, 112, 2.5), "audio": sound(2, 2.5)}
    ids, items = ours(processor, "What now?", shown, order)
    batch = theirs(processor, "What now?", shown, order)
    with torch.no_grad():
        expected = model(**batch, use_audio_in_video="clip" in order).logits
        positions = rotary_positions(rule_of(model.config), ids, items)[:, None]
        found = model.base_model(
            input_ids=ids[None], attention_mask=torch.ones_like(ids)[None], position_ids=positions, **forward_arguments(items)
        )
    torch.testing.assert_close(model.lm_head(found.last_hidden_state), expected, rtol=1e-4, atol=1e-4)


def test_the_thinker_is_taken_out_of_a_whole_checkpoint(
    checkpoints: dict[str, Path], model_config: MakeConfig, tmp_path: Path
) -> None:
    """As Qwen/Qwen2.5-Omni-7B lies on the hub: thinker, talker and vocoder in one file, the thinker's settings inside."""
    source = checkpoints["qwen2_5_omni_thinker"]
    state = load_file(source / "model.safetensors")
    whole = {f"thinker.{name}": value for name, value in state.items()}
    whole |= {"talker.codec_head.weight": torch.zeros(4, 4), "token2wav.code2wav_dit_model.proj_out.weight": torch.zeros(2, 2)}
    for file in source.iterdir():
        if file.name not in ("model.safetensors", "config.json"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    save_file(whole, tmp_path / "model.safetensors", metadata={"format": "pt"})
    settings = json.loads((source / "config.json").read_text())
    outer = {"architectures": ["Qwen2_5OmniModel"], "model_type": "qwen2_5_omni", "thinker_config": settings}
    (tmp_path / "config.json").write_text(json.dumps(outer))
    model, processor = loading.load(model_config("qwen2_5_omni_thinker"), tmp_path, train=True)
    assert part_of_whole(model) and not part_of_whole(tiny_omni(random=True)[0])
    loaded = model.state_dict()
    assert loaded.keys() >= state.keys() and all(torch.equal(loaded[name], value) for name, value in state.items())
    assert model.config.model_type == "qwen2_5_omni_thinker"
    loading.save(model, processor, tmp_path / "saved")
    saved = AutoConfig.from_pretrained(tmp_path / "saved")
    assert saved.architectures == ["Qwen2_5OmniThinkerForConditionalGeneration"]
    again = Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained(tmp_path / "saved", dtype=torch.float32)
    assert all(torch.equal(again.state_dict()[name], value) for name, value in state.items())


@pytest.mark.parametrize(
    ("freezing", "learns"),
    [
        ({}, {"visual", "visual.merger", "audio", "audio.proj", "language"}),
        ({"freeze_audio": True}, {"visual", "visual.merger", "audio.proj", "language"}),
        ({"freeze_vision": True}, {"visual.merger", "audio", "audio.proj", "language"}),
        ({"freeze_projector": True}, {"visual", "audio", "language"}),
        ({"freeze_vision": True, "freeze_audio": True, "freeze_projector": True}, {"language"}),
    ],
)
def test_freezing(checkpoints: dict[str, Path], model_config: MakeConfig, freezing: dict[str, bool], learns: set[str]) -> None:
    config = model_config("qwen2_5_omni_thinker", **freezing)
    model, _ = loading.load(config, checkpoints["qwen2_5_omni_thinker"], train=True)
    groups = {
        "visual": model.visual.blocks,
        "visual.merger": model.visual.merger,
        "audio": model.audio_tower.layers,
        "audio.proj": model.audio_tower.proj,
        "language": model.model,
    }
    for name, module in groups.items():
        assert {p.requires_grad for p in module.parameters()} == {name in learns}, name
    assert not model.audio_tower.audio_bos_eos_token.weight.requires_grad, "the talker's table is in no sum"


def test_parts_of_a_thinker(tiny: Any) -> None:
    model = tiny[0]
    found = parts(model)
    assert set(found.tower) == {"visual"} and set(found.hearing) == {"audio_tower"} and set(found.language) == {"model"}
    assert found.language["model"] is model.model


@pytest.mark.parametrize(("name", "billions"), [("qwen2_5_omni_3b", 4.7), ("qwen2_5_omni_7b", 8.9)])
def test_shapes_of_the_published_models(name: str, billions: float, root: Path) -> None:
    import yaml
    from pydantic import TypeAdapter

    from facial_r1.config.schema import Job
    from facial_r1.models.memory import shape_of

    config = TypeAdapter(Model).validate_python(yaml.safe_load((root / f"conf/model/{name}.yaml").read_text()))
    job = Job.__new__(Job)
    job.model = config
    shape = shape_of(job, config.source)
    assert shape is not None and shape.parameters / 1e9 == pytest.approx(billions, abs=0.1)
    assert shape.trained < shape.parameters - 0.9e9, "both towers are frozen"
