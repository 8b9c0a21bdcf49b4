"""The embedded tiny thinker: what ships, and what it takes over from the tiny vision-language model."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, Qwen2_5OmniProcessor

from facial_r1.models import tiny, tiny_omni
from facial_r1.models.tiny import tokenizer as tiny_tokenizer
from facial_r1.models.tiny_omni import WEIGHTS, architecture, transplant
from facial_r1.models.tiny_omni import tokenizer as omni_tokenizer


@pytest.fixture(scope="module")
def shipped() -> tuple[Any, Qwen2_5OmniProcessor]:
    return tiny_omni(seed=0)


def test_import_of_the_package_does_not_import_torch() -> None:
    code = "import sys; from facial_r1.models import tiny_omni, embedded; assert callable(tiny_omni); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_parameters_stay_within_six_million(shipped: Any) -> None:
    assert sum(p.numel() for p in shipped[0].parameters()) <= architecture.MAX_PARAMETERS


def test_the_library_loads_the_shipped_folder(shipped: Any) -> None:
    model = AutoModelForImageTextToText.from_pretrained(WEIGHTS, dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(WEIGHTS)
    assert type(model).__name__ == "Qwen2_5OmniThinkerForConditionalGeneration" and type(processor) is Qwen2_5OmniProcessor
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), shipped[0].parameters(), strict=True))
    assert type(shipped[0]).__module__.startswith("facial_r1") and isinstance(shipped[0], type(model))


def test_the_tokenizer_is_the_tiny_one_with_other_names_and_three_more_tokens() -> None:
    derived, loaded, old = omni_tokenizer.derive(), omni_tokenizer.load(), tiny_tokenizer.load()
    assert derived.backend_tokenizer.to_str() == loaded.backend_tokenizer.to_str()
    words = {omni_tokenizer.RENAMED.get(token, token): index for token, index in old.get_vocab().items()}
    assert loaded.get_vocab() == words | {token: len(words) + place for place, token in enumerate(omni_tokenizer.SOUND_TOKENS)}
    assert max(loaded.get_vocab().values()) < omni_tokenizer.VOCABULARY


def test_text_becomes_the_same_tokens_as_before() -> None:
    text = "<think>The lip corners are pulled up (AU12).</think><answer>happiness</answer>"
    assert omni_tokenizer.load()(text)["input_ids"] == tiny_tokenizer.load()(text)["input_ids"]


@pytest.mark.parametrize(
    ("part", "mark"),
    [
        ("image", "<|vision_bos|><|IMAGE|><|vision_eos|>"),
        ("video", "<|vision_bos|><|VIDEO|><|vision_eos|>"),
        ("audio", "<|audio_bos|><|AUDIO|><|audio_eos|>"),
    ],
)
def test_the_chat_template_marks_each_kind(part: str, mark: str) -> None:
    messages = [{"role": "user", "content": [{"type": part}, {"type": "text", "text": "What now?"}]}]
    written = omni_tokenizer.load().apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert f"<|im_start|>user\n{mark}What now?<|im_end|>\n" in written


def test_the_start_sees_and_speaks_as_the_tiny_model_does() -> None:
    """One face, one question: the same logits over the words, whatever the ears will learn."""
    question = "Describe the face."
    picture = Image.effect_noise((112, 112), 80).convert("RGB")
    outputs = []
    for model, processor in (tiny(), (transplant.start(), architecture.processor())):
        messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
        text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        inputs = processor(text=[text], images=[picture], return_tensors="pt")
        with torch.no_grad():
            outputs.append(model(**inputs).logits[0, -1, : tiny_tokenizer.VOCABULARY])
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-3, atol=1e-2)


def test_random_weights_follow_the_seed() -> None:
    first, second, other = (tiny_omni(seed, random=True)[0].lm_head.weight for seed in (1, 1, 2))
    assert torch.equal(first, second) and not torch.equal(first, other)
