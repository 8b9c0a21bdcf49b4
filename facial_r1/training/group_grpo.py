"""A `trl.GRPOTrainer` that never does the same work twice for the completions of one prompt.

`GroupGRPOTrainer` overrides methods of TRL 1.16.0 and leaves sampling, rewards, advantages and the loss to them. What
it changes is how the inputs of those methods come about: images are prepared once per generation batch (`load_once`),
prompts are prefilled once (`generation.prefix_decode`), and log-probabilities are computed with every prompt forwarded
once per group (`shared_prompt`) and every image encoded once (`vision_reuse`). A test compares the source of each
overridden method with the one that was read when this was written.
"""

from __future__ import annotations

from facial_r1.training.dynamic_sampling import DynamicSampling
from facial_r1.training.group_generation import SharedGeneration
from facial_r1.training.group_scoring import SharedScoring
from facial_r1.training.resume import ExactResume
from facial_r1.training.reward_overlap import OverlappedRewards
from facial_r1.training.vision_tokens import NoVisionTokens
from facial_r1.training.vllm_rollouts import VLLMRollouts


class GroupGRPOTrainer(
    DynamicSampling, NoVisionTokens, VLLMRollouts, SharedGeneration, SharedScoring, OverlappedRewards, ExactResume
):
    """Drop-in `trl.GRPOTrainer` that shares the work of a group; results differ from TRL's by rounding only.

    Rows have the columns `prompt` (chat messages), `images` (a list of images or paths) or `image`, and any others for
    the reward functions, as with TRL. Without column the row is text.

    Args:
        *args: As `trl.GRPOTrainer`.
        efficiency: Which savings to use; all by default, `Efficiency.none()` is plain TRL.
        image_loader: Decodes a path found in `images`; called in the data loader's workers.
        dynamic_sampling: At most so many rounds of generation to fill a batch with groups whose rewards differ
            (see `dynamic_sampling`); None trains on the groups that come.
        vllm: How vLLM samples when `args.use_vllm` is set (see `vllm_rollouts`).
        **kwargs: As `trl.GRPOTrainer`.
    """
