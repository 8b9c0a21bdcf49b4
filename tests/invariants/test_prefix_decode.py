"""Decoding after a shared prefill gives what `model.generate` gives."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from transformers import GenerationConfig

from facial_r1.errors import InputError
from facial_r1.generation import prefix_decode
from facial_r1.generation.prefix_decode import Sampling, decode, draw, processors
from facial_r1.generation.prompt_batch import PromptBatch, encode_prompts
from facial_r1.models.positions import rotary_positions, rule_of
from facial_r1.models.thinker import backbone_of
from tests.invariants import tiny_vl

END, PAD, PLACEHOLDER = 258, 256, 262


def conversations() -> tuple[list, list]:
    def ask(images: int, text: str) -> list:
        return [{"role": "user", "content": [*[{"type": "image"}] * images, {"type": "text", "text": text}]}]

    pictures = [[tiny_vl.image(0)], [tiny_vl.image(1, 84, 56), tiny_vl.image(2)], None, [tiny_vl.image(3)]]
    return [ask(1, "What is this?"), ask(2, "And?"), ask(0, "Only text, rather long."), ask(1, "Who?")], pictures


def with_payloads(chats: list, pictures: list) -> list:
    """The conversations with images inside their parts, as a processor takes them."""
    filled = []
    for chat, images in zip(chats, pictures, strict=True):
        remaining = iter(images or [])
        parts = [{"type": "image", "image": next(remaining)} if part["type"] == "image" else part for part in chat[0]["content"]]
        filled.append([{"role": "user", "content": parts}])
    return filled


@pytest.fixture(scope="module", params=tiny_vl.ARCHITECTURES)
def setup(request: pytest.FixtureRequest):
    """Model, processor, encoded prompts and the processor's own padded batch."""
    model, processor = tiny_vl.model(request.param).eval(), tiny_vl.processor(request.param)
    chats, pictures = conversations()
    reference = processor.apply_chat_template(
        with_payloads(chats, pictures),
        tokenize=True,
        return_dict=True,
        add_generation_prompt=True,
        processor_kwargs={"padding": True, "return_tensors": "pt"},
    )
    return model, processor, encode_prompts(processor, chats, pictures), reference


def test_prompts_are_those_of_the_processor(setup) -> None:
    _, _, prompts, reference = setup
    unpadded = [ids[mask.bool()].tolist() for ids, mask in zip(reference["input_ids"], reference["attention_mask"], strict=True)]
    assert prompts.ids == unpadded
    assert torch.equal(torch.cat([item.values for item in prompts.items]), reference["pixel_values"])
    assert torch.equal(torch.stack([item.grid for item in prompts.items]), reference["image_grid_thw"])


def test_an_image_shown_twice_is_decoded_and_preprocessed_once() -> None:
    processor = tiny_vl.processor("qwen2_5_vl")
    opened = []

    def loader(path: str) -> Image.Image:
        opened.append(path)
        return tiny_vl.image(len(opened))

    chats, _ = conversations()
    prompts = encode_prompts(processor, [chats[0], chats[3]], [["a.png"], ["a.png"]], loader)
    assert opened == ["a.png"]
    assert len(prompts.items) == 1 and prompts.shown == [(0,), (0,)]


@pytest.mark.parametrize(
    ("images", "message"),
    [([[]], "image"), ([["x.png"]], "image_loader")],
    ids=["too few images", "path without loader"],
)
def test_wrong_images_are_reported(images: list, message: str) -> None:
    chats, _ = conversations()
    with pytest.raises(InputError, match=message):
        encode_prompts(tiny_vl.processor("qwen2_5_vl"), chats[:1], images)


def test_a_placeholder_written_in_the_text_is_reported() -> None:
    chats = [[{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "<|image_pad|>"}]}]]
    with pytest.raises(InputError, match="must not be written"):
        encode_prompts(tiny_vl.processor("qwen2_5_vl"), chats, [[tiny_vl.image(0)]])


