"""Models with clips in vLLM: our positions, a saved Omni thinker as it is, and the time between frames in full precision.

Three things that vLLM 0.31 does in another way than the models were trained:

- It rounds the seconds of a clip's grid step to the precision of the weights. In bfloat16, 0.9 s become 0.898 s, and the fifth
  step of Qwen2.5-VL's grid lies at 8 in place of 9.
- It takes the marks around a clip with its sound (Qwen2.5-Omni) for its first and last placeholders, which moves every
  position of the clip by one.
- It loads whole Omni checkpoints only: a configuration with a `thinker_config` inside, weights named `thinker.*`. What we save is
  the thinker alone.

So prompts with clips and all of Omni go through subclasses of its models, whose positions are `facial_r1.models.positions`.
Importing this module registers them. vLLM's other processes import it as well: they are sent `with_our_models` with the settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import Qwen2_5_VLConfig, Qwen2_5OmniConfig
from vllm import ModelRegistry
from vllm.model_executor.models import qwen2_5_omni_thinker as omni
from vllm.model_executor.models import qwen2_5_vl as vl
from vllm.model_executor.models.utils import WeightsMapper
from vllm.multimodal import MULTIMODAL_REGISTRY

from facial_r1.models.media import Item
from facial_r1.models.positions import rotary_positions, rule_of

OMNI, VL = "FacialR1OmniThinker", "FacialR1Qwen2_5VL"
_THINKER = "qwen2_5_omni_thinker"
_TEMPORAL_PATCH = 2


class _OurPositions:
    """Positions of `facial_r1.models.positions` in a model of vLLM."""

    config: Any

    def get_mrope_input_positions(self, input_tokens: list[int], mm_features: list[Any]) -> tuple[Tensor, int]:
        """Positions along time, height and width, shape (3, tokens), and what to add to the place of a token that is written."""
        ordered = sorted(mm_features, key=lambda feature: (feature.mm_position.offset, _ORDER[feature.modality]))
        positions = rotary_positions(rule_of(self.config), torch.tensor(input_tokens), [item_of(one) for one in ordered])
        return positions.contiguous(), int(positions.max()) + 1 - len(input_tokens)


_ORDER = {"image": 0, "video": 0, "audio": 1}
"""The sound of a clip has the place of the clip, and comes after it."""


def item_of(feature: Any) -> Item:
    """What positions depend on of a picture, clip or sound as vLLM keeps it: grid, seconds of a grid step, frames of sound."""
    data = feature.data
    if feature.modality == "audio":
        return Item("audio", torch.empty((0, int(data["audio_feature_lengths"].data))))
    grid = data[f"{feature.modality}_grid_thw"].data
    seconds = float(data["second_per_grid_ts"].data) if feature.modality == "video" else 0.0
    return Item(feature.modality, torch.empty(0), grid, seconds)


class _OmniProcessor(omni.Qwen2_5OmniThinkerMultiModalProcessor):
    def _postprocess_hf_mm_data(self, hf_data: Mapping[str, Any], hf_kwargs: Mapping[str, Any], processed_data: Any) -> Any:
        processed = super()._postprocess_hf_mm_data(hf_data, hf_kwargs, processed_data)
        rate = self.info.ctx.get_merged_mm_kwargs(hf_kwargs).get("fps")
        if rate is not None and "video_grid_thw" in processed:
            processed["second_per_grid_ts"] = torch.full((len(processed["video_grid_thw"]),), _TEMPORAL_PATCH / rate)
        return processed


class _VLProcessor(vl.Qwen2_5_VLMultiModalProcessor):
    def _postprocess_hf_mm_data(self, hf_data: Mapping[str, Any], hf_kwargs: Mapping[str, Any], processed_data: Any) -> Any:
        processed = super()._postprocess_hf_mm_data(hf_data, hf_kwargs, processed_data)
        if "video_metadata" in hf_data:
            rates = [metadata.sampled_fps for metadata in hf_data["video_metadata"]]
            processed["second_per_grid_ts"] = torch.tensor([_TEMPORAL_PATCH / rate for rate in rates], dtype=torch.float32)
        return processed


@MULTIMODAL_REGISTRY.register_processor(
    _OmniProcessor, info=omni.Qwen2_5OmniThinkerProcessingInfo, dummy_inputs=omni.Qwen2_5OmniThinkerDummyInputsBuilder
)
class OmniThinker(_OurPositions, omni.Qwen2_5OmniThinkerForConditionalGeneration):
    """vLLM's thinker, which knows the names of a saved thinker beside those of a whole checkpoint."""

    hf_to_vllm_mapper = WeightsMapper(
        orig_to_new_prefix={
            **omni.Qwen2_5OmniThinkerForConditionalGeneration.hf_to_vllm_mapper.orig_to_new_prefix,
            "model.": "language_model.model.",
            "lm_head.": "language_model.lm_head.",
        }
    )


@MULTIMODAL_REGISTRY.register_processor(
    _VLProcessor, info=vl.Qwen2_5_VLProcessingInfo, dummy_inputs=vl.Qwen2_5_VLDummyInputsBuilder
)
class ClipVL(_OurPositions, vl.Qwen2_5_VLForConditionalGeneration):
    """vLLM's Qwen2.5-VL."""


def with_our_models(config: Any) -> Any:
    """A checkpoint's configuration as vLLM is to have it (its `hf_overrides`); a saved thinker's goes into one of a whole model.

    vLLM also calls it with an empty configuration to see whether the model's type changes; it does not until the real one is here.
    """
    if config.model_type == _THINKER:
        dtype = config.dtype
        config = Qwen2_5OmniConfig(thinker_config=config.to_dict(), enable_audio_output=False)
        config.dtype = dtype
    if isinstance(config, Qwen2_5OmniConfig):
        config.architectures = [OMNI]
    elif isinstance(config, Qwen2_5_VLConfig):
        config.architectures = [VL]
    return config


ModelRegistry.register_model(OMNI, OmniThinker)
ModelRegistry.register_model(VL, ClipVL)
