"""The typed schema of a job: every knob, its type, its bounds and the conflicts between knobs.

`conf/` holds the values, this file holds what they may be. A composed configuration is turned into `Job` by
`facial_r1.config.validation.validate`, which reports all that is wrong at once. Unknown keys are errors.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from facial_r1.config.launch_schema import Launch
from facial_r1.config.media_schema import Audio, Clips, CropFaces, Modality, Video, check_modalities

_strict = ConfigDict(extra="forbid", arbitrary_types_allowed=False)

PositiveInt = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Amount = Annotated[float, Field(gt=0)] | Annotated[int, Field(ge=1)] | None
Balance = Literal["action_units", "labels"]


# --- model ---------------------------------------------------------------------------------------------------


@dataclass(config=_strict)
class ImageSize:
    """How large the model sees an image. `facial_r1.models.images` is the one owner of this."""

    mode: Literal["native", "square", "budget"] = "budget"
    side: PositiveInt | None = None
    min_pixels: PositiveInt | None = None
    max_pixels: PositiveInt | None = None

    def __post_init__(self) -> None:
        if self.mode == "square" and self.side is None:
            raise ValueError("mode=square needs a side, in pixels: image_size.side=224")
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels={self.min_pixels} is above max_pixels={self.max_pixels}")


@dataclass(config=_strict)
class Lora:
    """Low-rank adapters (Hu et al. 2021). Merged into a full model when the run is saved."""

    enabled: bool = False
    rank: PositiveInt = 16
    alpha: PositiveInt = 32
    dropout: Fraction = 0.0
    targets: Literal["language", "all"] = "language"


@dataclass(config=_strict)
class Suggested:
    """What suits a model of this size; the stages take it unless told otherwise."""

    sft_learning_rate: PositiveFloat = 1e-5
    sft_epochs: PositiveFloat = 2.0
    grpo_learning_rate: PositiveFloat = 1e-6


@dataclass(config=_strict)
class Instead:
    """What the published values of a recipe become for a model that is far smaller than the recipe's."""

    sft_learning_rate: PositiveFloat | None = None
    sft_epochs: PositiveFloat | None = None
    hinted: Fraction | None = None
    sft_batch: PositiveInt | None = None
    sft_accumulation: PositiveInt | None = None
    resft_learning_rate: PositiveFloat | None = None
    synthesis_temperature: NonNegativeFloat | None = None
    grpo_learning_rate: PositiveFloat | None = None
    grpo_steps: PositiveInt | None = None
    grpo_prompts: PositiveInt | None = None
    answer_reward_steps: PositiveInt | None = None
    answer_reward_learning_rate: PositiveFloat | None = None
    answer_reward_temperature: PositiveFloat | None = None
    answer_tokens: PositiveInt | None = None
    instruction_rows: PositiveInt | None = None
    synthesis_rows: PositiveInt | None = None
    image_side: PositiveInt | None = None
    lora: bool | None = None


@dataclass(config=_strict)
class Model:
    """Which checkpoint, and how it is loaded and trained."""

    name: str
    source: str
    architecture: str
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    attention: Literal["auto", "sdpa", "eager", "flash_attention_2", "flex_attention"] = "auto"
    image_size: ImageSize = Field(default_factory=ImageSize)
    freeze_vision: bool = False
    freeze_projector: bool = False
    freeze_audio: bool = False
    gradient_checkpointing: bool = False
    lora: Lora = Field(default_factory=Lora)
    cold_start: bool = False
    suggested: Suggested = Field(default_factory=Suggested)
    instead: Instead = Field(default_factory=Instead)
    max_position: PositiveInt | None = None


# --- data ----------------------------------------------------------------------------------------------------


@dataclass(config=_strict)
class Split:
    """How a test part is cut off when the files name none."""

    by: Literal["subject", "record", "field"] = "subject"
    test: Fraction = 0.1
    seed: int = 0


@dataclass(config=_strict)
class Schematic:
    """The drawn-face dataset."""

    train: PositiveInt = 4000
    test: PositiveInt = 500
    instructions: NonNegativeInt = 400
    size: PositiveInt = 112
    seed: int = 0
    workers: PositiveInt = 1
    folder: str | None = None
    vocabulary: Literal["nouns", "open"] = "nouns"


