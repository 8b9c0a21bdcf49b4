"""Sampling several completions of each prompt after one prefill per prompt.

`model.generate` with G copies of a prompt encodes its image and forwards its tokens G times, and then spends most of its
time on a small model in Python: masks, cache objects and argument plumbing at every token. Here each distinct prompt is
prefilled once, its keys and values are copied for the group, and a lean loop calls the decoder's own linear layers and
norms on static buffers. Sequences that have ended leave the batch.

The distribution is that of `generate`: the same logits processors in the same order, see `processors`. With temperature
0 the tokens are those of greedy `generate`, up to ties that rounding breaks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from transformers import DynamicCache, LogitsProcessorList
from transformers.generation import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    SuppressTokensLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from facial_r1.generation import prefill
from facial_r1.generation.decoder_step import FUSE_BELOW, DecoderStep, State, joined
from facial_r1.generation.prompt_batch import PromptBatch
from facial_r1.models.positions import rotary_positions, rule_of
from facial_r1.models.thinker import backbone_of

#: Decoders whose layer this module reproduces step by step.
SUPPORTED_DECODERS = ("Qwen2_5_VLTextModel", "Qwen3VLTextModel", "Qwen2_5OmniThinkerTextModel")
#: Rows leave the batch together, once this share of it has ended.
COMPACT_AT = 0.05

Row = TypeVar("Row", int, float)


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen; the names and meanings of `transformers.GenerationConfig`.

    Attributes:
        max_new_tokens: Longest completion, in tokens.
        eos_token_ids: Tokens that end a completion.
        pad_token_id: Fills shorter prompts; only the repetition penalty sees it, as in `generate`.
        temperature: 0 takes the most likely token.
        top_p: Nucleus mass in (0, 1].
        top_k: Number of most likely tokens kept; 0 keeps all.
        min_p: Smallest probability relative to the most likely token, or None.
        repetition_penalty: Divides the score of tokens that occur in prompt or completion; 1 is off.
        suppress_tokens: Tokens that are never chosen.
    """

    max_new_tokens: int
    eos_token_ids: tuple[int, ...]
    pad_token_id: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float | None = None
    repetition_penalty: float = 1.0
    suppress_tokens: tuple[int, ...] = ()


def processors(sampling: Sampling, device: torch.device | str) -> LogitsProcessorList:
    """The logits processors that `generate` would build for these settings, in its order."""
    chain = LogitsProcessorList()
    if sampling.repetition_penalty != 1.0:
        chain.append(RepetitionPenaltyLogitsProcessor(penalty=sampling.repetition_penalty))
    if sampling.suppress_tokens:
        chain.append(SuppressTokensLogitsProcessor(list(sampling.suppress_tokens), device=str(device)))
    if sampling.temperature:
        if sampling.temperature != 1.0:
            chain.append(TemperatureLogitsWarper(sampling.temperature))
        if sampling.top_k:
            chain.append(TopKLogitsWarper(top_k=sampling.top_k))
        if sampling.top_p < 1.0:
            chain.append(TopPLogitsWarper(top_p=sampling.top_p))
        if sampling.min_p is not None:
            chain.append(MinPLogitsWarper(min_p=sampling.min_p))
    return chain


def unsupported_reason(model: Any) -> str | None:
    """Why `decode` cannot run this model, or None if it can."""
    core = base_model(model)
    decoder: Any = getattr(backbone_of(core), "language_model", None)
    if type(decoder).__name__ not in SUPPORTED_DECODERS:
        return f"architecture {type(core).__name__} (supported decoders: {', '.join(SUPPORTED_DECODERS)})"
    if getattr(decoder, "has_sliding_layers", False):
        return "sliding-window attention layers"
    if decoder.rotary_emb.rope_type not in ("default", "mrope", "linear", "yarn", "llama3"):
        return f"rotary embedding type {decoder.rotary_emb.rope_type}, which depends on the length"
    return None


