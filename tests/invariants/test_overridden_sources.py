"""The sources that our overrides were written against have not changed.

`GroupGRPOTrainer` overrides private methods of TRL, and the shared forward and the decoding loop reproduce what
transformers' Qwen-VL and Qwen2.5-Omni models do. An upgrade may change them without any signature changing.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable

import accelerate
import accelerate.data_loader
import pytest
import transformers
import trl
from transformers import Qwen2_5OmniProcessor, WhisperFeatureExtractor
from transformers.models.qwen2_5_omni import modeling_qwen2_5_omni as qwen2_5_omni
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as qwen2_5_vl
from transformers.models.qwen3_vl import modeling_qwen3_vl as qwen3_vl
from trl import GRPOTrainer
from trl.generation import vllm_generation
from trl.trainer import utils

#: Source hash and what depends on it: overridden methods first, then functions whose behaviour we rely on.
RELIED_ON: dict[str, tuple[Callable, str, str]] = {
    "GRPOTrainer._get_train_sampler": (
        GRPOTrainer._get_train_sampler,
        "36497afb4d311dc9",
        "GroupGRPOTrainer._get_train_sampler and load_once.GroupSampler",
    ),
    "GRPOTrainer.get_train_dataloader": (
        GRPOTrainer.get_train_dataloader,
        "2bffe5a57c539e17",
        "GroupGRPOTrainer._get_dataloader",
    ),
    "Trainer._get_dataloader": (
        transformers.Trainer._get_dataloader,
        "5f975c2449044c83",
        "GroupGRPOTrainer._get_dataloader",
    ),
    "GRPOTrainer._prepare_inputs": (
        GRPOTrainer._prepare_inputs,
        "f824e7fb07147956",
        "GroupGRPOTrainer._prepare_inputs",
    ),
    "GRPOTrainer._generate_and_score_completions": (
        GRPOTrainer._generate_and_score_completions,
        "1fa48922792dcd5c",
        "GroupGRPOTrainer._generate_and_score_completions (order of passes, keys of the result), dynamic_sampling.kept_metrics",
    ),
    "GRPOTrainer._tokenize_prompts": (
        GRPOTrainer._tokenize_prompts,
        "d2d27f7c9bfda85f",
        "GroupGRPOTrainer._tokenize_prompts and prompt_batch.encode_prompts",
    ),
    "GRPOTrainer._generate": (
        GRPOTrainer._generate,
        "2a27fdf8f5e6f356",
        "GroupGRPOTrainer._tokenize_prompts (who calls it), reward_overlap and dynamic_sampling (what it returns)",
    ),
    "GRPOTrainer._generate_single_turn": (
        GRPOTrainer._generate_single_turn,
        "e0f02e4fc094cefd",
        "GroupGRPOTrainer._generate_single_turn and the sampling settings",
    ),
    "VLLMGeneration._init_vllm": (
        vllm_generation.VLLMGeneration._init_vllm,
        "0e584002e0f6a9c0",
        "vllm_backend.GroupVLLM._init_vllm (arguments of the engine)",
    ),
    "VLLMGeneration.sync_weights": (
        vllm_generation.VLLMGeneration.sync_weights,
        "63d669fb32304ff5",
        "vllm_backend.GroupVLLM.sync_weights",
    ),
    "VLLMGeneration._iter_named_params": (
        vllm_generation.VLLMGeneration._iter_named_params,
        "baab615d5c7bc3e1",
        "vllm_backend.GroupVLLM.sync_weights and vllm_weights.unchanging (names, how long a tensor is valid)",
    ),
    "VLLMGeneration.generate": (
        vllm_generation.VLLMGeneration.generate,
        "2d2ac2be5b1309c4",
        "vllm_backend.GroupVLLM.complete and the sampling settings",
    ),
    "GRPOTrainer._calculate_rewards": (
        GRPOTrainer._calculate_rewards,
        "736ae29b083840b5",
        "GroupGRPOTrainer._calculate_rewards and reward_overlap (arguments of reward functions)",
    ),
    "GRPOTrainer._get_per_token_logps_and_entropies": (
        GRPOTrainer._get_per_token_logps_and_entropies,
        "ea73c3909275851d",
        "GroupGRPOTrainer._get_per_token_logps_and_entropies and log_probs",
    ),
    "GRPOTrainer._compute_loss": (
        GRPOTrainer._compute_loss,
        "80295546bbdbf6f7",
        "GroupGRPOTrainer._compute_loss, skip_dead_groups and micro_batches.group_order",
    ),
    "GRPOTrainer._load_optimizer_and_scheduler": (
        GRPOTrainer._load_optimizer_and_scheduler,
        "5c1772becdfd7fdb",
        "GroupGRPOTrainer._load_optimizer_and_scheduler",
    ),
    "GRPOTrainer.training_step": (
        GRPOTrainer.training_step,
        "9e18632f7dd8e8d8",
        "the step counter that resume saves",
    ),
    "Trainer._save_optimizer_and_scheduler": (
        transformers.Trainer._save_optimizer_and_scheduler,
        "c5ef974db69ab993",
        "GroupGRPOTrainer._save_optimizer_and_scheduler",
    ),
    "Trainer._save_checkpoint": (
        transformers.Trainer._save_checkpoint,
        "a9111e30faa99339",
        "GroupGRPOTrainer._save_optimizer_and_scheduler (order of writing)",
    ),
    "Trainer._run_epoch": (
        transformers.Trainer._run_epoch,
        "ebe374933064ecd6",
        "GroupGRPOTrainer._run_epoch and exact resume",
    ),
    "trl add_fused_lm_head": (
        utils.add_fused_lm_head,
        "422d009f04b66659",
        "log_probs.packed (shift_labels, base_model) and shared_prompt.ScoredPositions",
    ),
    "trl RepeatSampler": (
        utils.RepeatSampler,
        "ba139f4a43eeecd4",
        "load_once.GroupSampler",
    ),
    "trl split_pixel_values_by_grid": (
        utils.split_pixel_values_by_grid,
        "3aca66e33a7978d3",
        "dynamic_sampling.join",
    ),
    "trl unsplit_pixel_values_by_grid": (
        utils.unsplit_pixel_values_by_grid,
        "9d31b407fc5f4399",
        "dynamic_sampling.join",
    ),
    "accelerate skip_first_batches": (
        accelerate.data_loader.skip_first_batches,
        "c3e05a215cb63cad",
        "load_once.GroupSampler.set_epoch",
    ),
    "Qwen2_5_VLModel.forward": (
        qwen2_5_vl.Qwen2_5_VLModel.forward,
        "3b49141bfc0e38e1",
        "vision_reuse.planned_features and log_probs.packed",
    ),
    "Qwen2_5_VLModel.get_image_features": (
        qwen2_5_vl.Qwen2_5_VLModel.get_image_features,
        "b3a60eb600bee01f",
        "vision_reuse.planned_features",
    ),
    "Qwen2_5_VLModel.get_rope_index": (
        qwen2_5_vl.Qwen2_5_VLModel.get_rope_index,
        "690e539be08514b7",
        "models.positions.rotary_positions",
    ),
    "Qwen2_5_VLTextModel.forward": (
        qwen2_5_vl.Qwen2_5_VLTextModel.forward,
        "a8660fb536c68cc0",
        "shared_prompt and prefix_decode.DecoderStep",
    ),
    "Qwen2_5_VLDecoderLayer.forward": (
        qwen2_5_vl.Qwen2_5_VLDecoderLayer.forward,
        "0714a1ed3b4d3aa3",
        "prefix_decode.DecoderStep",
    ),
    "Qwen2_5_VLAttention.forward": (
        qwen2_5_vl.Qwen2_5_VLAttention.forward,
        "e946e2f06ac617c3",
        "shared_prompt.block_attention and prefix_decode.DecoderStep",
    ),
    "Qwen2_5_VLRotaryEmbedding": (
        qwen2_5_vl.Qwen2_5_VLRotaryEmbedding,
        "4195ff554930346c",
        "prefix_decode.DecoderStep (one table of positions)",
    ),
    "Qwen2_5_VLVisionAttention.forward": (
        qwen2_5_vl.Qwen2_5_VLVisionAttention.forward,
        "2afc2f9fa3ebd677",
        "models.towers",
    ),
    "Qwen2_5_VisionPatchEmbed.forward": (
        qwen2_5_vl.Qwen2_5_VisionPatchEmbed.forward,
        "8a9155b5aa2fad48",
        "models.towers",
    ),
    "Qwen2_5_VLRMSNorm.forward": (
        qwen2_5_vl.Qwen2_5_VLRMSNorm.forward,
        "790fa612e4fa57ac",
        "models.towers.QuickNorm and decoder_step.norm",
    ),
    "Qwen2_5_VLMLP.forward": (
        qwen2_5_vl.Qwen2_5_VLMLP.forward,
        "1e1715d7e10e8420",
        "models.towers.QuickMLP",
    ),
    "qwen2_5_vl apply_rotary_pos_emb_vision": (
        qwen2_5_vl.apply_rotary_pos_emb_vision,
        "961a1862d6808a5c",
        "models.towers (rotated heads)",
    ),
    "Qwen3VLTextModel._deepstack_process": (
        qwen3_vl.Qwen3VLTextModel._deepstack_process,
        "07178743d3d5ebc3",
        "generation.prefill (features of deeper layers)",
    ),
    "Qwen3VLVisionAttention.forward": (
        qwen3_vl.Qwen3VLVisionAttention.forward,
        "2afc2f9fa3ebd677",
        "models.towers",
    ),
    "Qwen3VLVisionPatchEmbed.forward": (
        qwen3_vl.Qwen3VLVisionPatchEmbed.forward,
        "8a9155b5aa2fad48",
        "models.towers",
    ),
    "Qwen3VLModel.forward": (
        qwen3_vl.Qwen3VLModel.forward,
        "6fd4a7260ea6ea22",
        "vision_reuse.planned_features and log_probs.packed",
    ),
    "Qwen3VLModel.get_image_features": (
        qwen3_vl.Qwen3VLModel.get_image_features,
        "357792d495a52163",
        "vision_reuse.planned_features",
    ),
    "Qwen3VLModel.get_rope_index": (
        qwen3_vl.Qwen3VLModel.get_rope_index,
        "f217159d06080e6e",
        "models.positions.rotary_positions",
    ),
    "Qwen3VLTextModel.forward": (
        qwen3_vl.Qwen3VLTextModel.forward,
        "315e088611c28a04",
        "shared_prompt and prefix_decode.DecoderStep",
    ),
    "Qwen3VLTextDecoderLayer.forward": (
        qwen3_vl.Qwen3VLTextDecoderLayer.forward,
        "48b425ff62ec41e2",
        "prefix_decode.DecoderStep",
    ),
    "Qwen3VLTextAttention.forward": (
        qwen3_vl.Qwen3VLTextAttention.forward,
        "05731d821a60ed0d",
        "shared_prompt.block_attention and prefix_decode.DecoderStep",
    ),
    "Qwen3VLTextRotaryEmbedding": (
        qwen3_vl.Qwen3VLTextRotaryEmbedding,
        "3c3c167a315b51ea",
        "prefix_decode.DecoderStep (one table of positions)",
    ),
    "Qwen2_5OmniThinker.forward": (
        qwen2_5_omni.Qwen2_5OmniThinkerForConditionalGeneration.forward,
        "e0fa875c695c654c",
        "models.thinker.Backbone",
    ),
    "Qwen2_5OmniThinker.get_rope_index": (
        qwen2_5_omni.Qwen2_5OmniThinkerForConditionalGeneration.get_rope_index,
        "ab6ccf77c0533296",
        "models.positions.rotary_positions",
    ),
    "Qwen2_5OmniThinker.get_audio_features": (
        qwen2_5_omni.Qwen2_5OmniThinkerForConditionalGeneration.get_audio_features,
        "dd26f2eb1e45d7bf",
        "models.thinker.Backbone.get_audio_features",
    ),
    "Qwen2_5OmniThinker.get_video_features": (
        qwen2_5_omni.Qwen2_5OmniThinkerForConditionalGeneration.get_video_features,
        "8ecde884490dfbb8",
        "vision_reuse.planned_features",
    ),
    "Qwen2_5OmniAudioEncoder.forward": (
        qwen2_5_omni.Qwen2_5OmniAudioEncoder.forward,
        "c614c6812736ca5a",
        "models.thinker.Backbone.get_audio_features and models.positions.sound_tokens",
    ),
    "Qwen2_5OmniThinkerTextModel.forward": (
        qwen2_5_omni.Qwen2_5OmniThinkerTextModel.forward,
        "a8660fb536c68cc0",
        "shared_prompt and prefix_decode.DecoderStep",
    ),
    "Qwen2_5OmniDecoderLayer.forward": (
        qwen2_5_omni.Qwen2_5OmniDecoderLayer.forward,
        "0714a1ed3b4d3aa3",
        "prefix_decode.DecoderStep",
    ),
    "Qwen2_5OmniAttention.forward": (
        qwen2_5_omni.Qwen2_5OmniAttention.forward,
        "e946e2f06ac617c3",
        "shared_prompt.block_attention and prefix_decode.DecoderStep",
    ),
    "Qwen2_5OmniRotaryEmbedding": (
        qwen2_5_omni.Qwen2_5OmniRotaryEmbedding,
        "dbb4d4bb4cfbc765",
        "prefix_decode.DecoderStep (one table of positions)",
    ),
    "Qwen2_5OmniVisionAttention.forward": (
        qwen2_5_omni.Qwen2_5OmniVisionAttention.forward,
        "27728582a75810d5",
        "models.towers",
    ),
    "Qwen2_5OmniAudioAttention.forward": (
        qwen2_5_omni.Qwen2_5OmniAudioAttention.forward,
        "edc88517c3b77d58",
        "models.towers",
    ),
    "Qwen2_5OmniProcessor": (
        Qwen2_5OmniProcessor,
        "14f3a60659c3f68f",
        "models.perception",
    ),
    "WhisperFeatureExtractor.__call__": (
        WhisperFeatureExtractor.__call__,
        "4d6f54b04b7f4f51",
        "models.perception.sound_item",
    ),
}


def source_hash(function: Callable) -> str:
    """Hash of a function's source, undecorated."""
    return hashlib.sha256(inspect.getsource(inspect.unwrap(function)).encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", RELIED_ON)
def test_source_is_the_one_that_was_read(name: str) -> None:
    function, expected, ours = RELIED_ON[name]
    found = source_hash(function)
    assert found == expected, (
        f"{name} changed (hash {found}, written against {expected}; trl {trl.__version__}, transformers "
        f"{transformers.__version__}, accelerate {accelerate.__version__}). Read its new source again, compare it with {ours}, "
        "run tests/invariants, and only then update the hash here."
    )
