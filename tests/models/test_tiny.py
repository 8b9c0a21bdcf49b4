"""The embedded tiny model: what ships, what it computes, what it can say and what it cannot."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

from facial_r1.affect.emotions import SEVEN_EMOTIONS
from facial_r1.data.schematic import face, neutral_description, reasoned_description
from facial_r1.data.schematic.language import PHRASES
from facial_r1.models import tiny
from facial_r1.models.tiny import WEIGHTS, architecture, corpus, pretrain, scoring
from facial_r1.models.tiny import faces as drawn
from facial_r1.models.tiny import tokenizer as tiny_tokenizer
from facial_r1.models.tiny.forward import FaceForward, patches

BRIEF = (
    "Which facial action units does this face show, and which emotion do they express? Think inside <think></think> and "
    "name the action units; answer inside <answer></answer> with one of: anger, disgust, fear, happiness, neutral, sadness."
)


@pytest.fixture(scope="module")
def shipped() -> tuple[Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor]:
    return tiny(seed=0)


@pytest.fixture(scope="module")
def faces() -> list:
    return [drawn.held_out_face(index) for index in range(60)]


@pytest.fixture(scope="module")
def said(shipped, faces) -> dict[str, list[str]]:
    """Greedy descriptions of unseen persons' faces, by question."""
    model, processor = shipped
    pixels = [drawn.pixels(one) for one in faces]
    return {question: scoring.described(model, processor, pixels, question) for question in (corpus.QUESTIONS[0], BRIEF)}


def test_import_of_the_package_does_not_import_torch() -> None:
    code = "import sys; from facial_r1.models import tiny; assert callable(tiny); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_classes_are_those_of_qwen2_5_vl(shipped) -> None:
    assert type(shipped[0]) is Qwen2_5_VLForConditionalGeneration and type(shipped[1]) is Qwen2_5_VLProcessor


def test_parameters_stay_within_four_million(shipped) -> None:
    assert architecture.parameters(shipped[0]) <= architecture.MAX_PARAMETERS


def test_shipped_folder_stays_within_eight_megabytes() -> None:
    assert sum(file.stat().st_size for file in WEIGHTS.iterdir()) <= 8_000_000


def test_from_pretrained_loads_exactly_the_shipped_file() -> None:
    model = AutoModelForImageTextToText.from_pretrained(WEIGHTS, dtype=torch.float32)
    loaded = model.state_dict()
    stored = load_file(WEIGHTS / "model.safetensors")
    # The file keeps the published models' names, which the library renames on loading; the output layer is tied.
    renamed = {
        name.replace("visual.", "model.visual.", 1)
        if name.startswith("visual.")
        else name.replace("model.", "model.language_model.", 1): value
        for name, value in stored.items()
    }
    assert loaded.keys() - renamed.keys() == {"lm_head.weight"} and torch.equal(
        loaded["lm_head.weight"], loaded["model.language_model.embed_tokens.weight"]
    )
    assert all(torch.equal(loaded[name], value.float()) for name, value in renamed.items())


def test_two_calls_give_two_equal_models(shipped) -> None:
    other, _ = tiny(seed=5)
    assert other is not shipped[0]
    assert all(torch.equal(a, b) for a, b in zip(other.parameters(), shipped[0].parameters(), strict=True))


def test_random_weights_follow_the_seed_and_leave_the_callers_state_alone() -> None:
    torch.manual_seed(7)
    state = torch.random.get_rng_state()
    first, second, other = (tiny(seed, random=True)[0] for seed in (1, 1, 2))
    assert torch.equal(state, torch.random.get_rng_state())
    weights = [model.lm_head.weight for model in (first, second, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_a_face_takes_sixteen_placeholders(shipped) -> None:
    inputs = shipped[1](text=["<|image_pad|>"], images=[Image.new("RGB", (112, 112))], return_tensors="pt")
    assert int((inputs["input_ids"] == shipped[0].config.image_token_id).sum()) == 16


def test_shipped_tokenizer_is_the_one_that_the_command_trains() -> None:
    trained = tiny_tokenizer.train(corpus.sentences())
    shipped = tiny_tokenizer.load()
    assert trained.backend_tokenizer.to_str() == shipped.backend_tokenizer.to_str()


@pytest.mark.parametrize(
    "text",
    ["<think>The jaw is dropped (AU26).</think><answer>fear</answer>", "Zoë: 3,141 x\n\n  « ok » 😀\t<b", "a  b   c\n d"],
)
def test_any_text_survives_the_tokenizer(text: str) -> None:
    tokenizer = tiny_tokenizer.load()
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_tags_are_text_and_special_tokens_are_not() -> None:
    tokenizer = tiny_tokenizer.load()
    ids = tokenizer("<think>a</think><answer>b</answer><|im_end|>")["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "<think>a</think><answer>b</answer>"


def test_special_tokens_have_the_ids_of_the_configuration() -> None:
    tokenizer = tiny_tokenizer.load()
    assert {token: tokenizer.convert_tokens_to_ids(token) for token in tiny_tokenizer.SPECIAL_TOKENS} == (
        tiny_tokenizer.special_ids()
    )
    assert len(tokenizer) <= tiny_tokenizer.VOCABULARY


def test_a_reasoned_description_is_short_in_tokens() -> None:
    tokenizer = tiny_tokenizer.load()
    texts = [reasoned_description(face(3, index, range(50))) for index in range(300)]
    lengths = [len(ids) for ids in tokenizer(texts)["input_ids"]]
    assert np.mean(lengths) < 30 and max(lengths) < 60


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (
            [{"role": "user", "content": "hi"}],
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            [
                {"role": "system", "content": "S"},
                {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "q"}, {"type": "video"}]},
            ],
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>q"
            "<|vision_start|><|video_pad|><|vision_end|><|im_end|>\n<|im_start|>assistant\n",
        ),
    ],
    ids=["default system turn", "own system turn, image and video"],
)
def test_chat_template(messages: list[dict], expected: str) -> None:
    assert tiny_tokenizer.load().apply_chat_template(messages, tokenize=False, add_generation_prompt=True) == expected


