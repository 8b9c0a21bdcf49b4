"""Clips and sounds with vLLM's offline engine beside the transformers engine: the same tiny models in float32."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from facial_r1.config.schema import OfflineVLLM, Sampling
from facial_r1.errors import InputError
from facial_r1.generation import prompt_batch
from facial_r1.generation.engine import Request
from facial_r1.generation.openai_media import MediaParts
from facial_r1.generation.special_tokens import end_tokens
from facial_r1.generation.transformers_engine import TransformersEngine
from facial_r1.generation.vllm_engine import VLLMEngine
from facial_r1.models import embedded, tiny, tiny_omni
from facial_r1.models.positions import rotary_positions, rule_of
from tests.generation.test_media_engine import Opener, request
from tests.models import drawn_media

GREEDY = Sampling(temperature=0.0, max_new_tokens=24)
MAKERS: dict[str, Any] = {"tiny": tiny, "tiny_omni": tiny_omni}
SHOWN = {
    "tiny": [("video",)] * 6 + [("image",), ("video", "image"), ()],
    "tiny_omni": [("clip",)] * 5 + [("video",), ("audio",), ("video", "audio"), ("image",), ("video", "image"), ()],
}


class Uneven(Opener):
    """Clips whose grid step, 0.9 s, is no number of bfloat16."""

    def clip(self, name: str) -> Any:
        return drawn_media.clip(int(name), 12, 112, 5.4)

    def sound(self, name: str) -> Any:
        return drawn_media.sound(int(name), 5.4)


def engine_of(name: str, opener: Any, dtype: str = "float32") -> tuple[Any, Any, VLLMEngine]:
    model, processor = MAKERS[name](seed=0)
    settings = OfflineVLLM(enforce_eager=True, gpu_memory_utilization=0.1, max_model_length=1024)
    source = embedded.resolved(f"embedded:{name}")
    return model, processor, VLLMEngine(source, processor, opener, settings, end_tokens(model, processor.tokenizer), dtype)


@pytest.fixture(scope="module", params=["tiny", "tiny_omni"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[str, TransformersEngine, VLLMEngine]]:
    """Both engines around an embedded model; vLLM's starts with a clip and keeps its room for more."""
    model, processor, engine = engine_of(request.param, Opener())
    yield request.param, TransformersEngine(model, processor, Opener(), batch_size=4), engine
    engine.close()


def test_greedy_answers_agree(pair: tuple[str, TransformersEngine, VLLMEngine]) -> None:
    name, ours, theirs = pair
    requests = [request(row, *parts) for row, parts in enumerate(SHOWN[name])]
    expected, found = (engine.generate(requests, GREEDY, 0) for engine in (ours, theirs))
    differing = [place for place, (one, two) in enumerate(zip(expected, found, strict=True)) if one.token_ids != two.token_ids]
    assert not differing, f"{name}: the answers to {[SHOWN[name][place] for place in differing]} differ"
    assert len({one.token_ids for one in found}) > 2, "answers that are all alike show nothing"


@pytest.mark.parametrize("name", ["tiny", "tiny_omni"])
def test_positions_are_the_model_s_whatever_the_precision(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bfloat16, where vLLM by itself rounds the seconds of a grid step."""
    from facial_r1.generation import vllm_models

    requests = [request(0, "video" if name == "tiny" else "clip"), request(1, "video")]
    model, processor, engine = engine_of(name, Uneven(), "bfloat16")
    seen: dict[tuple[int, ...], torch.Tensor] = {}
    original = vllm_models._OurPositions.get_mrope_input_positions

    def noted(self: Any, tokens: list[int], features: list[Any]) -> Any:
        found = original(self, tokens, features)
        seen[tuple(tokens)] = found[0]
        return found

    monkeypatch.setattr(vllm_models._OurPositions, "get_mrope_input_positions", noted)
    engine.generate(requests, Sampling(max_new_tokens=1), 0)
    engine.close()
    batch = prompt_batch.encode_prompts(
        processor,
        [one.messages for one in requests],
        None,
        Uneven(),
        videos=[one.videos for one in requests],
        audios=[one.audios for one in requests],
    )
    for place, ids in enumerate(batch.ids):
        expected = rotary_positions(rule_of(model.config), torch.tensor(ids), batch.items_of(place))
        assert torch.equal(seen[tuple(ids)].long(), expected), f"prompt {place}"


def test_what_vllm_cannot_be_told_is_refused(pair: tuple[str, TransformersEngine, VLLMEngine]) -> None:
    name, _, theirs = pair
    if name == "tiny":
        with pytest.raises(InputError, match="shows no sound"):
            theirs.generate([request(0, "audio")], GREEDY, 0)
    else:
        with pytest.raises(InputError, match=r"1 of 2 clips with their sound.*generation=transformers"):
            theirs.generate([request(0, "clip", "video")], GREEDY, 0)


def test_an_engine_without_room_for_clips_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, engine = engine_of("tiny", Opener())
    pictures: list[Request] = [request(0, "image")]
    (first,) = engine.generate(pictures, GREEDY, 0)
    without = engine._llm
    engine.generate([request(1, "video")], GREEDY, 0)
    assert engine._llm is not without
    assert engine.generate(pictures, GREEDY, 0) == [first]
    engine.close()


def test_vllm_s_server_reads_what_we_send() -> None:
    """The parts of `openai_media` through the code with which vLLM's server opens them; nothing is resampled by our side's doing."""
    from vllm.multimodal.media import MediaConnector

    opener = Opener()
    media = MediaParts(opener, lambda picture: "")
    (video,) = media.clip("3")
    heard = media.sound("3")["input_audio"]
    frames, about = MediaConnector().fetch_video(video["video_url"]["url"]).media
    assert frames.shape == (4, 112, 112, 3) and about["fps"] == pytest.approx(2.5)
    samples, rate = MediaConnector().fetch_audio(f"data:audio/{heard['format']};base64,{heard['data']}")
    if importlib.util.find_spec("soundfile") is None:  # vLLM 0.31 then reads 16-bit WAV without bringing it to full scale 1
        samples = samples / 32768
    assert rate == drawn_media.RATE and np.abs(samples - opener.sound("3")).max() < 1e-4


def test_saved_thinkers_and_whole_checkpoints_name_the_same_weights() -> None:
    from facial_r1.generation.vllm_models import OmniThinker

    saved = ["model.layers.0.a", "lm_head.weight", "visual.b", "audio_tower.c"]
    whole = ["thinker." + name for name in saved] + ["talker.d", "token2wav.e"]
    mapped = [
        [name for name, _ in OmniThinker.hf_to_vllm_mapper.apply([(name, None) for name in names])] for names in (saved, whole)
    ]
    assert (
        mapped[0]
        == mapped[1]
        == ["language_model.model.layers.0.a", "language_model.lm_head.weight", "visual.b", "audio_tower.c"]
    )
