"""The lean prefill leaves out work, not results."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from facial_r1.generation import prefill, prefix_decode
from facial_r1.generation.decoder_step import DecoderStep, State
from facial_r1.generation.prefix_decode import Sampling, decode
from facial_r1.generation.prompt_batch import PromptBatch, encode_prompts
from facial_r1.models.thinker import backbone_of
from tests.invariants import tiny_vl

END, PAD, PLACEHOLDER = 258, 256, 262
GREEDY = Sampling(12, (END,), PAD, temperature=0.0, suppress_tokens=(PLACEHOLDER, 263))


def prompts(architecture: str, kind: str) -> PromptBatch:
    """Prompts of one length with a picture each, or with none, one and two pictures of several sizes."""
    same = [("Who?", [tiny_vl.image(number)]) for number in range(5)]
    mixed = [
        ("What is this?", [tiny_vl.image(0)]),
        ("And?", [tiny_vl.image(1, 84, 56), tiny_vl.image(2)]),
        ("Only text, rather long.", []),
        ("Who?", [tiny_vl.image(3)]),
    ]
    rows = {"same": same, "mixed": mixed, "one": same[:1]}[kind]
    chats = [
        [
            {"role": "system", "content": [{"type": "text", "text": "You look at faces."}]},
            {"role": "user", "content": [*[{"type": "image"}] * len(images), {"type": "text", "text": text}]},
        ]
        for text, images in rows
    ]
    return encode_prompts(tiny_vl.processor(architecture), chats, [images for _, images in rows])


def both(architecture: str, kind: str) -> tuple[PromptBatch, State, State]:
    model, batch = tiny_vl.model(architecture).eval(), prompts(architecture, kind)
    with torch.no_grad():
        plain = prefix_decode._prefill(model, batch, [1] * len(batch), GREEDY, None)
        positions = prefill.positions_of(model.config, batch)
        step = DecoderStep(backbone_of(model).language_model, int(plain.next_position.max()) + 12)
        return batch, plain, prefill.prefill(model, step, batch, positions, 12, PAD)


@pytest.mark.parametrize("kind", ["same", "mixed", "one"])
@pytest.mark.parametrize("architecture", tiny_vl.ARCHITECTURES)
def test_the_state_is_that_of_the_models_own_forward(architecture: str, kind: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(prefill, "AT_ONCE", 90)  # several slices, of pictures and of rows
    batch, plain, lean = both(architecture, kind)
    torch.testing.assert_close(lean.hidden, plain.hidden, atol=2e-5, rtol=1e-4)
    assert torch.equal(lean.next_position, plain.next_position)
    opening = prefill.common_opening(batch, [PLACEHOLDER])
    for row, ids in enumerate(batch.ids):
        rest = len(ids) - opening
        for ours, theirs in zip(lean.keys + lean.values, plain.keys + plain.values, strict=True):
            own = theirs[row, :, plain.length - len(ids) : plain.length]
            found = torch.cat([ours[row, :, :opening], ours[row, :, lean.length - rest : lean.length]], dim=1)
            torch.testing.assert_close(found, own, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("penalty", [1.0, 1.7], ids=["plain", "repetition penalty"])
@pytest.mark.parametrize("kind", ["same", "mixed", "one"])
@pytest.mark.parametrize("architecture", tiny_vl.ARCHITECTURES)
def test_completions_are_the_same(architecture: str, kind: str, penalty: float):
    model, batch = tiny_vl.model(architecture).eval(), prompts(architecture, kind)
    sampling = Sampling(12, (END,), PAD, 0.0, repetition_penalty=penalty, suppress_tokens=(PLACEHOLDER, 263))
    assert decode(model, batch, 1, sampling, lean_prefill=True) == decode(model, batch, 1, sampling)


def test_half_precision_keeps_its_type():
    model, batch = tiny_vl.model("qwen2_5_vl").eval().to(torch.bfloat16), prompts("qwen2_5_vl", "same")
    lean, plain = (decode(model, batch, 1, GREEDY, lean_prefill=lean) for lean in (True, False))
    assert sum(a[0][0] == b[0][0] for a, b in zip(lean, plain, strict=True)) >= 4, "ties apart, the first tokens agree"


def test_the_common_opening_is_computed_once_and_the_last_layer_for_the_last_token(monkeypatch: pytest.MonkeyPatch):
    model, batch = tiny_vl.model("qwen2_5_vl").eval(), prompts("qwen2_5_vl", "same")
    tokens: list[int] = []
    whole = DecoderStep.attention_inputs

    def counted(self: Any, layer: Any, hidden: torch.Tensor, *rest: Any) -> Any:
        tokens.append(len(hidden))
        return whole(self, layer, hidden, *rest)

    monkeypatch.setattr(DecoderStep, "attention_inputs", counted)
    finished: list[int] = []
    layer_type = type(DecoderStep(backbone_of(model).language_model, 1).layers[0])
    finish = layer_type.finish
    monkeypatch.setattr(layer_type, "finish", lambda self, h, a: (finished.append(len(h)), finish(self, h, a))[1])
    decode(model, batch, 1, Sampling(1, (END,), PAD, temperature=0.0), lean_prefill=True)
    opening = prefill.common_opening(batch, [PLACEHOLDER])
    rest = sum(len(ids) - opening for ids in batch.ids)
    assert opening > 20
    assert tokens == [opening, opening, rest, rest]
    assert finished == [opening, rest, len(batch)]


def test_the_common_opening_ends_before_a_picture_and_before_the_last_token():
    def common(*ids: list[int]) -> int:
        return prefill.common_opening(PromptBatch(list(ids), [()] * len(ids)), [9])

    assert common([1, 2, 9, 3], [1, 2, 9, 3]) == 2
    assert common([1, 2, 3], [1, 2, 3]) == 2
    assert common([1, 2, 3], [1, 2]) == 1
    assert common([1], [2]) == 0
    assert common([1, 2, 3]) == 0


def test_prompts_that_end_with_a_picture_are_left_to_the_models_forward():
    model = tiny_vl.model("qwen2_5_vl")
    assert prefill.fits(model, PromptBatch([[1, PLACEHOLDER, 2]], [()]))
    assert not prefill.fits(model, PromptBatch([[1, PLACEHOLDER]], [()]))


def test_rows_that_are_given_up_are_replaced_by_the_last():
    rows = torch.arange(5.0)
    state = State(
        keys=[rows[:, None, None, None].repeat(1, 2, 4, 3)],
        values=[-rows[:, None, None, None].repeat(1, 2, 4, 3)],
        visible=rows[:, None].repeat(1, 4) > 2,
        prompt_ids=rows[:, None].repeat(1, 2),
        next_position=rows.clone(),
        hidden=rows[:, None].repeat(1, 3),
        length=4,
    )
    order = state.drop(torch.tensor([False, True, False, True, False]))
    assert order.tolist() == [0, 4, 2]
    assert state.keys[0][:, 0, 0, 0].tolist() == [0, 4, 2] and state.values[0][:, 1, 3, 2].tolist() == [0, -4, -2]
    assert state.next_position.tolist() == state.hidden[:, 0].tolist() == state.prompt_ids[:, 1].tolist() == [0, 4, 2]
    assert state.visible is not None and state.visible[:, 0].tolist() == [False, True, False]
