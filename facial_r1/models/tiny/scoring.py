"""How well the tiny model describes drawn faces: F1 of each sentence over faces of persons it was never trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

from facial_r1.data.schematic.language import PHRASES, neutral_description
from facial_r1.models.tiny import faces as drawn


def f1_by_sentence(truth: np.ndarray, said: np.ndarray) -> np.ndarray:
    """Give the F1 of each sentence over faces, ``(15,)``; 1 where it is neither true nor said.

    Args:
        truth: ``(faces, 15)``, 0 or 1.
        said: The same shape.
    """
    hits = (truth * said).sum(0)
    total = truth.sum(0) + said.sum(0)
    return np.where(total > 0, 2 * hits / np.maximum(total, 1), 1.0)


def described(
    model: Qwen2_5_VLForConditionalGeneration, processor: Qwen2_5_VLProcessor, faces: list[np.ndarray], question: str
) -> list[str]:
    """Let the model describe faces by greedy decoding, through the same calls as any other checkpoint."""
    texts: list[str] = []
    messages: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
    prompt = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    for first in range(0, len(faces), 50):
        images = [Image.fromarray(face) for face in faces[first : first + 50]]
        inputs = processor(text=[prompt] * len(images), images=images, padding=True, return_tensors="pt")
        with torch.inference_mode():
            output = model.generate(  # type: ignore[misc]
                **inputs, max_new_tokens=60, do_sample=False
            )
        texts += processor.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return texts


def evaluate(
    model: Qwen2_5_VLForConditionalGeneration, processor: Qwen2_5_VLProcessor, count: int, question: str
) -> tuple[dict[str, float], list[str]]:
    """Score greedy descriptions of held-out faces.

    Returns:
        F1 of each unit's sentence and their mean under ``macro``; and the descriptions.
    """
    faces = [drawn.held_out_face(index) for index in range(count)]
    texts = described(model, processor, [drawn.pixels(face) for face in faces], question)
    truth = np.stack([drawn.sentence_bits(neutral_description(face)) for face in faces])
    scores = f1_by_sentence(truth, np.stack([drawn.sentence_bits(text) for text in texts]))
    return {**dict(zip(PHRASES, scores.round(4).tolist(), strict=True)), "macro": float(scores.mean())}, texts