@dataclass(config=_strict)
class Protocol:
    """What the labels of a dataset mean and how it is scored. What is None here (or empty, for aliases) is the named protocol's."""

    name: str | None = "generic"
    labels: list[str] | str | None = None
    aliases: dict[str, str] = Field(default_factory=dict)
    action_units: list[str] | None = None
    presence_threshold: NonNegativeFloat | None = None
    empty_action_units: Literal["absent", "unknown"] | None = None
    cluster: str | None = None
    folds: list[list[str]] | None = None
    licence: str | None = None
    counts: dict[str, Any] | None = None
    published: list[dict[str, Any]] | None = None
    wheels: Literal["embedded", "mer2025", "mer2026"] | None = None
    wheel_root: str | None = None
    extractor: Literal["list", "llm"] | None = None

    def __post_init__(self) -> None:
        if self.wheels in ("mer2025", "mer2026") and not self.wheel_root:
            raise ValueError(
                f"wheels={self.wheels} needs the folder of the released tables: data.protocol.wheel_root=/path/to/emotion_wheel"
            )
        if isinstance(self.labels, str) and self.labels != "none":
            raise ValueError(
                f"labels={self.labels}: give a list, [{self.labels}, ...]; [] is an open vocabulary, none asks for no emotion, "
                "null takes the protocol's"
            )


@dataclass(config=_strict)
class Source:
    """One part of a mix: files and where their images are, or a dataset in its owner's folder; how many rows, how often."""

    files: list[str] = Field(default_factory=list)
    images: list[str] = Field(default_factory=list)
    source: str | None = None
    root: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    fold: NonNegativeInt | None = None
    protocol: Protocol | None = None
    amount: Amount = None
    test_amount: Amount = None
    weight: PositiveFloat = 1.0
    balance: Balance | None = None
    repeats: bool = False
    split: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if bool(self.files) == bool(self.source):
            raise ValueError("give files=[rows.jsonl], or source=<dataset> with root=<its owner's folder>, one of the two")
        given = [name for name in ("root", "options", "fold") if getattr(self, name) not in (None, {})]
        if self.files and given:
            raise ValueError(f"{given[0]} is for a dataset in its owner's folder, source=<dataset>; files need none")
        if self.balance and self.amount is None:
            raise ValueError(f"balance={self.balance} needs an amount: all rows are as unbalanced as they are")
        if self.repeats and not self.balance:
            raise ValueError("repeats=true is for balance=action_units or labels; weight=2 takes each row twice")


def _named(sources: Any) -> Any:
    """Sources by name as a list; one that is null is left out."""
    if not isinstance(sources, dict):
        return [] if sources is None else sources
    return [{"name": str(name), **one} if isinstance(one, dict) else one for name, one in sources.items() if one is not None]


