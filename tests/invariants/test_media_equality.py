"""Sharing a group's work with clips and sounds: the same loss, gradients and weights as row by row, and the library's numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from facial_r1.errors import InputError
from facial_r1.generation.prompt_batch import encode_prompts
from facial_r1.models.thinker import backbone_of
from facial_r1.training import log_probs
from facial_r1.training.efficiency import Efficiency
from facial_r1.training.rollout import Rollout
from tests.invariants import rollouts, tiny_vl
from tests.invariants.rollouts import train
from tests.invariants.test_equality import ACCUMULATED, TOLERANCE, assert_equal
from tests.models import drawn_media

#: TRL itself takes pictures alone; what it would do is our row-by-row layout, each row with tensors of its own.
UNSHARED = Efficiency.only("load_once", "share_prefill")
#: What the rows show, and the architectures that can.
SHOWN = {
    "clips with their sound": ("clip",),
    "clips alone": ("video",),
    "sounds alone": ("audio",),
    "clip, sound, clip with sound, picture, text": ("video", "audio", "clip", "image", "text"),
}
CASES = [("qwen2_5_omni", kinds) for kinds in SHOWN.values()] + [
    ("qwen2_5_vl", ("video",)),
    ("qwen2_5_vl", ("video", "image", "text")),
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {name: tiny_vl.saved(name, folder / name, torch.float64) for name in ("qwen2_5_vl", "qwen2_5_omni")}


def both(folder: Path, models: dict[str, Path], architecture: str, **settings: Any) -> tuple[Any, Any]:
    """A run with all savings and one without sharing."""
    return tuple(
        train(folder, models[architecture], architecture, efficiency, dtype=torch.float64, **settings)
        for efficiency in (Efficiency(), UNSHARED)
    )  # type: ignore[return-value]


@pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "trained"])
@pytest.mark.parametrize(("architecture", "kinds"), CASES)
def test_sharing_changes_nothing(
    architecture: str, kinds: tuple[str, ...], frozen: bool, models: dict[str, Path], tmp_path: Path
) -> None:
    rows = rollouts.media_dataset(kinds, max(6, len(kinds)))
    settings = {"rows": rows, "max_steps": 2, "freeze_vision": frozen, **ACCUMULATED}
    ours, plain = both(tmp_path, models, architecture, **settings)
    assert ours.trainer.efficiency_report()["share_vision"] == "on"
    assert_equal(ours, plain, TOLERANCE[torch.float64])
    if (not frozen and "audio" in kinds) or ("clip" in kinds and not frozen):
        reached = [name for name, value in ours.gradients[0].items() if "audio_tower" in name and value.abs().sum() > 0]
        assert reached, "the audio tower learns"


@pytest.mark.parametrize("kinds", [("clip",), ("clip", "text", "audio")], ids=["clips", "mixed"])
def test_reference_model_and_two_iterations(kinds: tuple[str, ...], models: dict[str, Path], tmp_path: Path) -> None:
    settings = {"rows": rollouts.media_dataset(kinds), "max_steps": 2, "beta": 0.04, "num_iterations": 2, "freeze_vision": False}
    ours, plain = both(tmp_path, models, "qwen2_5_omni", **settings)
    assert_equal(ours, plain, TOLERANCE[torch.float64])


def test_gradient_checkpointing_and_adapters(models: dict[str, Path], tmp_path: Path) -> None:
    from peft import LoraConfig

    settings: dict[str, Any] = {
        "rows": rollouts.media_dataset(("clip",)),
        "max_steps": 2,
        "gradient_checkpointing": True,
        "trainer_options": {
            "peft_config": LoraConfig(r=4, target_modules=r"model\.layers.*(q_proj|v_proj)", init_lora_weights="gaussian")
        },
    }
    ours, plain = both(tmp_path, models, "qwen2_5_omni", **settings)
    assert any("lora_A" in name for name in ours.gradients[0])
    assert_equal(ours, plain, TOLERANCE[torch.float64])


@pytest.mark.parametrize("layout", ["packed", "padded"])
@pytest.mark.parametrize("parts", [("clip",), ("video", "audio"), ("audio",), ("image", "clip")], ids=str)
def test_log_probabilities_are_the_librarys(parts: tuple[str, ...], layout: str) -> None:
    """One prompt and two completions through the thinker's own forward with its own processor, and through ours."""
    model, processor = tiny_vl.model("qwen2_5_omni").double().eval(), tiny_vl.processor("qwen2_5_omni")
    from trl.trainer.utils import add_fused_lm_head

    clip, sound, image = drawn_media.clip(1, 6, 56, 2.4), drawn_media.sound(2, 2.2), tiny_vl.image(3)
    messages = drawn_media.asked("Which emotion?", *parts)
    wanted = {"video": bool({"video", "clip"} & set(parts)), "audio": bool({"audio", "clip"} & set(parts))}
    batch = encode_prompts(
        processor,
        [messages],
        [[image] if "image" in parts else []],
        videos=[[clip] if wanted["video"] else []],
        audios=[[sound] if wanted["audio"] else []],
    )
    completions = torch.tensor([[70, 71, 72, 258], [80, 258, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])

    text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    named: dict[str, Any] = {
        "videos_kwargs": {"size": {"shortest_edge": 784, "longest_edge": 12544}, "use_audio_in_video": "clip" in parts}
    }
    if wanted["video"]:
        named["videos"] = [torch.from_numpy(clip.frames).permute(0, 3, 1, 2)]
        named["videos_kwargs"]["fps"] = len(clip.frames) / clip.seconds
        named["videos_kwargs"]["do_sample_frames"] = False
    if wanted["audio"]:
        named["audio"] = [sound]
    if "image" in parts:
        named["images"] = [image]
    prepared = processor(text=[text], return_tensors="pt", **named)
    expected = torch.zeros(completions.shape, dtype=torch.float64)
    for row, length in enumerate(mask.sum(1).tolist()):
        inputs = {
            name: value.double() if torch.is_tensor(value) and value.is_floating_point() else value
            for name, value in prepared.items()
        }
        inputs["input_ids"] = torch.cat([prepared["input_ids"], completions[row : row + 1, :length]], 1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        if "video_second_per_grid" in inputs:
            inputs["video_second_per_grid"] = torch.as_tensor(inputs["video_second_per_grid"])
        with torch.no_grad():
            logits = model(**inputs, use_audio_in_video="clip" in parts).logits[0]
        scores = logits[-length - 1 : -1].log_softmax(-1)
        expected[row, :length] = scores.gather(1, completions[row, :length, None])[:, 0]

    rows = log_probs.Rows(Rollout.from_prompts(batch, torch.device("cpu")), [0, 0], completions, mask)
    add_fused_lm_head(model)
    if layout == "packed":
        from facial_r1.training import shared_prompt, vision_reuse

        shared_prompt.install(backbone_of(model).language_model)
        vision_reuse.install(backbone_of(model))
        found, _ = log_probs.packed(model, backbone_of(model), rows, log_probs.Vision(True))
    else:
        found, _ = log_probs.padded(model, rows, log_probs.Vision(False), 256, backbone_of(model), None)
    torch.testing.assert_close(found.detach().double(), expected, rtol=1e-4, atol=1e-4)  # spectrograms are float32


@pytest.mark.parametrize("switch", ["load_once", "share_prefill"])
def test_a_path_of_trl_that_takes_pictures_alone_is_refused(switch: str, models: dict[str, Path], tmp_path: Path) -> None:
    efficiency = Efficiency(**{switch: False})
    with pytest.raises(InputError, match=f"stage.efficiency.{switch} has to be on"):
        train(
            tmp_path,
            models["qwen2_5_omni"],
            "qwen2_5_omni",
            efficiency,
            rows=rollouts.media_dataset(("clip",)),
            dtype=torch.float64,
        )
