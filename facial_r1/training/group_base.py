"""What the parts of `GroupGRPOTrainer` have in common: the switches, why one is off, and the models they act on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from accelerate.logging import get_logger
from datasets import IterableDataset
from torch import Tensor
from trl import GRPOTrainer

from facial_r1.errors import InputError
from facial_r1.generation import prefix_decode
from facial_r1.generation.prompt_batch import ImageLoader, supported
from facial_r1.generation.special_tokens import placeholder_tokens
from facial_r1.models.media import KINDS, towers
from facial_r1.models.thinker import as_thinker, backbone_of
from facial_r1.training import log_probs, shared_prompt, vision_reuse
from facial_r1.training.checkpoint_weights import ReloadsWeights
from facial_r1.training.efficiency import Efficiency
from facial_r1.training.load_once import GroupSampler, PromptCollator
from facial_r1.training.rollout import Rollout

logger = get_logger(__name__)


@dataclass
class Scope:
    """What the log-probability pass has to know beyond its arguments.

    Attributes:
        rollout: Prompts and images of the generation batch.
        prompt: Index of each row's prompt.
        dead: Rows that need not be computed, shape (rows,), or None.
        old: Old log-probabilities, which stand in for those of dead rows, shape (rows, T), or None.
        skip_next: Whether the next pass is TRL's pass for old log-probabilities and is not needed.
    """

    rollout: Rollout
    prompt: list[int]
    dead: Tensor | None = None
    old: Tensor | None = None
    skip_next: bool = False


class SharedWork(ReloadsWeights, GRPOTrainer):
    """A `trl.GRPOTrainer` that knows which savings are in force. See `GroupGRPOTrainer` for the arguments."""

    # Attributes of TRL's trainer that its code leaves untyped or wider than they are here.
    args: Any
    model: Any
    ref_model: Any
    train_dataset: Any
    data_collator: Any
    num_generations: int
    num_generations_eval: int
    max_completion_length: int
    shuffle_dataset: bool
    generation_config: Any
    _tokenizer: Any
    _logs: Any
    chat_template_kwargs: Any
    _metrics: Any
    _buffered_inputs: Any

    def __init__(
        self,
        *args: Any,
        efficiency: Efficiency | None = None,
        image_loader: ImageLoader | None = None,
        **kwargs: Any,
    ) -> None:
        self.efficiency = efficiency or Efficiency()
        self.image_loader = image_loader
        self.row_weights: Sequence[float] | None = None
        self.reasoning_rewards: frozenset[str] = frozenset()  # see `span_credit`
        self._scope: Scope | None = None
        self._captured: Tensor | None = None
        self._batch_rows: list[dict[str, Any]] = []
        self._batch_rewards: Tensor | None = None
        self._pending: Rollout | None = None
        self._train_sampler: GroupSampler | None = None
        self._reference_tower: str | None = None
        self._prompt_of_row: list[int] = []
        self._pictures: tuple[Any, ...] = ()  # of the generation batch, for vLLM
        self._reserve_position = 0  # of the stream of fresh prompts (see `dynamic_sampling`)
        super().__init__(*args, **kwargs)
        self._report = self.efficiency.resolve(self._obstacles())
        self._check_media()
        self._install()

    def efficiency_report(self) -> dict[str, str]:
        """For each switch "on" or "off: reason"."""
        return dict(self._report)

    def _on(self, switch: str) -> bool:
        return self._report[switch] == "on"

    @property
    def _core(self) -> Any:
        """The transformers model inside DDP and PEFT wrappers."""
        return prefix_decode.base_model(self.accelerator.unwrap_model(self.model))

    @property
    def _backbone(self) -> Any:
        """The part of `_core` below its output layer, with its towers."""
        return backbone_of(self._core)

    def _obstacles(self) -> dict[str, str | None]:
        args = self.args
        core = prefix_decode.base_model(self.model)
        backbone = backbone_of(core)
        decoder = getattr(backbone, "language_model", None)
        common: str | None = None
        if not vision_reuse.supports(backbone):
            names = ", ".join(vision_reuse.SUPPORTED_MODELS)
            common = f"architecture {type(core).__name__} (supported backbones: {names}); plain TRL is used"
        elif not supported(self.processing_class):
            common = f"processor {type(self.processing_class).__name__}; plain TRL is used"
        elif self.tools or self.environment_factories is not None or self.rollout_func is not None:
            common = "tools, environments and rollout functions change prompts while generating; plain TRL is used"
        elif self.aux_loss_enabled:
            common = "the router's auxiliary loss depends on the batch layout; plain TRL is used"
        elif self.is_fsdp_enabled and not self.accelerator.is_fsdp2:
            common = "FSDP 1 is not supported; plain TRL is used"
        if common:
            return dict.fromkeys(self._all_switches(), common)

        obstacles: dict[str, str | None] = dict.fromkeys(self._all_switches())
        if isinstance(self.train_dataset, IterableDataset) or isinstance(self.eval_dataset, IterableDataset):
            obstacles["load_once"] = "an iterable dataset has no row numbers"
        elif args.remove_unused_columns:
            obstacles["load_once"] = "remove_unused_columns drops the row numbers"
        obstacles["share_prompt"] = shared_prompt.unsupported_reason(decoder)
        obstacles["share_prefill"] = (
            "vLLM generates, and keeps the prefix of a prompt for its completions"
            if self.use_vllm
            else prefix_decode.unsupported_reason(self.model) or self._generation_obstacle()
        )
        if self.beta != 0.0:
            obstacles["skip_dead_groups"] = "beta != 0: completions without advantage still carry the KL gradient"
        elif self._entropy_bonus_enabled:
            obstacles["skip_dead_groups"] = "the entropy bonus acts on completions without advantage, too"
        elif self.top_entropy_quantile < 1.0:
            obstacles["skip_dead_groups"] = "top_entropy_quantile ranks the tokens of all completions"
        cycle = args.steps_per_generation * self.num_iterations
        if args.steps_per_generation > args.gradient_accumulation_steps or cycle % args.gradient_accumulation_steps:
            obstacles["skip_old_logprobs"] = "a generation batch spans several optimizer steps before it is seen a second time"
        return obstacles

    def _check_media(self) -> None:
        """Refuse rows with clips or sounds where their prompts would have to be made by TRL, which takes pictures alone."""
        columns = [name for name in ("videos", "audios") if name in (getattr(self.train_dataset, "column_names", None) or ())]
        if not any(any(self.train_dataset[name]) for name in columns):
            return
        for switch in ("load_once", "share_prefill"):
            if not self._on(switch):
                state = self._report[switch].removeprefix("off: ")
                raise InputError(
                    f"the rows show clips or sounds, and TRL's own path takes pictures alone: stage.efficiency.{switch} has to be on "
                    f"({state}). Or leave them out: data.modalities=[text]"
                )

    def _all_switches(self) -> list[str]:
        return list(Efficiency().resolve({}))

    def _generation_obstacle(self) -> str | None:
        args = self.args
        if args.generation_kwargs:
            return f"generation_kwargs {sorted(args.generation_kwargs)} are known to model.generate only"
        if args.cache_implementation is not None:
            return f"cache_implementation {args.cache_implementation}"
        if self.use_transformers_continuous_batching:
            return "continuous batching"
        if self._dist.is_zero3 and not args.ds3_gather_for_generation:
            return "ds3_gather_for_generation=False: all ranks must step through model.generate together"
        return None

    def _install(self) -> None:
        """Tell the user what is off, and prepare the models for shared forwards."""
        for switch, state in self._report.items():
            if state.startswith("off: ") and state != "off: switched off":
                # Without anything to overlap with, nothing is lost.
                tell = logger.info if switch == "overlap_rewards" else logger.warning
                tell(f"efficiency.{switch} is {state}")
        self._vision_tokens = self._never_sampled()
        if self._vision_tokens and not self.use_vllm:
            never = sorted({*self._vision_tokens, *((self.args.generation_kwargs or {}).get("suppress_tokens") or ())})
            self.generation_kwargs["suppress_tokens"] = never
            self.generation_config.suppress_tokens = never
        self._shares = any(self._on(switch) for switch in self._report if switch != "overlap_rewards")
        # TRL loads the reference itself, as the library's class.
        references = [] if self.ref_model is None else [as_thinker(self.accelerator.unwrap_model(self.ref_model))]
        if not self._shares:
            return
        for core in [self._core, *references]:
            if self._on("share_vision"):
                vision_reuse.install(backbone_of(core))
            if self._on("share_prompt"):
                shared_prompt.install(backbone_of(core).language_model)
        if self._on("load_once"):
            self.data_collator = PromptCollator(
                self.processing_class, self.image_loader, self.chat_template_kwargs, keep_pictures=self.use_vllm
            )

    def _never_sampled(self) -> tuple[int, ...]:
        """Tokens that stand for pictures or sounds: those known by name, and those that the model's configuration names."""
        config = prefix_decode.base_model(self.model).config
        names = ("image", "video", "audio", "vision_start", "vision_end", "audio_start", "audio_end")
        named = [getattr(config, f"{name}_token_id", None) for name in names]
        return tuple(sorted({*placeholder_tokens(self._tokenizer), *(token for token in named if isinstance(token, int))}))

    def _old_pass_follows(self) -> bool:
        """Whether TRL's next log-probability pass is the one for old log-probabilities, and is not needed."""
        cycle = self.args.steps_per_generation * self.num_iterations
        return self._on("skip_old_logprobs") and self.args.gradient_accumulation_steps % cycle != 0

    def _weighs_in_training(self) -> bool:
        """Whether the weights that correct for vLLM's numbers are made in the training pass, not in a pass of their own."""
        return self.use_vllm and self.vllm_importance_sampling_correction and self._on("skip_old_logprobs")

    def _seen_by_rewards(self, inputs: Any, prompts: Any) -> tuple[Any, Any]:
        """Rows and prompts as the reward functions get them, from what TRL works with."""
        return inputs, prompts

    def _vision(self, model: Any) -> log_probs.Vision:
        """How a pass of `model` gets the features of pictures, clips and sounds."""
        share = self._on("share_vision")
        frozen = frozenset(kind for kind in KINDS if all(map(vision_reuse.frozen, towers(self._backbone, [kind]).values())))
        if self.ref_model is not None and model is self.ref_model:
            if self.args.sync_ref_model:
                return log_probs.Vision(share, tower="reference")
            if self._reference_tower is None:
                theirs = towers(backbone_of(self.accelerator.unwrap_model(model)), KINDS)
                same = not self._dist.is_zero3 and all(
                    vision_reuse.frozen(mine) and vision_reuse.equal_weights(mine, theirs[name])
                    for name, mine in towers(self._backbone, KINDS).items()
                )
                self._reference_tower = "policy" if same else "reference"
            return log_probs.Vision(share, tower=self._reference_tower, keep=frozenset(KINDS))
        return log_probs.Vision(share, keep=frozen)