@dataclass(config=_strict)
class Data:
    """Which records, how many, from where."""

    name: str
    kind: Literal["schematic", "jsonl", "source"]
    files: list[str] | str = Field(default_factory=list)
    images: list[str] | str = Field(default_factory=list)
    test_files: list[str] | str = Field(default_factory=list)
    test_images: list[str] | str = Field(default_factory=list)
    sources: Annotated[list[Source], BeforeValidator(_named)] = Field(default_factory=list)
    amount: Amount = None
    balance: Balance | None = None
    repeats: bool = False
    test_amount: Amount = None
    leaks: Literal["exact", "perceptual"] = "exact"
    deduplicate: bool = False
    descriptions: list[str] = Field(default_factory=list)
    on_error: Literal["fail", "skip"] = "fail"
    split: Split = Field(default_factory=Split)
    protocol: Protocol = Field(default_factory=Protocol)
    seed: int = 0
    schematic: Schematic = Field(default_factory=Schematic)
    source: str | None = None
    root: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    fold: NonNegativeInt | None = None
    questions: list[str] | str | None = None
    cache: str | None = None
    modalities: list[Modality] | None = None
    video: Video = Field(default_factory=Video)
    audio: Audio = Field(default_factory=Audio)
    clips: Clips | None = None

    def __post_init__(self) -> None:
        check_modalities(self.modalities)
        if self.clips is not None and (self.kind != "schematic" or self.schematic.vocabulary != "nouns"):
            raise ValueError("clips are for drawn clips, data=schematic_clips; set data.clips=null")
        for name in ("amount", "test_amount"):
            value = getattr(self, name)
            if isinstance(value, float) and value > 1:
                if not value.is_integer():
                    raise ValueError(f"{name}={value}: give a fraction up to 1.0 or a whole number of rows")
                setattr(self, name, int(value))
        if self.kind == "jsonl" and not self.files and not self.sources and not self.test_files:
            if self.name == "mix":
                raise ValueError("data=mix needs the datasets to mix: 'data.sources={faces: {source: raf_db, root: RAF-DB}}'")
            raise ValueError(
                "data=jsonl needs files: data.files=[train.jsonl] data.images=[folder] (or data.sources, data.test_files)"
            )
        if self.kind == "source":
            if not self.source:
                raise ValueError("data=source needs the name of a dataset: data.source=raf_db (or choose it: data=raf_db)")
            if not self.root:
                raise ValueError(
                    f"data={self.name} needs the folder as its owner distributes it: data.root=/path/to/{self.source}"
                )
            given = [name for name in ("files", "test_files", "sources") if getattr(self, name)]
            if given:
                raise ValueError(
                    f"data={self.name} reads its own folder and takes no data.{given[0]}: datasets are mixed with data=mix, which "
                    "names each in data.sources"
                )
        if self.repeats and not self.balance:
            raise ValueError("repeats=true is for balance=action_units or labels; weights of data.sources repeat all rows")
        owned = [one for one in self.sources if one.source]
        if owned and not self.root and not all(Path(one.root or "").is_absolute() for one in owned):
            raise ValueError(
                f"data={self.name} needs the folder that holds the folders of its datasets: data.root=/path/to/datasets"
            )


# --- prompt, reward, generation ------------------------------------------------------------------------------


@dataclass(config=_strict)
class Prompt:
    """The text around the image. See `facial_r1.prompts.template`."""

    name: str
    instruction: str
    system: str | None = None
    definitions: Literal["none", "vocabulary", "all", "original"] = "none"
    hint: str = ""
    retry: str = ""
    labels_style: Literal["list", "dict_keys"] = "list"
    file: str | None = None
    output: Literal["auto", "think", "direct"] = "auto"

    def __post_init__(self) -> None:
        if self.file and not Path(self.file).expanduser().is_file():
            raise ValueError(f"file={self.file}: there is no such file; name a text file with {{Question}} and {{Emotions}}")


@dataclass(config=_strict)
class Sampling:
    """How tokens are drawn. temperature 0 is greedy decoding."""

    temperature: NonNegativeFloat = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: NonNegativeInt = 0
    min_p: Fraction = 0.0
    repetition_penalty: PositiveFloat = 1.0
    max_new_tokens: PositiveInt = 256


@dataclass(config=_strict)
class Endpoint:
    """A server that speaks OpenAI's chat completions, and how hard it may be asked. Keys are named, never written down."""

    base_url: str | None = None
    model: str | None = None
    api_key_env: str | None = None
    revision: str | None = None
    concurrency: PositiveInt = 16
    timeout: PositiveFloat = 300.0
    retries: NonNegativeInt = 6
    requests_per_minute: PositiveFloat | None = None
    extra: dict[str, Any] = Field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.api_key_env is not None and not re.fullmatch(r"[A-Z][A-Z0-9_]*", self.api_key_env):
            raise ValueError(
                "api_key_env names an environment variable, in capitals (OPENAI_API_KEY); what it holds is not that. "
                "A key itself must never be in a configuration"
            )
        if self.base_url is None:
            return
        if not re.match(r"https?://[^/@\s]+(/|$)", self.base_url):
            raise ValueError(
                "base_url is no http:// or https:// address without a user name, for example http://127.0.0.1:8000/v1"
            )
        self.base_url = re.sub(r"/chat/completions$", "", self.base_url.rstrip("/"))