def test_patches_equal_those_of_the_processor(shipped, faces) -> None:
    pixels = drawn.pixels(faces[0])
    theirs = shipped[1](text=["<|image_pad|>"], images=[Image.fromarray(pixels)], return_tensors="pt")["pixel_values"]
    ours = patches(torch.from_numpy(pixels[None].copy()))[0].view(64, 3, 196)
    torch.testing.assert_close(theirs.view(64, 3, 2, 196), ours.unsqueeze(2).expand(-1, -1, 2, -1), rtol=0, atol=1e-5)


def test_forward_of_pretraining_equals_that_of_the_library(shipped, faces) -> None:
    model, processor = shipped
    pixels = np.stack([drawn.pixels(one) for one in faces[:3]])
    prompt = pretrain.prompt_ids(processor.tokenizer, "Describe the face.")
    completion, _ = pretrain.completion_ids(processor.tokenizer, ["The jaw is dropped."] * 3)
    ids = torch.cat((prompt.expand(3, -1), completion), dim=1)
    start = int((prompt == model.config.image_token_id).nonzero()[0])
    forward = FaceForward(model)
    images = [Image.fromarray(face) for face in pixels]
    values = processor(text=["<|image_pad|>"] * 3, images=images, return_tensors="pt")
    with torch.no_grad():
        tokens = forward.vision(patches(torch.from_numpy(pixels)))
        ours = model.lm_head(forward.hidden(tokens, ids, forward.rope(prompt, ids.shape[1]), start))
        theirs = model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=values["pixel_values"],
            image_grid_thw=values["image_grid_thw"],
            mm_token_type_ids=(ids == model.config.image_token_id).int(),
        ).logits
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_base_model_describes_unseen_persons_far_above_the_best_constant_answer(said, faces) -> None:
    truth = np.stack([drawn.sentence_bits(neutral_description(one)) for one in faces])
    bits = np.stack([drawn.sentence_bits(text) for text in said[corpus.QUESTIONS[0]]])
    constant = scoring.f1_by_sentence(truth, np.ones_like(truth)).mean()
    assert scoring.f1_by_sentence(truth, bits).mean() > 0.9 > 2 * constant


def test_base_model_does_not_describe_what_is_not_there(shipped, faces) -> None:
    model, processor = shipped
    grey = [np.full((112, 112, 3), 128, dtype=np.uint8)] * len(faces)
    texts = scoring.described(model, processor, grey[:2], corpus.QUESTIONS[0])
    truth = np.stack([drawn.sentence_bits(neutral_description(one)) for one in faces])
    bits = np.stack([drawn.sentence_bits(texts[0])] * len(faces))
    assert texts[0] == texts[1] and scoring.f1_by_sentence(truth, bits).mean() < 0.3


def test_base_model_names_no_code_emotion_or_tag_whatever_is_asked(said) -> None:
    forbidden = re.compile(rf"AU\s*\d|[<>]|{'|'.join(SEVEN_EMOTIONS)}|contempt|happy|angry|sad\b|afraid", re.IGNORECASE)
    found = [text for texts in said.values() for text in texts if forbidden.search(text)]
    assert not found, found[:3]


def test_pretraining_targets_name_no_code_emotion_or_tag() -> None:
    forbidden = re.compile(rf"AU\s*\d|[<>]|{'|'.join(SEVEN_EMOTIONS)}|contempt", re.IGNORECASE)
    assert not [
        text for text in [neutral_description(drawn.training_face(index)) for index in range(500)] if forbidden.search(text)
    ]


def test_pretraining_faces_are_of_persons_and_seeds_of_no_dataset() -> None:
    assert set(drawn.PEOPLE).isdisjoint(drawn.HELD_OUT_PEOPLE)
    assert min(min(drawn.PEOPLE), min(drawn.HELD_OUT_PEOPLE)) >= 1000  # datasets number theirs from 0
    assert drawn.SEED > 1_000_000 and drawn.HELD_OUT_SEED > 1_000_000


def test_sentence_bits_count_both_wordings_of_a_unit() -> None:
    index = list(PHRASES).index("AU26")
    marks = [drawn.sentence_bits(f"{wording}.")[index] for wording in PHRASES["AU26"]]
    assert marks == [1.0, 1.0]


@pytest.mark.slow
def test_pretraining_command_writes_a_folder_that_loads(tmp_path: Path) -> None:
    arguments = ["--vision-faces", "64", "--faces", "64", "--evaluate", "4"]
    pretrain.main(["--out", str(tmp_path / "out"), *arguments])
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "out" / "model", dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(tmp_path / "out" / "model")
    assert len(scoring.described(model, processor, [np.zeros((112, 112, 3), np.uint8)], "Describe the face.")) == 1