@pytest.mark.parametrize("penalty", [1.0, 1.7], ids=["plain", "repetition penalty"])
def test_greedy_completions_equal_generate(setup, penalty: float) -> None:
    model, _, prompts, reference = setup
    sampling = Sampling(30, (END,), PAD, temperature=0.0, repetition_penalty=penalty, suppress_tokens=(PLACEHOLDER, 263))
    completions = decode(model, prompts, [2, 1, 1, 3], sampling)
    generated = model.generate(
        **reference,
        max_new_tokens=30,
        do_sample=False,
        repetition_penalty=penalty,
        suppress_tokens=[PLACEHOLDER, 263],
    )[:, reference["input_ids"].shape[1] :]
    expected = [prefix_decode._until_end(row, (END,)) for row in generated.tolist()]
    assert [group[0] for group in completions] == expected
    assert [len(group) for group in completions] == [2, 1, 1, 3]
    assert all(copy == group[0] for group in completions for copy in group)


def test_sequences_that_end_leave_the_batch_without_disturbing_others(setup) -> None:
    model, _, prompts, _ = setup
    long = decode(model, prompts, 1, Sampling(24, (), PAD, temperature=0.0))
    # Tokens that some sequences emit early become end tokens, so that rows leave at different steps.
    ends = tuple({group[0][place] for place, group in enumerate(long)} | {long[0][0][5]})
    short = decode(model, prompts, 1, Sampling(24, ends, PAD, temperature=0.0))
    for (full,), (cut,) in zip(long, short, strict=True):
        assert cut == prefix_decode._until_end(full, ends)


def test_every_step_follows_the_model_distribution(setup) -> None:
    """The hidden state of the lean step is the one of the model's own forward, row by row."""
    model, _, prompts, _ = setup
    generator = torch.Generator().manual_seed(0)
    completions = decode(model, prompts, 2, Sampling(8, (END,), PAD), generator=generator)
    captured: list[torch.Tensor] = []
    original = prefix_decode.DecoderStep.__call__

    def capture(self, embedded, state):
        hidden = original(self, embedded, state)
        captured.append(hidden)
        return hidden

    prefix_decode.DecoderStep.__call__ = capture
    try:
        completions = decode(model, prompts, 1, Sampling(6, (), PAD), generator=torch.Generator().manual_seed(1))
    finally:
        prefix_decode.DecoderStep.__call__ = original
    for row, (completion,) in enumerate(completions):
        ids = torch.tensor([prompts.ids[row] + completion])
        shown = PromptBatch([prompts.ids[row]], [prompts.shown[row]], prompts.items).arguments()
        if shown and model.config.model_type != "qwen2_5_omni_thinker":
            shown["mm_token_type_ids"] = (ids == PLACEHOLDER).int()
        with torch.no_grad():
            full = backbone_of(model)(input_ids=ids, **shown).last_hidden_state[0]
        steps = torch.stack([hidden[row] for hidden in captured])
        own = full[len(prompts.ids[row]) : len(prompts.ids[row]) + len(steps)]
        assert torch.allclose(steps, own, atol=2e-5, rtol=1e-4), (steps - own).abs().max()


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0.7, "top_p": 0.8, "top_k": 12, "min_p": 0.05, "repetition_penalty": 1.3},
        {"temperature": 1.0},
        {"temperature": 1.3, "top_k": 5},
        {"temperature": 0.9, "top_p": 0.5},
        {"temperature": 1.0, "min_p": 0.2},
    ],
)
def test_scores_are_processed_as_generate_does(settings: dict) -> None:
    model = tiny_vl.model("qwen2_5_vl")
    ids = torch.randint(0, 256, (3, 9), generator=torch.Generator().manual_seed(0))
    scores = torch.randn(3, 264, generator=torch.Generator().manual_seed(1)) * 3
    config = GenerationConfig(**({"top_k": 0} | settings), do_sample=True, suppress_tokens=[PLACEHOLDER])
    expected = model._get_logits_processor(config, input_ids_seq_length=9, device="cpu")(ids, scores.clone())
    sampling = Sampling(1, (END,), PAD, suppress_tokens=(PLACEHOLDER,), **settings)
    assert torch.equal(processors(sampling, "cpu")(ids, scores.clone()), expected)