@dataclass(config=_strict)
class AnswerJudge(Endpoint):
    """A multimodal model that says which of two answers fits a clip better, for the reward ov_perception.

    A record's video is sent as its file, or as `frames` pictures (video: frames) to a model that takes no video; `max_megabytes` bounds
    each clip and sound.
    """

    shown: Literal["answer", "completion"] = "answer"
    orders: Literal[1, 2] = 1
    video: Literal["file", "frames"] = "file"
    frames: Annotated[int, Field(ge=1, le=64)] = 8
    max_megabytes: PositiveFloat = 20.0
    max_new_tokens: PositiveInt = 512
    cache: bool | str = True


@dataclass(config=_strict)
class WordModel(Endpoint):
    """A language model that names the emotion words of a text, for extractor: llm."""

    max_new_tokens: PositiveInt = 256
    cache: bool | str = True


@dataclass(config=_strict)
class Reward:
    """Which rewards, with which weights. Names are those of `facial_r1.rewards`."""

    name: str
    weights: dict[str, float]
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    limit: PositiveFloat | None = None
    judge: AnswerJudge = Field(default_factory=AnswerJudge)
    extractor: WordModel = Field(default_factory=WordModel)

    def __post_init__(self) -> None:
        if not any(weight for weight in self.weights.values()):
            raise ValueError("every reward weight is zero: give at least one, for example reward.weights.au=1.0")
        if "ov_perception" in self.weights and not (self.judge.base_url and self.judge.model):
            raise ValueError(
                "weights.ov_perception needs a multimodal model that compares answers: reward.judge.base_url=http://127.0.0.1:8001/v1 "
                "reward.judge.model=Qwen/Qwen2.5-Omni-7B. Or take it out: ~reward.weights.ov_perception"
            )
        asking = [name for name, options in self.options.items() if options.get("extractor") == "llm"]
        if asking and not (self.extractor.base_url and self.extractor.model):
            raise ValueError(
                f"options.{asking[0]}.extractor=llm needs a language model: reward.extractor.base_url=http://127.0.0.1:8001/v1 "
                "reward.extractor.model=Qwen/Qwen2.5-7B-Instruct. Or leave it at dictionary"
            )


@dataclass(config=_strict)
class OfflineVLLM:
    """A vLLM engine inside our own process: how much memory, over how many GPUs, how long a sequence."""

    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] = 0.85
    tensor_parallel: PositiveInt = 1
    max_model_length: PositiveInt | None = None
    enforce_eager: bool = False


@dataclass(config=_strict)
class Generation(Endpoint):
    """The engine that writes completions outside of training.

    The keys of `Endpoint` are for name=openai, `vllm` for name=vllm. `checkpoint_sampling` is for engines that load the
    checkpoint: what a stage leaves neutral (top_p 1, top_k 0, min_p 0, repetition_penalty 1) is then taken from its
    generation_config.json; the temperature is always the stage's, and the end tokens are always the checkpoint's.
    """

    name: Literal["transformers", "openai", "vllm"] = "transformers"
    vllm: OfflineVLLM = Field(default_factory=OfflineVLLM)
    checkpoint_sampling: bool = False
    batch_size: PositiveInt = 50
    cache: bool | str = False
    image_format: Literal["png", "jpeg"] = "png"
    video: Literal["file", "frames"] = "file"
    samples_per_call: PositiveInt = 1
    logprobs: bool = False
    parity: list[Literal["transformers", "openai", "vllm"]] = Field(default_factory=list)
    parity_rows: PositiveInt = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        if "openai" in (self.name, *self.parity) and not self.base_url:
            raise ValueError("generation=openai needs an address: generation.base_url=http://127.0.0.1:8000/v1")
        if self.parity and len({*self.parity}) != max(2, len(self.parity)):
            raise ValueError(
                f"generation.parity={self.parity} compares different engines: generation.parity=[transformers,vllm], or [] for none"
            )


# --- stages --------------------------------------------------------------------------------------------------


