"""Qwen2.5-Omni's thinker, seen as the Qwen-VL models are: a backbone with towers and a decoder, and an output layer.

In transformers the thinker's forward is one piece that ends in logits over the whole vocabulary, its towers lie beside its
decoder, and `base_model` is the model itself. Everything here that shares work or scores completions, TRL's fused output
layer included, needs what lies below the output layer: hidden states of chosen positions, kept prefixes, features that were
encoded before. `Backbone` is that part, made of the thinker's own modules. It owns no weights and is no module, so that
checkpoints, adapters and the hooks of DeepSpeed see the thinker as it is.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, PreTrainedModel, Qwen2_5OmniThinkerForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutputWithPast, BaseModelOutputWithPooling

ARCHITECTURE = "qwen2_5_omni_thinker"
"""Model type of a checkpoint that holds the thinker alone."""

WHOLE = "qwen2_5_omni"
"""Model type of a checkpoint that holds thinker, talker and vocoder: Qwen/Qwen2.5-Omni-7B."""


class Backbone:
    """The thinker below its output layer. See the module's text.

    Args:
        thinker: The model whose modules are used.
    """

    def __init__(self, thinker: Any) -> None:
        self._thinker = thinker

    @property
    def config(self) -> Any:
        """The thinker's configuration."""
        return self._thinker.config

    @property
    def visual(self) -> nn.Module:
        """The vision tower with its projector."""
        return self._thinker.visual

    @property
    def audio_tower(self) -> nn.Module:
        """The audio tower with its projection."""
        return self._thinker.audio_tower

    @property
    def language_model(self) -> Any:
        """The decoder."""
        return self._thinker.model

    def get_rope_index(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Positions along time, height and width; see transformers."""
        return self._thinker.get_rope_index(*args, **kwargs)

    def get_image_features(self, pixel_values: Tensor, image_grid_thw: Tensor, **kwargs: Any) -> Any:
        """Features of pictures: one tensor (tokens, hidden) each, in `pooler_output`."""
        return self._thinker.get_image_features(pixel_values, image_grid_thw, return_dict=True)

    def get_video_features(self, pixel_values_videos: Tensor, video_grid_thw: Tensor, **kwargs: Any) -> Any:
        """Features of clips: one tensor (tokens, hidden) each, in `pooler_output`."""
        return self._thinker.get_video_features(pixel_values_videos, video_grid_thw, return_dict=True)

    def get_audio_features(self, input_features: Tensor, audio_feature_lengths: Tensor, **kwargs: Any) -> Any:
        """Features of sounds.

        Args:
            input_features: Log-mel spectrograms one after the other, without padding, shape (bins, frames of all).
            audio_feature_lengths: Frames of each, shape (sounds,).

        Returns:
            One tensor (tokens, hidden) for each sound, in `pooler_output`.
        """
        tower = self._thinker.audio_tower
        after, tokens = tower._get_feat_extract_output_lengths(audio_feature_lengths)
        found = tower(input_features, feature_lens=audio_feature_lengths, aftercnn_lens=after, return_dict=True)
        states: Any = found.last_hidden_state
        parts: Any = list(states.split(tokens.tolist()))
        return BaseModelOutputWithPooling(last_hidden_state=states, pooler_output=parts)

    def __call__(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        pixel_values: Tensor | None = None,
        image_grid_thw: Tensor | None = None,
        pixel_values_videos: Tensor | None = None,
        video_grid_thw: Tensor | None = None,
        input_features: Tensor | None = None,
        audio_feature_lengths: Tensor | None = None,
        vision_plan: Any = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """The last hidden states of a batch.

        `input_features` are those of `get_audio_features`. `position_ids` (3, rows, length) have to be given with clips or
        sounds: what tells a clip with its sound from a clip beside a sound is in the prompt, not in a flag of the batch.
        """
        if inputs_embeds is None:
            inputs_embeds = self._thinker.get_input_embeddings()(input_ids)
        plan = {} if vision_plan is None else {"vision_plan": vision_plan}
        shown: list[tuple[int, Any]] = []
        sizes: tuple[Any, ...] = (image_grid_thw, video_grid_thw, audio_feature_lengths)
        config = self.config
        if pixel_values is not None:
            shown.append((config.image_token_id, self.get_image_features(pixel_values, sizes[0], **plan)))
        if pixel_values_videos is not None:
            shown.append((config.video_token_id, self.get_video_features(pixel_values_videos, sizes[1], **plan)))
        if input_features is not None:
            shown.append((config.audio_token_id, self.get_audio_features(input_features, sizes[2], **plan)))
        for token, features in shown:
            inputs_embeds = self._filled(inputs_embeds, input_ids, token, torch.cat(list(features.pooler_output)))
        if position_ids is None:
            if pixel_values_videos is not None or input_features is not None:
                raise ValueError("clips and sounds need position_ids")
            if input_ids is not None and image_grid_thw is not None:
                mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
                position_ids, _ = self.get_rope_index(input_ids, image_grid_thw, None, mask)
        return self._thinker.model(
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            return_dict=True,
            **kwargs,
        )

    @staticmethod
    def _filled(embedded: Tensor, input_ids: Tensor | None, token: int, features: Tensor) -> Tensor:
        assert input_ids is not None, "placeholders are found by their ids"
        places = input_ids == token
        if int(places.sum()) != len(features):
            raise ValueError(f"{int(places.sum())} placeholders of token {token} for {len(features)} features")
        return embedded.masked_scatter(places.unsqueeze(-1), features.to(embedded.device, embedded.dtype))


class Thinker(Qwen2_5OmniThinkerForConditionalGeneration):
    """The library's class with a backbone; made of a loaded model by `as_thinker`."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        _equip(self)

    @property
    def base_model(self) -> Any:
        """What lies below the output layer, as in the Qwen-VL models, where TRL's fused output layer looks for it."""
        return self.__dict__.get("backbone", self)  # itself while it is being made


def _equip(model: Any) -> None:
    model.backbone = Backbone(model)
    model.audio_tower.audio_bos_eos_token.requires_grad_(False)


# A saved model names its class: the library's.
Thinker.__name__ = Thinker.__qualname__ = Qwen2_5OmniThinkerForConditionalGeneration.__name__


def as_thinker(model: PreTrainedModel) -> Any:
    """Give a thinker its backbone, in place; any other model comes back as it is.

    The audio tower's table of marks is the talker's and is in no sum of the thinker; it stops asking for gradients, which it
    would never get.
    """
    if isinstance(model, Qwen2_5OmniThinkerForConditionalGeneration) and not isinstance(model, Thinker):
        model.__class__ = Thinker
        _equip(model)
    return model


def part_of_whole(model: Any) -> bool:
    """Whether a model was taken out of a checkpoint that holds more than the thinker, as those on the hub do."""
    if not isinstance(model, Thinker):
        return False
    place = model.config._name_or_path or model.name_or_path
    return bool(place) and AutoConfig.from_pretrained(str(place), trust_remote_code=False).model_type == WHOLE


def backbone_of(core: Any) -> Any:
    """The part of a model below its output layer, with its towers and its `language_model`; None for other architectures."""
    if isinstance(core, Thinker):
        return core.base_model
    return getattr(core, "model", None)