def base_model(model: Any) -> Any:
    """The transformers model inside a PEFT wrapper, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


@torch.no_grad()
def decode(
    model: nn.Module,
    prompts: PromptBatch,
    copies: int | Sequence[int],
    sampling: Sampling,
    *,
    vision_arguments: dict[str, Any] | None = None,
    generator: torch.Generator | None = None,
    uniform: Tensor | None = None,
    lean_prefill: bool = False,
) -> list[list[list[int]]]:
    """Complete every prompt `copies` times.

    Args:
        model: A model for which `unsupported_reason` is None, plain or with PEFT adapters, in eval or train mode
            without dropout.
        prompts: Encoded prompts; their tensors are moved to the model's device.
        copies: Completions per prompt, one number or one per prompt.
        sampling: How to choose tokens and when to stop.
        vision_arguments: Forward arguments that show pictures, clips and sounds; by default the tensors of `prompts`, one entry
            per placeholder.
        generator: Source of randomness; the global one of the device by default.
        uniform: Numbers in [0, 1) of shape (completions, max_new_tokens) that choose the tokens instead, so that a completion
            does not depend on what else is in the batch.
        lean_prefill: Compute the prompts with `prefill` where it fits, in place of the model's own forward; only for one copy of
            each prompt and without `vision_arguments`.

    Returns:
        For each prompt its completions as token ids. A completion ends with an end token, or has `max_new_tokens`.
    """
    return decode_scored(
        model,
        prompts,
        copies,
        sampling,
        vision_arguments=vision_arguments,
        generator=generator,
        uniform=uniform,
        lean_prefill=lean_prefill,
        logprobs=False,
    )[0]


@torch.no_grad()
def decode_scored(
    model: nn.Module,
    prompts: PromptBatch,
    copies: int | Sequence[int],
    sampling: Sampling,
    *,
    vision_arguments: dict[str, Any] | None = None,
    generator: torch.Generator | None = None,
    uniform: Tensor | None = None,
    lean_prefill: bool = False,
    logprobs: bool = True,
) -> tuple[list[list[list[int]]], list[list[list[float]]] | None]:
    """`decode`, and with `logprobs` the natural log-probability of each token.

    They are those of the model's own distribution (log-softmax in float32), before temperature, penalties and bans.
    """
    core = base_model(model)
    device = core.get_input_embeddings().weight.device
    counts = [copies] * len(prompts) if isinstance(copies, int) else list(copies)
    prompts = prompts.to(device)
    checkpointing = [module for module in core.modules() if getattr(module, "gradient_checkpointing", False)]
    for module in checkpointing:
        module.gradient_checkpointing = False
    try:
        if lean_prefill and prefill.fits(core, prompts):
            positions = prefill.positions_of(core.config, prompts)
            longest = 1 + max(int(place.max()) for place in positions)
            step = DecoderStep(backbone_of(core).language_model, longest + sampling.max_new_tokens)
            state = prefill.prefill(core, step, prompts, positions, sampling.max_new_tokens, sampling.pad_token_id)
        else:
            state = _prefill(core, prompts, counts, sampling, vision_arguments)
            step = DecoderStep(backbone_of(core).language_model, int(state.next_position.max()) + sampling.max_new_tokens)
        tokens, scored = _loop(core, step, state, sampling, generator, uniform, logprobs)
    finally:
        for module in checkpointing:
            module.gradient_checkpointing = True
    completions = [_until_end(row, sampling.eos_token_ids) for row in tokens.tolist()]
    if scored is None:
        return _grouped(completions, counts), None
    values = [row[: len(completion)] for row, completion in zip(scored.tolist(), completions, strict=True)]
    return _grouped(completions, counts), _grouped(values, counts)


def _grouped(rows: list[list[Row]], counts: Sequence[int]) -> list[list[list[Row]]]:
    """Rows of all prompts, one after the other, prompt by prompt."""
    taken = iter(rows)
    return [list(islice(taken, count)) for count in counts]


def _prefill(
    core: Any,
    prompts: PromptBatch,
    counts: list[int],
    sampling: Sampling,
    vision_arguments: dict[str, Any] | None,
) -> State:
    backbone = backbone_of(core)
    rule = rule_of(backbone.config)
    device = core.get_input_embeddings().weight.device
    longest = max(len(ids) for ids in prompts.ids)
    shape = (len(prompts), longest)
    ids = torch.full(shape, sampling.pad_token_id, device=device)
    mask = torch.zeros(shape, dtype=torch.long, device=device)
    positions = torch.zeros((3, *shape), dtype=torch.long, device=device)
    for row, prompt in enumerate(prompts.ids):
        tokens = torch.tensor(prompt, device=device)
        ids[row, longest - len(prompt) :] = tokens
        mask[row, longest - len(prompt) :] = 1
        positions[:, row, longest - len(prompt) :] = rotary_positions(rule, tokens, prompts.items_of(row))
    if vision_arguments is None:
        vision_arguments = prompts.arguments()
    output = backbone(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=DynamicCache(config=core.config.get_text_config()),
        use_cache=True,
        **vision_arguments,
    )

    repeats = torch.tensor(counts, device=device)
    capacity = longest + sampling.max_new_tokens
    keys: list[Tensor] = []
    values: list[Tensor] = []
    for layer in output.past_key_values.layers:
        for source, target in ((layer.keys, keys), (layer.values, values)):
            buffer = source.new_empty((sum(counts), source.shape[1], capacity, source.shape[3]))
            buffer[:, :, :longest] = source.repeat_interleave(repeats, dim=0)
            target.append(buffer)
        layer.keys = layer.values = None
    visible = None
    if not bool(mask.all()):
        visible = torch.ones(sum(counts), capacity, dtype=torch.bool, device=device)
        visible[:, :longest] = mask.bool().repeat_interleave(repeats, dim=0)
    return State(
        keys=keys,
        values=values,
        visible=visible,
        prompt_ids=ids.repeat_interleave(repeats, dim=0),
        next_position=(positions.amax((0, 2)) + 1).repeat_interleave(repeats),
        hidden=output.last_hidden_state[:, -1].repeat_interleave(repeats, dim=0),
        length=longest,
    )


def _loop(
    core: Any,
    step: DecoderStep,
    state: State,
    sampling: Sampling,
    generator: torch.Generator | None,
    uniform: Tensor | None,
    logprobs: bool = False,
) -> tuple[Tensor, Tensor | None]:
    device = state.hidden.device
    uniform = None if uniform is None else uniform.to(device)
    rows = len(state.hidden)
    tokens = torch.full((rows, sampling.max_new_tokens), sampling.pad_token_id, device=device)
    scored = torch.zeros(tokens.shape, device=device) if logprobs else None
    ends = torch.tensor(sampling.eos_token_ids, device=device)
    choose = _chooser(sampling, device, generator)
    head = joined([core.lm_head], core.lm_head.weight.numel() <= FUSE_BELOW)
    alive = torch.arange(rows, device=device)
    done = torch.zeros(rows, dtype=torch.bool, device=device)
    history = state.prompt_ids if sampling.repetition_penalty != 1.0 else None
    check_every = 1 if device.type == "cpu" else 16  # asking whether all have ended makes the host wait for the device
    for place in range(sampling.max_new_tokens):
        scores = head(state.hidden).to(torch.float32)
        normalised = None if scored is None else scores.log_softmax(-1)  # `choose` may write over the scores
        chosen = choose(scores, history, None if uniform is None else uniform[alive, place])
        tokens[alive, place] = chosen
        if scored is not None and normalised is not None:
            scored[alive, place] = normalised.gather(1, chosen[:, None]).squeeze(1)
        done = done | (chosen[:, None] == ends).any(1)
        if place + 1 == sampling.max_new_tokens:
            break
        if history is not None:
            history = torch.cat([history, chosen[:, None]], dim=1)
        if (place + 1) % check_every == 0 and (ended := int(done.sum())):
            if ended == len(done):
                break
            if ended >= COMPACT_AT * len(done):
                kept = state.drop(done)
                alive, chosen, done = alive[kept], chosen[kept], done[kept]
                history = None if history is None else history[kept]
        state.hidden = step(core.get_input_embeddings()(chosen), state)
        state.next_position = state.next_position + 1
        state.length += 1
    return tokens, scored


def _chooser(
    sampling: Sampling, device: torch.device, generator: torch.Generator | None
) -> Callable[[Tensor, Tensor | None, Tensor | None], Tensor]:
    if not sampling.temperature and sampling.repetition_penalty == 1.0:
        suppressed = torch.tensor(sampling.suppress_tokens, dtype=torch.long, device=device)
        return lambda scores, history, uniform: scores.index_fill_(1, suppressed, -torch.inf).argmax(-1)
    chain: Any = processors(sampling, device)

    def choose(scores: Tensor, history: Tensor | None, uniform: Tensor | None) -> Tensor:
        seen = history if history is not None else scores.new_zeros((len(scores), 0), dtype=torch.long)
        scores = chain(seen, scores)
        if not sampling.temperature:
            return scores.argmax(-1)
        return draw(scores.softmax(-1), generator, uniform)

    return choose


def draw(probabilities: Tensor, generator: torch.Generator | None = None, uniform: Tensor | None = None) -> Tensor:
    """One token per row by inverting the cumulative distribution.

    The same distribution as `torch.multinomial`, which draws one exponential variate per vocabulary entry and took 5 ms
    instead of 0.3 ms for 64 rows of 1,792 tokens on one core. Sums are in float64, so that rounding neither reaches the
    probability of a token nor lets one of probability zero through.

    Args:
        probabilities: Shape (rows, vocabulary), non-negative; rows need not be normalised exactly.
        generator: Source of randomness.
        uniform: Numbers in [0, 1) of shape (rows,) to use instead.

    Returns:
        Token ids, shape (rows,).

    Raises:
        FloatingPointError: A row holds no finite probability mass (checked on the CPU only, where it does not wait).
    """
    cumulative = probabilities.cumsum(-1, dtype=torch.float64)
    total = cumulative[:, -1:].contiguous()
    if total.device.type == "cpu" and not bool(((total > 0) & total.isfinite()).all()):
        raise FloatingPointError("the model's next-token probabilities are not finite; its weights may have diverged")
    if uniform is None:
        shares = torch.rand(total.shape, dtype=torch.float64, device=total.device, generator=generator)
    else:
        shares = uniform[:, None].double()
    threshold = shares * total
    # `right` skips tokens that add nothing; the bound guards against a product that rounds up to the total itself.
    chosen = torch.searchsorted(cumulative, threshold, right=True)
    return torch.minimum(chosen, torch.searchsorted(cumulative, total)).squeeze(1)


def _until_end(tokens: list[int], ends: Sequence[int]) -> list[int]:
    for place, token in enumerate(tokens):
        if token in ends:
            return tokens[: place + 1]
    return tokens