@dataclass(config=_strict)
class Optimisation:
    """What SFT and GRPO share: batch, rate, length of the run, checkpoints."""

    per_device_batch_size: PositiveInt | None = 8
    gradient_accumulation: PositiveInt = 1
    learning_rate: PositiveFloat = 1e-5
    schedule: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "linear"
    warmup: Fraction = 0.0
    weight_decay: NonNegativeFloat = 0.0
    max_grad_norm: PositiveFloat = 1.0
    adam_beta2: Fraction = 0.999
    epochs: PositiveFloat = 1.0
    max_steps: Annotated[int, Field(ge=-1)] = -1
    save_steps: PositiveInt = 50
    keep_checkpoints: PositiveInt = 1
    log_steps: PositiveInt = 1
    dataloader_workers: NonNegativeInt = 0


@dataclass(config=_strict)
class SFT(Optimisation):
    """Supervised fine-tuning on written descriptions, loss on the completion only."""

    name: Literal["sft"] = "sft"
    evaluate: bool = True
    eval_rows: PositiveInt | None = None
    max_new_tokens: PositiveInt = 256
    hinted: Fraction = 0.0

    def __post_init__(self) -> None:
        if self.per_device_batch_size is None:
            raise ValueError("per_device_batch_size needs a value: rows per rank and pass")


@dataclass(config=_strict)
class Efficiency:
    """Work that the group-aware trainer does not repeat. Each saving is exact; each can be switched off."""

    load_once: bool = True
    share_vision: bool = True
    share_prompt: bool = True
    share_prefill: bool = True
    skip_dead_groups: bool = True
    trim_padding: bool = True
    skip_old_logprobs: bool = True
    overlap_rewards: bool = True


@dataclass(config=_strict)
class DynamicSampling:
    """Dead groups are replaced by groups of other prompts before the step trains (DAPO, Yu et al. 2025)."""

    enabled: bool = False
    max_rounds: PositiveInt = 4


@dataclass(config=_strict)
class VLLM(OfflineVLLM):
    """vLLM as the sampler of GRPO. See `facial_r1.training.vllm_rollouts`."""

    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] = 0.3
    enabled: bool = False
    mode: Literal["colocate", "server"] = "colocate"
    server_url: str | None = None
    sleep: bool = False
    correction: Literal["none", "token_truncate", "token_mask", "sequence_truncate", "sequence_mask"] = "sequence_mask"
    logprob_gap: PositiveFloat = 0.1

    def __post_init__(self) -> None:
        if not self.enabled:
            return
        if self.mode == "server":
            if not self.server_url:
                raise ValueError(
                    "mode=server needs the address of a running vllm serve: stage.vllm.server_url=http://127.0.0.1:8000"
                )
            if self.tensor_parallel > 1 or self.sleep:
                raise ValueError("tensor_parallel and sleep are for mode=colocate; give a server its own options when it starts")
        elif self.server_url:
            raise ValueError(f"server_url={self.server_url} is for mode=server; set stage.vllm.mode=server, or leave it out")

    def check_ranks(self, world_size: int) -> None:
        """Raises ValueError when the ranks cannot be cut into engines."""
        if self.enabled and world_size % self.tensor_parallel:
            raise ValueError(
                f"stage.vllm.tensor_parallel={self.tensor_parallel}: one engine spans that many ranks, and {world_size} rank(s) do "
                "not divide by it"
            )