def test_draws_follow_the_probabilities() -> None:
    probabilities = torch.tensor([0.0, 0.5, 0.0, 0.3, 0.2, 0.0]).expand(40_000, -1)
    drawn = draw(probabilities, torch.Generator().manual_seed(0))
    shares = torch.bincount(drawn, minlength=6) / len(drawn)
    # Five standard deviations of a share around its probability.
    assert (shares - probabilities[0]).abs().max() < 5 * (0.25 / len(drawn)) ** 0.5
    assert shares[[0, 2, 5]].sum() == 0


def test_draws_at_the_ends_of_the_interval_stay_on_possible_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities = torch.tensor([[0.0, 0.25, 0.75, 0.0]])
    for value, token in ((0.0, 1), (1.0, 2)):
        monkeypatch.setattr(torch, "rand", lambda *_, value=value, **__: torch.tensor([[value]], dtype=torch.float64))
        assert draw(probabilities).tolist() == [token]


def test_diverged_weights_are_reported() -> None:
    with pytest.raises(FloatingPointError, match="not finite"):
        draw(torch.tensor([[float("nan"), 1.0]]))


def test_suppressed_tokens_are_never_sampled() -> None:
    model, processor = tiny_vl.model("qwen2_5_vl"), tiny_vl.processor("qwen2_5_vl")
    with torch.no_grad():
        model.lm_head.weight.zero_()  # all tokens equally likely
    chats, pictures = conversations()
    prompts = encode_prompts(processor, chats[:1], pictures[:1])
    banned = tuple(range(250, 264))
    (group,) = decode(model, prompts, 64, Sampling(8, (1,), PAD, suppress_tokens=banned))
    assert not {token for completion in group for token in completion} & set(banned)


@pytest.mark.parametrize("mode", ["bfloat16 weights", "autocast"])
def test_half_precision_follows_the_model_closely(mode: str) -> None:
    """In bfloat16 tokens may differ from `generate` where two are nearly as likely; most do not."""
    model, processor = tiny_vl.model("qwen3_vl").eval(), tiny_vl.processor("qwen3_vl")
    chats, pictures = conversations()
    prompts = encode_prompts(processor, chats, pictures)
    exact = decode(model, prompts, 1, Sampling(6, (END,), PAD, temperature=0.0))
    if mode == "autocast":
        with torch.autocast("cpu", torch.bfloat16):
            rounded = decode(model, prompts, 1, Sampling(6, (END,), PAD, temperature=0.0))
    else:
        rounded = decode(model.to(torch.bfloat16), prompts, 1, Sampling(6, (END,), PAD, temperature=0.0))
    assert sum(a[0][0] == b[0][0] for a, b in zip(exact, rounded, strict=True)) >= 3


def test_gradient_checkpointing_is_restored(setup) -> None:
    model, _, prompts, _ = setup
    model.gradient_checkpointing_enable()
    model.train()
    try:
        decode(model, prompts, 1, Sampling(2, (END,), PAD))
        assert backbone_of(model).language_model.layers[0].gradient_checkpointing
    finally:
        model.gradient_checkpointing_disable()
        model.eval()


def test_positions_continue_after_the_image(setup) -> None:
    model, _, prompts, reference = setup
    expected, _ = backbone_of(model).get_rope_index(
        reference["input_ids"],
        *([reference["mm_token_type_ids"]] if "mm_token_type_ids" in reference else []),
        image_grid_thw=reference["image_grid_thw"],
        attention_mask=reference["attention_mask"],
    )
    for row, ids in enumerate(prompts.ids):
        found = rotary_positions(rule_of(model.config), torch.tensor(ids), prompts.items_of(row))
        assert torch.equal(found, expected[:, row, -len(ids) :])


def test_other_architectures_are_refused_with_a_reason() -> None:
    assert "architecture Linear" in (prefix_decode.unsupported_reason(torch.nn.Linear(2, 2)) or "")
