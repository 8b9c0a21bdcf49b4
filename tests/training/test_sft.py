"""Supervised fine-tuning: what is learned, which pictures are seen, which weights move and what is saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForImageTextToText, AutoProcessor

from facial_r1 import models
from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import plain
from facial_r1.config.schema import SFT
from facial_r1.config.validation import validate
from facial_r1.errors import InputError
from facial_r1.models.parts import parts
from facial_r1.training.saving import save_trained
from facial_r1.training.sft import Example, ImageTextCollator, build_trainer, render

END = "<|im_end|>"
IGNORED = -100
SHADES = {"red": (200, 40, 40), "green": (40, 160, 60), "blue": (30, 60, 200), "grey": (128, 128, 128)}
DESCRIPTIONS = (
    "<think>The lip corners are pulled up (AU12) and the cheeks are raised (AU6).</think><answer>happiness</answer>",
    "<think>The brows are lowered (AU4).</think><answer>anger</answer>",
)


def picture(name: str) -> Image.Image:
    """A plain ground with an off-centre ellipse: two names never give two equal patches everywhere."""
    image = Image.new("RGB", (112, 112), SHADES[name])
    ImageDraw.Draw(image).ellipse((20, 30, 60 + len(name) * 5, 80), fill=(240, 230, 210))
    return image


def example(description: str, *images: str, question: str = "Which action units and which emotion?") -> Example:
    content = [*({"type": "image"} for _ in images), {"type": "text", "text": question}]
    return Example([{"role": "user", "content": content}], description, images)


EXAMPLES = (
    example(DESCRIPTIONS[0], "red", "green"),
    example(DESCRIPTIONS[1], "blue", question="Which emotion?"),
)
"""Rows of different length, so that one of them is padded; the first has two pictures."""


def collate(processor: Any, examples: Sequence[Example]) -> dict[str, Any]:
    rows = []
    for one in examples:
        prompt, completion = render(processor, one)
        rows.append({"prompt": prompt, "completion": completion, "images": list(one.images)})
    return dict(ImageTextCollator(processor, picture)(rows))


@pytest.fixture(scope="module")
def untrained() -> tuple[Any, Any]:
    return models.tiny(random=True)


@pytest.fixture(scope="module")
def processor(untrained: tuple[Any, Any]) -> Any:
    return untrained[1]


@pytest.fixture(scope="module")
def batch(processor: Any) -> dict[str, Any]:
    return collate(processor, EXAMPLES)


@torch.no_grad()
def logits(model: Any, batch: dict[str, Any]) -> Tensor:
    """Logits of shape (rows, length, vocabulary), in evaluation mode."""
    return model.eval()(**{name: value for name, value in batch.items() if name != "labels"}).logits


def completion_loss(processor: Any, logits: Tensor, batch: dict[str, Any], row: int) -> Tensor:
    """Negative log-likelihoods of a row's answer and end of turn, found by the text and not by the labels."""
    stop = int(batch["attention_mask"][row].sum())
    answer = torch.tensor(processor.tokenizer(DESCRIPTIONS[row] + END, add_special_tokens=False)["input_ids"])
    predicted = logits[row, stop - len(answer) - 1 : stop - 1]
    return functional.cross_entropy(predicted, answer, reduction="none")


# --- what is learned -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [0, 1])
def test_the_labels_spell_the_description_and_the_end_of_turn(processor: Any, batch: dict[str, Any], row: int) -> None:
    labels = batch["labels"][row]
    assert processor.tokenizer.decode(labels[labels != IGNORED]) == DESCRIPTIONS[row] + END


@pytest.mark.parametrize("row", [0, 1])
def test_a_label_is_the_token_in_its_place(batch: dict[str, Any], row: int) -> None:
    labels, ids = batch["labels"][row], batch["input_ids"][row]
    assert torch.equal(labels[labels != IGNORED], ids[labels != IGNORED])


@pytest.mark.parametrize("row", [0, 1])
def test_no_prompt_token_is_learned(processor: Any, batch: dict[str, Any], row: int) -> None:
    """What comes before the first label is the whole prompt, its pictures' placeholders multiplied."""
    first = int((batch["labels"][row] != IGNORED).nonzero()[0])
    before = processor.tokenizer.decode(batch["input_ids"][row, :first])
    before = before.replace(processor.image_token * 16, processor.image_token)
    assert before == render(processor, EXAMPLES[row])[0] and before.endswith("<|im_start|>assistant\n")


def test_no_image_token_is_learned(processor: Any, batch: dict[str, Any]) -> None:
    images = batch["input_ids"] == processor.image_token_id
    assert images.sum(dim=1).tolist() == [32, 16] and (batch["labels"][images] == IGNORED).all()