@dataclass(config=_strict)
class GRPO(Optimisation):
    """Group relative policy optimisation (Shao et al. 2024) with verifiable rewards."""

    name: Literal["grpo"] = "grpo"
    per_device_batch_size: PositiveInt | None = None
    num_generations: Annotated[int, Field(ge=2)] = 8
    prompts_per_step: PositiveInt = 8
    max_completion_length: PositiveInt = 256
    temperature: PositiveFloat = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: NonNegativeInt = 0
    min_p: Fraction = 0.0
    repetition_penalty: PositiveFloat = 1.0
    beta: NonNegativeFloat = 0.0
    epsilon: PositiveFloat = 0.2
    epsilon_high: PositiveFloat | None = None
    num_iterations: PositiveInt = 1
    loss_type: Literal["grpo", "dapo", "dr_grpo", "bnpo", "cispo", "sapo"] = "dapo"
    scale_rewards: Literal["group", "batch", "none"] = "group"
    importance_sampling_level: Literal["token", "sequence"] = "token"
    mask_truncated_completions: bool = False
    rarity_weighting: Literal["none", "per_sample"] = "none"
    reasoning_rewards: list[str] = Field(default_factory=list)
    rollouts_every: PositiveInt = 10
    dynamic_sampling: DynamicSampling = Field(default_factory=DynamicSampling)
    efficiency: Efficiency = Field(default_factory=Efficiency)
    vllm: VLLM = Field(default_factory=VLLM)
    evaluate: bool = True
    eval_rows: PositiveInt | None = None

    def completions_per_step(self) -> int:
        """Completions behind one optimizer step, over all ranks: prompts_per_step x num_generations."""
        return self.prompts_per_step * self.num_generations

    def batch_size(self, world_size: int) -> int:
        """Completions per rank and pass: what was asked for, else all of the rank's share up to 64, groups kept whole."""
        if self.per_device_batch_size is not None:
            return self.per_device_batch_size
        share = self.completions_per_step() // world_size
        fitting = [size for size in range(1, share + 1) if share % size == 0 and self._keeps_groups(size)]
        return max([size for size in fitting if size <= _COMPLETIONS_PER_PASS] or fitting[:1] or [self.num_generations])

    def accumulation(self, world_size: int) -> int:
        """Passes per rank and optimizer step. Raises ValueError when the numbers do not divide."""
        total, size = self.completions_per_step(), self.batch_size(world_size)
        if total % (size * world_size):
            raise ValueError(
                f"stage.prompts_per_step={self.prompts_per_step} x stage.num_generations={self.num_generations} = {total} "
                f"completions do not divide by {size} a pass (stage.per_device_batch_size) x {world_size} rank(s). "
                + (
                    "Leave stage.per_device_batch_size out, it is then chosen to fit"
                    if total % world_size == 0
                    else f"Make stage.prompts_per_step a multiple of {world_size}"
                )
            )
        return total // (size * world_size)

    def check_whole_groups(self, world_size: int) -> None:
        """Raises ValueError when dynamic sampling is on and a group would be cut apart by the ranks."""
        if self.dynamic_sampling.enabled and self.prompts_per_step % world_size:
            raise ValueError(
                f"stage.dynamic_sampling needs whole groups on every rank, and stage.prompts_per_step={self.prompts_per_step} does "
                f"not divide by {world_size} ranks. Make it a multiple of {world_size}"
            )

    def _keeps_groups(self, size: int) -> bool:
        return size % self.num_generations == 0 or self.num_generations % size == 0

    def __post_init__(self) -> None:
        size = self.per_device_batch_size
        if size is not None and not self._keeps_groups(size):
            fitting = [n for n in range(1, 4 * max(size, self.num_generations)) if self._keeps_groups(n)]
            raise ValueError(
                f"per_device_batch_size={size} (completions) is not divisible by the group size "
                f"num_generations={self.num_generations}: groups would be cut apart. "
                f"Try stage.per_device_batch_size={_nearest(fitting, size)}"
            )
        if self.dynamic_sampling.enabled and self.scale_rewards == "batch":
            raise ValueError(
                "dynamic_sampling puts a batch together from several rounds, so advantages cannot be divided by the spread of "
                "one: set stage.scale_rewards=group or none"
            )


# Completions in one pass when the user leaves it open; fits a 2-core machine with the tiny model.
_COMPLETIONS_PER_PASS = 64


def _nearest(candidates: list[int], wanted: int) -> int | str:
    return min(candidates, key=lambda value: abs(value - wanted)) if candidates else "another value"


