"""Supervised fine-tuning on clips and sounds: what a batch holds, that its loss is the library's, and that every part learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText

from facial_r1 import models
from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import plain
from facial_r1.config.validation import validate
from facial_r1.models import tiny_omni
from facial_r1.models.positions import rule_of
from facial_r1.training.media_collator import IGNORED, MediaTextCollator, part_columns
from facial_r1.training.saving import save_trained
from facial_r1.training.sft import Example, build_trainer, render
from tests.models import drawn_media
from tests.models.drawn_media import Opener, asked

END = "<|im_end|>"
ANSWERS = (
    "<think>The voice is loud.</think><answer>anger</answer>",
    "<think>The brows are lowered (AU4).</think><answer>fear</answer>",
)
QUESTIONS = ("What is the emotion of this person?", "Which emotion does this person show, and why do you think so?")
CLIPS = {"frames": 4, "side": 112, "seconds": 1.6}


def example(row: int, *parts: str) -> Example:
    """A row that shows the named parts, each drawn from the row's number."""
    return Example(
        asked(QUESTIONS[row % 2], *parts),
        ANSWERS[row % 2],
        tuple(str(row) for part in parts if part == "image"),
        tuple(str(row) for part in parts if part in ("video", "clip")),
        tuple(str(row) for part in parts if part in ("audio", "clip")),
    )


@pytest.fixture(scope="module")
def tiny() -> Any:
    return tiny_omni(seed=0, random=True)


def collate(tiny: Any, examples: list[Example]) -> dict[str, Any]:
    model, processor = tiny
    rows = []
    for one in examples:
        prompt, completion = render(processor, one)
        rows.append({"prompt": prompt, "completion": completion, "parts": part_columns(one)})
    return MediaTextCollator(processor, Opener(), rule_of(model.config))(rows)


MIXED = [example(0, "clip"), example(1), example(2, "audio"), example(3, "image"), example(4, "video", "audio")]


def test_the_labels_spell_the_answer_and_the_end_of_turn(tiny: Any) -> None:
    batch = collate(tiny, MIXED)
    for row, one in enumerate(MIXED):
        labels = batch["labels"][row]
        assert tiny[1].tokenizer.decode(labels[labels != IGNORED]) == one.completion + END
        learned = labels != IGNORED
        assert torch.equal(labels[learned], batch["input_ids"][row][learned])


def test_rows_share_a_batch_whatever_they_show(tiny: Any) -> None:
    """A row's answer is as likely in a mixed batch as alone."""
    model = tiny[0].eval()

    def losses(examples: list[Example]) -> list[float]:
        batch = collate(tiny, examples)
        labels = batch.pop("labels")
        with torch.no_grad():
            scores = model.lm_head(model.base_model(**batch).last_hidden_state)[:, :-1].log_softmax(-1)
        found = -scores.gather(2, labels[:, 1:, None].clamp(min=0))[..., 0] * (labels[:, 1:] != IGNORED)
        return found.sum(1).tolist()

    alone = [losses([one])[0] for one in MIXED]
    assert losses(MIXED) == pytest.approx(alone, rel=1e-4)
    assert len({round(value, 3) for value in alone[::2]}) > 1


def test_the_loss_is_that_of_the_librarys_forward_on_its_own_batch(tiny: Any) -> None:
    model, processor = tiny[0].eval(), tiny[1]
    examples = [example(0, "clip"), example(1, "clip")]
    texts = ["".join(render(processor, one)) for one in examples]
    frames = [torch.from_numpy(drawn_media.clip(row, **CLIPS).frames).permute(0, 3, 1, 2) for row in range(2)]
    whole = processor(
        text=texts,
        videos=frames,
        audio=[drawn_media.sound(row, 1.6) for row in range(2)],
        videos_kwargs={
            "fps": 4 / 1.6,
            "do_sample_frames": False,
            "size": {"shortest_edge": 12544, "longest_edge": 12544},
            "use_audio_in_video": True,
        },
        padding=True,
        padding_side="right",
        return_tensors="pt",
    )
    batch = collate(tiny, examples)
    assert torch.equal(batch["input_ids"], whole["input_ids"])
    whole["video_second_per_grid"] = torch.as_tensor(whole["video_second_per_grid"])
    with torch.no_grad():
        expected = model(**whole, labels=batch["labels"], use_audio_in_video=True).loss
        hidden = model.base_model(**{name: value for name, value in batch.items() if name != "labels"}).last_hidden_state
        found = model.loss_function(model.lm_head(hidden), batch["labels"], vocab_size=model.vocab_size)
    assert float(found) == pytest.approx(float(expected), rel=1e-4)


def trained(
    folder: Path, model_name: str, examples: list[Example], *overrides: str, steps: int = 2
) -> tuple[Any, Any, dict[str, Any]]:
    job = validate(
        plain(
            compose_tree(
                [
                    "stage=sft",
                    f"model={model_name}",
                    "launch=inline",
                    "launch.device=cpu",
                    f"stage.max_steps={steps}",
                    "stage.warmup=0",
                    "stage.schedule=constant",
                    "stage.per_device_batch_size=2",
                    *overrides,
                ]
            )
        )
    )
    model, processor = models.load(job.model, device="cpu", train=True)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    trainer = build_trainer(job, job.stage, model, processor, examples, Opener(), folder / "checkpoints")  # type: ignore[arg-type]
    trainer.train()
    save_trained(trainer, processor, folder / "model")
    return trainer, processor, before


def test_every_part_of_a_thinker_learns_and_the_saved_folder_loads(tmp_path: Path) -> None:
    trainer, _, before = trained(tmp_path, "tiny_omni", [example(0, "clip"), example(1, "clip")], steps=3)
    still = {name for name, value in trainer.model.named_parameters() if torch.equal(value, before[name])}
    assert still == {"audio_tower.audio_bos_eos_token.weight"}, "the talker's table alone"
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < losses[0]
    stored, report = AutoModelForImageTextToText.from_pretrained(tmp_path / "model", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    for name, value in stored.named_parameters():
        torch.testing.assert_close(value, dict(trainer.model.named_parameters())[name].detach(), rtol=0, atol=0)


@pytest.mark.parametrize("frozen", ["model.freeze_audio=true", "model.freeze_vision=true"])
def test_a_frozen_tower_stays(frozen: str, tmp_path: Path) -> None:
    trainer, _, before = trained(tmp_path, "tiny_omni", [example(0, "clip"), example(1, "clip")], frozen)
    prefix = "audio_tower.layers." if "audio" in frozen else "visual.blocks."
    moved = {name for name, value in trainer.model.named_parameters() if not torch.equal(value, before[name])}
    assert moved and not any(name.startswith(prefix) for name in moved)


def test_rows_of_every_kind_train_together(tmp_path: Path) -> None:
    trainer, _, _ = trained(tmp_path, "tiny_omni", MIXED)
    assert trainer.state.global_step == 2


def test_a_vision_language_model_learns_from_clips(tmp_path: Path) -> None:
    trainer, _, before = trained(tmp_path, "tiny", [example(0, "video"), example(1, "video")])
    moved = {name for name, value in trainer.model.named_parameters() if not torch.equal(value, before[name])}
    assert any("visual" in name for name in moved) and any("language_model" in name for name in moved)