def test_no_padding_token_is_learned(batch: dict[str, Any]) -> None:
    padding = batch["attention_mask"] == 0
    assert padding.any() and (batch["labels"][padding] == IGNORED).all()


@pytest.mark.parametrize("row", [0, 1])
def test_the_end_of_turn_is_learned_once_and_last(processor: Any, batch: dict[str, Any], row: int) -> None:
    labels = batch["labels"][row]
    learned = labels[labels != IGNORED].tolist()
    end = processor.tokenizer.convert_tokens_to_ids(END)
    assert learned.count(end) == 1 and learned[-1] == end


@pytest.mark.parametrize("row", [0, 1])
def test_nothing_follows_the_end_of_turn(processor: Any, batch: dict[str, Any], row: int) -> None:
    attended = batch["input_ids"][row][batch["attention_mask"][row] == 1]
    assert processor.tokenizer.decode(attended).endswith(DESCRIPTIONS[row] + END)


def test_white_space_within_a_description_is_kept(processor: Any) -> None:
    assert render(processor, example("<think>a\n\nb</think>\n ", "red"))[1] == "<think>a\n\nb</think>\n " + END


class Rewriting:
    """A processor whose template drops the system turn once the question is answered."""

    def apply_chat_template(self, messages: list[dict[str, Any]], **options: Any) -> str:
        answered = messages[-1]["role"] == "assistant"
        system = "" if answered else "<|im_start|>system\nBe brief.<|im_end|>\n"
        turns = "".join(f"<|im_start|>{turn['role']}\n{turn['content'][-1]['text']}{END}\n" for turn in messages)
        return system + turns + ("<|im_start|>assistant\n" if options.get("add_generation_prompt") else "")


def test_a_template_that_rewrites_the_answered_prompt_is_refused() -> None:
    with pytest.raises(InputError, match="rewrites the prompt"):
        render(Rewriting(), EXAMPLES[0])


# --- which pictures are seen ---------------------------------------------------------------------------------


def test_every_picture_of_every_row_is_opened_in_order(processor: Any) -> None:
    opened: list[str] = []

    def opener(path: str) -> Image.Image:
        opened.append(path)
        return picture(path)

    rows = [dict(zip(("prompt", "completion"), render(processor, one), strict=True), images=list(one.images)) for one in EXAMPLES]
    ImageTextCollator(processor, opener)(rows)
    assert opened == ["red", "green", "blue"]


CHANGED = {
    "second row": ((EXAMPLES[0], example(DESCRIPTIONS[1], "grey", question="Which emotion?")), 1, 2),
    "second picture of the first row": ((example(DESCRIPTIONS[0], "red", "grey"), EXAMPLES[1]), 0, 1),
}
"""Changed examples, the row they change, and the place of the changed picture among the three of the batch."""


@pytest.mark.parametrize("change", CHANGED)
def test_a_changed_picture_changes_its_own_pixels_only(processor: Any, batch: dict[str, Any], change: str) -> None:
    examples, _, image = CHANGED[change]
    counts = batch["image_grid_thw"].prod(dim=1).tolist()
    before = batch["pixel_values"].split(counts)
    after = collate(processor, examples)["pixel_values"].split(counts)
    assert [index for index in range(3) if not torch.equal(before[index], after[index])] == [image]


@pytest.mark.parametrize("change", CHANGED)
def test_a_changed_picture_changes_nothing_but_pixels(processor: Any, batch: dict[str, Any], change: str) -> None:
    other = collate(processor, CHANGED[change][0])
    assert [name for name in batch if not torch.equal(batch[name], other[name])] == ["pixel_values"]


@pytest.mark.parametrize("change", CHANGED)
def test_a_changed_picture_changes_the_loss_of_its_row_only(
    untrained: tuple[Any, Any], batch: dict[str, Any], change: str
) -> None:
    model, processor = untrained
    examples, row, _ = CHANGED[change]
    before, after = logits(model, batch), logits(model, collate(processor, examples))
    losses = [[completion_loss(processor, found, batch, i) for i in (0, 1)] for found in (before, after)]
    gaps = [float((one - two).abs().max()) for one, two in zip(*losses, strict=True)]
    assert gaps[row] > 1e-3 and gaps[1 - row] < 1e-5


# --- which weights move, and what is saved -------------------------------------------------------------------


@dataclass(frozen=True)
class Trained:
    """A model after some optimizer steps, its weights from before them, and the folder it was saved to."""

    trainer: Any
    processor: Any
    before: dict[str, Tensor]
    folder: Path

    @property
    def model(self) -> Any:
        return self.trainer.model

    def moved(self) -> dict[str, bool]:
        return {name: not torch.equal(value, self.before[name]) for name, value in self.model.named_parameters()}