@dataclass(config=_strict)
class QualityControl:
    """What a written reasoning must pass before it becomes training data. See `facial_r1.stages.quality`.

    mode=published lets the released pass test decide; the other keys then only say what the strict test is, which is counted
    beside it.
    """

    mode: Literal["strict", "published"] = "strict"
    action_units: bool = True
    labels: bool = True
    format: bool = True
    leaks: bool = True
    min_words: NonNegativeInt = 3
    max_words: PositiveInt = 300
    near_duplicate: Fraction = 0.95
    near_duplicates_allowed: NonNegativeInt = 50


@dataclass(config=_strict)
class Review:
    """Accepted rows put up for people to accept or reject: review.csv and review.html. See `facial_r1.report.review`."""

    enabled: bool = False
    rows: PositiveInt | None = None
    seed: int = 0


@dataclass(config=_strict)
class Synthesis:
    """The trained model writes reasoning for images whose labels are known; checks decide what is kept."""

    name: Literal["synthesis"] = "synthesis"
    split: Literal["train", "test"] = "train"
    attempts: PositiveInt = 6
    condition: Literal["labels", "none"] = "labels"
    feedback: bool = True
    temperature: NonNegativeFloat = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_new_tokens: PositiveInt = 256
    chunk: PositiveInt = 200
    include_described: bool = False
    quality: QualityControl = Field(default_factory=QualityControl)
    review: Review = Field(default_factory=Review)

    def __post_init__(self) -> None:
        if self.temperature == 0 and not self.feedback and self.attempts > 1:
            raise ValueError(
                f"temperature=0 and feedback=false: all {self.attempts} attempts would write the same text; "
                "set stage.attempts=1, stage.feedback=true or stage.temperature=1.0"
            )


@dataclass(config=_strict)
class Judge(Endpoint):
    """A language model that grades the written reasoning against the reference description. See `facial_r1.metrics.judge`."""

    enabled: bool = False
    rubric: str = "consistency"
    max_new_tokens: PositiveInt = 512
    attempts: PositiveInt = 3
    structured: bool = False
    cache: bool | str = True
    second: Endpoint = Field(default_factory=Endpoint)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.enabled and not (self.base_url and self.model):
            raise ValueError(
                "judge.enabled needs judge.base_url and judge.model, for example "
                "stage.judge.base_url=https://api.openai.com/v1 stage.judge.model=gpt-4o-mini stage.judge.api_key_env=OPENAI_API_KEY"
            )


@dataclass(config=_strict)
class Eval:
    """One generation pass, then every metric with its interval."""

    name: Literal["eval"] = "eval"
    split: Literal["test", "train"] = "test"
    resamples: NonNegativeInt = 2000
    temperature: NonNegativeFloat = 0.0
    max_new_tokens: PositiveInt = 256
    blank_images: bool = False
    chunk: PositiveInt = 200
    compat: bool = False
    rege: Literal["none", "emotion", "action_units"] = "none"
    repetition_penalty: PositiveFloat | None = None
    tag_required: bool = True
    predictions: str | None = None
    truths: dict[str, str] | str | None = None
    by: list[str] = Field(default_factory=list)
    judge: Judge = Field(default_factory=Judge)


@dataclass(config=_strict)
class Amounts:
    """Rows each step of the pipeline takes (null: all that fit; SFT takes the rows that have a description)."""

    sft: Amount = None
    grpo: Amount = None
    synthesis: Amount = None


PipelineStep = Literal["base", "sft", "grpo", "synthesis"]
PIPELINE_STEPS: tuple[PipelineStep, ...] = ("base", "sft", "grpo", "synthesis")


