"""Answers about clips and sounds: the lean loop writes what the library's `generate` writes, and refusals say what to do."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from facial_r1 import models
from facial_r1.config.schema import Sampling
from facial_r1.errors import InputError
from facial_r1.generation.engine import Request, files, pictures
from facial_r1.generation.prompt_batch import encode_prompts
from facial_r1.generation.transformers_engine import TransformersEngine
from facial_r1.models import tiny_omni
from tests.models import drawn_media
from tests.models.drawn_media import Opener, asked

GREEDY = Sampling(max_new_tokens=8)
CLIPS = {"frames": 4, "side": 112, "seconds": 1.6}


def request(row: int, *parts: str) -> Request:
    count = {kind: sum(part in kinds for part in parts) for kind, kinds in
             {"image": ("image",), "video": ("video", "clip"), "audio": ("audio", "clip")}.items()}  # fmt: skip
    return Request(
        f"r{row}",
        asked("What is the emotion of this person?" * (1 + row % 2), *parts),
        (str(row),) * count["image"],
        videos=(str(row),) * count["video"],
        audios=(str(row),) * count["audio"],
    )


@pytest.fixture(scope="module")
def tiny() -> Any:
    model, processor = tiny_omni(seed=3, random=True)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4.0)  # so that the prompt matters
    return model, processor


def test_greedy_answers_are_those_of_generate(tiny: Any) -> None:
    model, processor = tiny
    requests = [request(row, "clip") for row in range(3)]
    engine = TransformersEngine(model, processor, Opener(), batch_size=2)
    assert engine.path == "lean loop"
    found = [list(one.token_ids) for one in engine.generate(requests, GREEDY, 0)]
    for row, one in enumerate(requests):
        text = processor.apply_chat_template(one.messages, tokenize=False, add_generation_prompt=True)
        inputs = processor(
            text=[text],
            videos=[torch.from_numpy(drawn_media.clip(row, **CLIPS).frames).permute(0, 3, 1, 2)],
            audio=[drawn_media.sound(row, 1.6)],
            videos_kwargs={
                "fps": 4 / 1.6,
                "do_sample_frames": False,
                "size": {"shortest_edge": 12544, "longest_edge": 12544},
                "use_audio_in_video": True,
            },
            return_tensors="pt",
        )
        inputs["video_second_per_grid"] = torch.as_tensor(inputs["video_second_per_grid"])
        with torch.no_grad():
            written = model.generate(**inputs, use_audio_in_video=True, max_new_tokens=8, do_sample=False,
                                     suppress_tokens=list(engine._never))  # fmt: skip
        expected = written[0, inputs["input_ids"].shape[1] :].tolist()
        ends = [place for place, token in enumerate(expected) if token in engine._ends]
        assert found[row] == (expected[: ends[0]] if ends else expected)
    assert len({tuple(ids) for ids in found}) > 1, "the clips differ, and so do the answers"


def test_what_a_row_shows_is_its_own_affair(tiny: Any) -> None:
    """Rows with and without clips, sounds and pictures in one batch answer as they do alone."""
    model, processor = tiny
    requests = [
        request(0, "clip"),
        request(1),
        request(2, "audio"),
        request(3, "image"),
        request(4, "video", "audio"),
        request(5, "video"),
    ]
    engine = TransformersEngine(model, processor, Opener(), batch_size=6)
    together = [one.token_ids for one in engine.generate(requests, GREEDY, 0)]
    alone = [engine.generate([one], GREEDY, 0)[0].token_ids for one in requests]
    assert together == alone


def test_a_clip_shown_twice_is_opened_once(tiny: Any) -> None:
    opened: list[str] = []

    class Counting(Opener):
        def clip(self, name: str) -> Any:
            opened.append(f"clip {name}")
            return super().clip(name)

        def sound(self, name: str) -> Any:
            opened.append(f"sound {name}")
            return super().sound(name)

    messages = asked("Again?", "clip")
    batch = encode_prompts(tiny[1], [messages] * 3, image_loader=Counting(), videos=[["7"]] * 3, audios=[["7"], ["7"], ["8"]])
    assert opened == ["clip 7", "sound 7", "sound 8"]
    assert batch.shown == [(0, 1), (0, 1), (0, 2)] and [item.kind for item in batch.items] == ["video", "audio", "audio"]


def test_a_vision_language_model_sees_clips(root: Any) -> None:
    model, processor = models.tiny(seed=0, random=True)
    engine = TransformersEngine(model, processor, Opener(), batch_size=2)
    answers = engine.generate([request(0, "video"), request(1, "image")], GREEDY, 0)
    assert all(len(one.token_ids) <= 8 and one.finish_reason in ("stop", "length") for one in answers)


def test_a_model_that_does_not_hear_says_so() -> None:
    model, processor = models.tiny(seed=0, random=True)
    engine = TransformersEngine(model, processor, Opener(), batch_size=2)
    with pytest.raises(InputError, match=r"Qwen2_5_VLProcessor shows no sound: take a model that does .*data\.modalities"):
        engine.generate([request(0, "audio")], GREEDY, 0)


@pytest.mark.parametrize(
    ("videos", "audios", "message"),
    [([], ["0"], "0 clips for 1 parts"), (["0"], [], "0 sound for 1 parts"), (["0", "1"], ["0"], "2 clips for 1 parts")],
)
def test_files_and_parts_that_do_not_match_are_refused(tiny: Any, videos: list[str], audios: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        encode_prompts(tiny[1], [asked("?", "clip")], image_loader=Opener(), videos=[videos], audios=[audios])


def test_a_placeholder_in_the_question_is_refused(tiny: Any) -> None:
    with pytest.raises(InputError, match="audio placeholders for 1 sounds"):
        encode_prompts(tiny[1], [asked("what is <|AUDIO|>?", "audio")], image_loader=Opener(), audios=[["0"]])


def test_servers_refuse_clips_and_caches_know_them() -> None:
    one = request(4, "clip")
    with pytest.raises(InputError, match=r"does not send\. Use generation=transformers"):
        pictures(one)
    assert files(one) == ["4", "4"] and files(request(2, "image")) == pictures(request(2, "image")) == ["2"]


def test_placeholders_of_sound_are_never_sampled(tiny: Any) -> None:
    engine = TransformersEngine(*tiny, Opener(), batch_size=2)
    names = tiny[1].tokenizer.convert_ids_to_tokens(engine._never)
    assert {"<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>", "<|VIDEO|>", "<|IMAGE|>"} <= set(names)