def trained(folder: Path, *overrides: str, steps: int = 1) -> Trained:
    job = validate(
        plain(
            compose_tree(
                [
                    "stage=sft",
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
    assert isinstance(job.stage, SFT)
    model, processor = models.load(job.model, device="cpu", train=True)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    trainer = build_trainer(job, job.stage, model, processor, EXAMPLES, picture, folder / "checkpoints")
    trainer.train()
    save_trained(trainer, processor, folder / "model")
    return Trained(trainer, processor, before, folder / "model")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(tmp_path_factory.mktemp("frozen"), "model.freeze_vision=true", "stage.weight_decay=0.1")


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Two steps at a high rate: after the first one, half of each adapter is still as it was made."""
    return trained(tmp_path_factory.mktemp("adapted"), "model.lora.enabled=true", "stage.learning_rate=0.01", steps=2)


def part_of(model: Any, name: str) -> list[Tensor]:
    found = parts(model)
    if name == "tower":
        return list(found.vision_parameters())
    if name == "projector":
        return list(found.projector_parameters())
    return [value for module in found.language.values() for value in module.parameters()]


def moved_share(run: Trained, part: str) -> float:
    """Share of a part's tensors that a training changed."""
    names = {id(value): name for name, value in run.model.named_parameters()}
    moved = run.moved()
    tensors = part_of(run.model, part)
    return sum(moved[names[id(value)]] for value in tensors) / len(tensors)


@pytest.mark.parametrize("part", ["tower", "projector", "language"])
def test_one_step_changes_every_part(whole: Trained, part: str) -> None:
    assert moved_share(whole, part) == 1


def test_the_trainer_minimises_the_loss_of_the_completions(whole: Trained) -> None:
    """The trainer's loss is the mean over the tokens of all completions, and no other token counts."""
    batch = collate(whole.processor, EXAMPLES)
    found = logits(whole.model, batch)
    expected = torch.cat([completion_loss(whole.processor, found, batch, row) for row in (0, 1)]).mean()
    with torch.no_grad():
        loss = whole.trainer.compute_loss(whole.model, dict(batch))
    assert float(loss) == pytest.approx(float(expected), rel=1e-4)


def test_a_frozen_tower_stays_bit_identical(frozen: Trained) -> None:
    assert moved_share(frozen, "tower") == 0


@pytest.mark.parametrize("part", ["projector", "language"])
def test_the_rest_learns_while_the_tower_is_frozen(frozen: Trained, part: str) -> None:
    assert moved_share(frozen, part) == 1


def test_with_adapters_nothing_else_learns(adapted: Trained) -> None:
    assert all(moved == (".lora_" in name) for name, moved in adapted.moved().items())


def test_the_saved_adapted_model_has_no_adapter_files(adapted: Trained) -> None:
    assert not list(adapted.folder.rglob("adapter_*")) and (adapted.folder / "model.safetensors").is_file()


@pytest.mark.parametrize("name", ["whole", "adapted"])
def test_the_saved_folder_loads_whole(name: str, request: pytest.FixtureRequest) -> None:
    run: Trained = request.getfixturevalue(name)
    _, report = AutoModelForImageTextToText.from_pretrained(run.folder, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]


@pytest.mark.parametrize("name", ["whole", "adapted"])
def test_the_saved_model_answers_like_the_trained_one(name: str, request: pytest.FixtureRequest) -> None:
    run: Trained = request.getfixturevalue(name)
    batch = collate(run.processor, EXAMPLES)
    stored = AutoModelForImageTextToText.from_pretrained(run.folder)
    torch.testing.assert_close(logits(stored, batch), logits(run.model, batch), rtol=0, atol=1e-4)


def test_the_saved_adapted_model_differs_from_the_one_it_started_from(adapted: Trained) -> None:
    """Without it, the comparison above would pass for adapters that have no effect."""
    batch = collate(adapted.processor, EXAMPLES)
    stored = AutoModelForImageTextToText.from_pretrained(adapted.folder)
    start, _ = models.tiny()
    assert float((logits(stored, batch) - logits(start, batch)).abs().max()) > 0.1


def test_the_saved_processor_makes_the_same_batch(adapted: Trained) -> None:
    expected = collate(adapted.processor, EXAMPLES)
    found = collate(AutoProcessor.from_pretrained(adapted.folder), EXAMPLES)
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []


@pytest.mark.parametrize("name", ["whole", "adapted"])
def test_saving_leaves_neither_a_pickle_nor_a_partial_folder(name: str, request: pytest.FixtureRequest) -> None:
    run: Trained = request.getfixturevalue(name)
    beside = {path.name for path in run.folder.parent.iterdir()}
    assert beside == {"checkpoints", "model"} and not list(run.folder.glob("*.bin"))