@dataclass(config=_strict)
class Pipeline:
    """SFT, GRPO, synthesis, SFT on what was written, evaluation after each."""

    name: Literal["pipeline"] = "pipeline"
    sft: SFT = Field(default_factory=SFT)
    grpo: GRPO = Field(default_factory=GRPO)
    synthesis: Synthesis = Field(default_factory=Synthesis)
    resft: SFT = Field(default_factory=SFT)
    eval: Eval = Field(default_factory=Eval)
    rounds: PositiveInt = 1
    steps: list[PipelineStep] = Field(default_factory=lambda: list(PIPELINE_STEPS))
    amounts: Amounts = Field(default_factory=Amounts)

    def outline(self) -> str:
        """The steps in words: "base, SFT, then 2 rounds of GRPO, synthesis, SFT"."""
        names = {"base": ["base"], "sft": ["SFT"], "grpo": ["GRPO"], "synthesis": ["synthesis", "SFT"]}
        first = [word for name in ("base", "sft") if name in self.steps for word in names[name]]
        again = [word for name in ("grpo", "synthesis") if name in self.steps for word in names[name]]
        rounds = f"{self.rounds} round{'s' if self.rounds > 1 else ''} of " if again else ""
        return ", then ".join(part for part in (", ".join(first), rounds + ", ".join(again)) if part)

    def __post_init__(self) -> None:
        if len(set(self.steps)) < len(self.steps):
            raise ValueError(f"steps={self.steps}: a step is named twice; stage.rounds repeats GRPO and synthesis")
        if set(self.steps) <= {"base"}:
            raise ValueError(f"steps={self.steps}: nothing would be trained; name sft, grpo or synthesis")
        if self.rounds > 1 and "synthesis" not in self.steps:
            raise ValueError(f"rounds={self.rounds} needs the step synthesis; without it use stage.grpo.max_steps for more GRPO")
        if self.synthesis.split != "train":
            raise ValueError(
                f"synthesis.split={self.synthesis.split}: the pipeline trains on what its synthesis writes, so it writes about "
                "train rows; write about test rows in a run of their own, stage=synthesis stage.split=test"
            )


@dataclass(config=_strict)
class Prepare:
    """A dataset as its owner distributes it into JSON lines, with counts and a contact sheet. No model is touched."""

    name: Literal["prepare"] = "prepare"
    faces: NonNegativeInt = 8
    tile: Annotated[int, Field(ge=32, le=512)] = 112
    crop_faces: CropFaces = Field(default_factory=CropFaces)


STAGES: dict[str, type] = {
    "sft": SFT,
    "grpo": GRPO,
    "synthesis": Synthesis,
    "eval": Eval,
    "pipeline": Pipeline,
    "prepare": Prepare,
}
Stage = SFT | GRPO | Synthesis | Eval | Pipeline | Prepare


# --- launch, tracking, job -----------------------------------------------------------------------------------


@dataclass(config=_strict)
class Tracker:
    """Where numbers are shown besides metrics.jsonl, which is always written."""

    name: Literal["jsonl", "wandb", "tensorboard", "trackio"] = "jsonl"
    project: str = "facial_r1"
    entity: str | None = None
    group: str | None = None
    tags: list[str] = Field(default_factory=list)
    mode: str | None = None
    log_faces: bool = False


@dataclass(config=_strict)
class Debug:
    """Switches for looking before running."""

    dry_run: bool = False
    limit: PositiveInt | None = None
    verbose: bool = False


@dataclass(config=_strict)
class Job:
    """One validated job."""

    stage: Annotated[Stage, Field(discriminator="name")]
    model: Model
    data: Data
    prompt: Prompt
    reward: Reward
    generation: Generation = Field(default_factory=Generation)
    launch: Launch = Field(default_factory=Launch)
    tracker: Tracker = Field(default_factory=Tracker)
    debug: Debug = Field(default_factory=Debug)
    seed: int = 0
    init_from: str | None = None
    output_root: str = "outputs"
    run_dir: str | None = None
    run_name: str | None = None
    resume: Literal["auto", "never"] = "auto"

    def __post_init__(self) -> None:
        for stage in (self.stage, getattr(self.stage, "grpo", None)):
            if isinstance(stage, GRPO):
                stage.accumulation(self.launch.world)
                stage.check_whole_groups(self.launch.world)
                stage.vllm.check_ranks(self.launch.world)
                if stage.vllm.enabled and self.launch.distributed == "fsdp2":
                    raise ValueError(
                        "stage.vllm.enabled with launch.distributed=fsdp2: handing sharded weights to vLLM is tested with DeepSpeed "
                        "only. Set launch.distributed=zero3 or zero2, or stage.vllm.enabled=false"
                    )
        if not math.isfinite(float(self.seed)) or self.seed < 0:
            raise ValueError(f"seed={self.seed}: a whole number from 0")
