"""Rebuild the shipped weights: ``python -m facial_r1.models.tiny_omni.pretrain --install``.

The model begins with the eyes and the language of the tiny vision-language model (`transplant`). It learns to say in plain words what face,
voice and words of a drawn clip do. What it is taught to write holds no action unit code, no emotion and no tag.

Two phases. First the audio tower alone: from its tokens a linear head, thrown away afterwards, tells how a voice sounds; sounds cost a
fraction of clips. Then the whole model on descriptions, loss on the completion only, with the head's loss kept at a low weight. A batch
shows everything or a part (`clips.shown`), and the description speaks of what is shown.
"""

from __future__ import annotations

import argparse
import random
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, Qwen2_5OmniProcessor

from facial_r1 import atomic
from facial_r1.data.schematic.clips import ClipSpec
from facial_r1.data.schematic.stream import Stream
from facial_r1.data.schematic.voice import speaker
from facial_r1.data.schematic.voice_synthesis import speak
from facial_r1.generation.prompt_batch import Part, encode_texts
from facial_r1.models.media import Clip, forward_arguments
from facial_r1.models.perception import sound_item
from facial_r1.models.positions import rotary_positions, rule_of
from facial_r1.models.thinker import Thinker
from facial_r1.models.tiny.ahead import Ahead
from facial_r1.models.tiny.pretrain import Log, completion_ids, rate_at
from facial_r1.models.tiny_omni import WEIGHTS, architecture, clips, transplant
from facial_r1.models.tiny_omni import tokenizer as omni_tokenizer
from facial_r1.models.towers import quicken

BATCH = 16


@dataclass(frozen=True)
class Recipe:
    """How much, how fast.

    Attributes:
        sounds: Sounds of the first phase.
        clips: Clips of the second phase.
        replays: How often each clip is shown: drawing takes longer than learning, and what is shown of it differs.
        voice_rate: Highest learning rate of the first phase.
        rate: Highest learning rate of the second phase; vision tower and decoder, which know much already, take `known` of it.
        known: See `rate`.
        head_weight: Weight of the head's loss in the second phase.
        seed: Initial weights, order and prompts.
    """

    sounds: int = 24_000
    clips: int = 16_000
    replays: int = 2
    voice_rate: float = 1.0e-3
    rate: float = 1.0e-3
    known: float = 0.4
    head_weight: float = 0.3
    seed: int = 0


class VoiceHead(nn.Module):
    """Tells from the tokens of a sound how the voice is; used in training only."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(2 * width)
        self.linear = nn.Linear(2 * width, len(clips.VOICES))

    def forward(self, tokens: Tensor) -> Tensor:
        """Give logits ``(batch, 7)`` of tokens ``(batch, length, width)``: of their mean and their spread."""
        return self.linear(self.norm(torch.cat([tokens.mean(1), tokens.std(1)], dim=1)))


def spoken(first: int, size: int) -> list[tuple[np.ndarray, int]]:
    """Voices alone, as in the clips of these numbers, and which each is; nothing is drawn."""
    out = []
    for index in range(first, first + size):
        one = clips.spec(index)
        sound = speak(one.sentence, speaker(one.face.person), one.voice, one.seconds, Stream(one.wording, 0x50))
        out.append((sound, clips.voice_of(one)))
    return out


class Pretraining:
    """One run: model, processor, and what they are trained with."""

    def __init__(self, recipe: Recipe, processor: Qwen2_5OmniProcessor, out: Path, evaluated: int) -> None:
        self.recipe, self.processor, self.out, self.evaluated = recipe, processor, out, evaluated
        self.model: Thinker = transplant.start(recipe.seed).train()
        quicken(self.model)
        torch.manual_seed(recipe.seed)
        nn.init.normal_(self.model.audio_tower.proj.weight, std=0.02)
        self.head = VoiceHead(self.model.config.audio_config.d_model)
        self.log = Log(out / "log.jsonl")
        self._rule = rule_of(self.model.config)
        self._chooser = random.Random(recipe.seed)
        self._inner: list[Tensor] = []
        self.model.audio_tower.ln_post.register_forward_hook(lambda _, arguments, output: self._inner.append(output))

    def store(self, file: Path) -> None:
        """Write model and head in full precision, to go on from with `restore`."""
        torch.save({"model": self.model.state_dict(), "head": self.head.state_dict()}, file)

    def restore(self, file: Path) -> None:
        """Take model and head from a file of `store`."""
        state = torch.load(file, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.head.load_state_dict(state["head"])

    def heard(self, sounds: Sequence[np.ndarray]) -> Tensor:
        """Tokens of sounds of one length before their projection, ``(batch, length, width)``."""
        items = [sound_item(self.processor, sound) for sound in sounds]
        self._inner.clear()
        self.model.base_model.get_audio_features(*forward_arguments(items).values())
        return self._inner.pop().unflatten(0, (len(items), -1))

    def voice_phase(self) -> None:
        """Train the audio tower and the head on voices alone."""
        steps = self.recipe.sounds // (2 * BATCH)
        parameters = [p for p in (*self.model.audio_tower.parameters(), *self.head.parameters()) if p.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=0.0, betas=(0.9, 0.98), weight_decay=0.05, fused=True)
        with Ahead(spoken, 0, 2 * BATCH) as ahead:

            def loss() -> Tensor:
                sounds, kinds = zip(*ahead.take(), strict=True)
                louder = [sound * self._chooser.uniform(0.9, 1.1) for sound in sounds]
                return functional.cross_entropy(self.head(self.heard(louder)), torch.tensor(kinds))

            self._run("voice", steps, 2 * BATCH, optimizer, [(parameters, self.recipe.voice_rate)], loss)
        self._score_voices()
        self.store(self.out / "voice.pt")

    def language_phase(self, minutes: float | None = None) -> None:
        """Train the whole model on descriptions; with `minutes`, stop after so much time of computing."""
        steps = self.recipe.clips * self.recipe.replays // BATCH
        new = [p for p in (*self.model.audio_tower.parameters(), *self.head.parameters()) if p.requires_grad]
        known = [*self.model.visual.parameters(), *self.model.model.parameters()]
        groups = [(new, self.recipe.rate), (known, self.recipe.rate * self.recipe.known)]
        optimizer = torch.optim.AdamW([{"params": part} for part, _ in groups], lr=0.0, betas=(0.9, 0.98), weight_decay=0.05)
        pool: list[clips.Drawn] = []
        with Ahead(clips.batch, 0, BATCH, ahead=16) as ahead:

            def loss() -> Tensor:
                # Each clip is shown `replays` times: new ones join a pool from which batches are drawn.
                if len(pool) < 2 * BATCH or self._chooser.random() * self.recipe.replays < 1:
                    pool.extend(ahead.take())
                    del pool[: max(0, len(pool) - 64 * BATCH)]
                return self._language_loss(self._chooser.sample(pool, BATCH))

            self._run("language", steps, BATCH, optimizer, groups, loss, minutes)
        self._score_text()

    def _language_loss(self, drawn: Sequence[clips.Drawn]) -> Tensor:
        shown = clips.shown(self._chooser)
        texts = [clips.plain_description(one.spec, *shown) for one in drawn]
        question = self._chooser.choice(clips.QUESTIONS)
        return self._loss_of(drawn, shown, question, texts)

    def _loss_of(self, drawn: Sequence[clips.Drawn], shown: tuple[bool, bool, bool], question: str, texts: list[str]) -> Tensor:
        tokenizer = self.processor.tokenizer
        prompts = encode_texts(
            self.processor,
            [rendered(tokenizer, one.spec, shown, question) for one in drawn],
            [parts(one, shown) for one in drawn],
        )
        answers, labels = completion_ids(tokenizer, texts)
        rows = [torch.tensor(ids) for ids in prompts.ids]
        longest = max(map(len, rows))
        width = longest + answers.shape[1]
        ids = torch.full((len(rows), width), tokenizer.pad_token_id)
        wanted = torch.full((len(rows), width), -100)
        positions = torch.zeros((3, len(rows), width), dtype=torch.long)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        for row, prompt in enumerate(rows):
            stop = len(prompt) + answers.shape[1]
            ids[row, :stop] = torch.cat([prompt, answers[row]])
            wanted[row, len(prompt) : stop] = labels[row]
            mask[row, :stop] = 1
            positions[:, row, :stop] = rotary_positions(self._rule, ids[row, :stop], prompts.items_of(row))
        self._inner.clear()
        hidden = self.model.base_model(
            input_ids=ids, attention_mask=None if bool(mask.all()) else mask, position_ids=positions, **prompts.arguments()
        ).last_hidden_state
        learned = wanted[:, 1:] != -100
        loss = functional.cross_entropy(self.model.lm_head(hidden[:, :-1][learned]), wanted[:, 1:][learned])
        if self._inner:
            tokens = self._inner.pop().unflatten(0, (len(drawn), -1))
            kinds = torch.tensor([clips.voice_of(one.spec) for one in drawn])
            loss = loss + self.recipe.head_weight * functional.cross_entropy(self.head(tokens), kinds)
        return loss

    def _run(
        self,
        phase: str,
        steps: int,
        size: int,
        optimizer: torch.optim.Optimizer,
        groups: Sequence[tuple[list[Any], float]],
        loss_of_batch: Any,
        minutes: float | None = None,
    ) -> None:
        self.log(phase=phase, steps=steps)
        parameters = [parameter for part, _ in groups for parameter in part]
        losses: list[float] = []
        told = begun = time.monotonic()
        busy = time.process_time()
        for step in range(steps):
            share = rate_at((step + 1) / steps, 0.03, 0.05)
            for group, (_, rate) in zip(optimizer.param_groups, groups, strict=True):
                group["lr"] = rate * share
            loss = loss_of_batch()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(loss.item())
            now = time.monotonic()
            over = minutes is not None and time.process_time() - busy > 60 * minutes
            if now - told > 30 or over or step == steps - 1:
                seen = (step + 1) * size
                self.log(
                    phase=phase,
                    seen=seen,
                    loss=round(float(np.mean(losses)), 4),
                    rate=round(seen / (now - begun), 2),
                    **_pace(seen, busy),
                )
                losses, told = [], now
            if over:
                return

    @torch.no_grad()
    def _score_voices(self) -> None:
        held_out = [clips.drawn(index, held_out=True) for index in range(min(self.evaluated, 70))]
        found = torch.cat([self.head(self.heard([one.sound for one in part])).argmax(1) for part in _parts(held_out)])
        truth = torch.tensor([clips.voice_of(one.spec) for one in held_out])
        self.log(phase="voice", accuracy=round(float((found == truth).float().mean()), 3), of=len(held_out))

    def _score_text(self) -> None:
        from facial_r1.models.tiny_omni.scoring import evaluate

        self.model.eval()
        scores, examples = evaluate(self.model, self.processor, self.evaluated)
        self.model.train()
        self.log(phase="language", **scores, example=examples[0])
        save(self.model, self.out / "model")
        self.store(self.out / "language.pt")


def _pace(seen: int, since: float) -> dict[str, float]:
    """Members a second of computing, which on a machine that others use says more than the time that has passed."""
    return {"rate_busy": round(seen / max(1e-6, time.process_time() - since), 2)}


def _parts(drawn: Sequence[clips.Drawn]) -> list[Sequence[clips.Drawn]]:
    return [drawn[start : start + BATCH] for start in range(0, len(drawn), BATCH)]


def rendered(tokenizer: PreTrainedTokenizerFast, one: ClipSpec, shown: tuple[bool, bool, bool], question: str) -> str:
    """The prompt as text: what is seen and heard, then what is said, then the question."""
    seen, heard, read = shown
    content: list[dict[str, Any]] = [{"type": "video"}] if seen else [{"type": "audio"}] if heard else []
    words = f'The person says: "{one.sentence}"\n' if read else ""
    messages: list[dict[str, Any]] = [{"role": "user", "content": [*content, {"type": "text", "text": words + question}]}]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def parts(one: clips.Drawn, shown: tuple[bool, bool, bool]) -> list[Part]:
    """What a prompt shows of a clip."""
    seen, heard, _ = shown
    if seen:
        return [Part("video", Clip(one.frames, clips.SECONDS), one.sound if heard else None)]
    return [Part("audio", one.sound)] if heard else []


def save(model: Thinker, folder: Path) -> None:
    """Write float16 weights and configuration, and tokenizer and processor beside them."""
    copy: Any = architecture.random_model()
    copy.to(torch.float16)
    copy.load_state_dict(model.state_dict())
    tokenizer = omni_tokenizer.derive()
    with atomic.folder(folder) as fresh:
        copy.save_pretrained(fresh)
        tokenizer.save_pretrained(fresh)
        architecture.processor(omni_tokenizer.load(fresh)).save_pretrained(fresh)
        for file in fresh.iterdir():
            file.chmod(0o644)


def main(arguments: list[str] | None = None) -> None:
    """Train from what the tiny model knows; on request replace the shipped folder."""
    parser = argparse.ArgumentParser(prog="python -m facial_r1.models.tiny_omni.pretrain", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("outputs/pretrain_omni"), help="log, snapshots and result")
    parser.add_argument("--sounds", type=int, default=Recipe.sounds, help="sounds of the first phase")
    parser.add_argument("--clips", type=int, default=Recipe.clips, help="clips of the second phase")
    parser.add_argument("--replays", type=int, default=Recipe.replays, help="how often each clip is shown")
    parser.add_argument("--rate", type=float, default=Recipe.rate, help="highest learning rate of the second phase")
    parser.add_argument(
        "--start", type=Path, help="voice.pt or language.pt of an earlier run, to go on from; skips the first phase"
    )
    parser.add_argument("--minutes", type=float, help="end the second phase after so much time of computing, wherever it is")
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--threads", type=int, default=1, help="of the trainer; drawing takes another core")
    parser.add_argument("--evaluate", type=int, default=140, help="held-out clips described and scored")
    parser.add_argument("--install", action="store_true", help="replace the shipped weights by the result")
    options = parser.parse_args(arguments)

    torch.set_num_threads(options.threads)
    recipe = Recipe(options.sounds, options.clips, options.replays, rate=options.rate, seed=options.seed)
    run = Pretraining(recipe, architecture.processor(omni_tokenizer.derive()), options.out, options.evaluate)
    if options.start:
        run.restore(options.start)
    else:
        run.voice_phase()
    run.language_phase(options.minutes)
    if options.install:
        shutil.copytree(options.out / "model", WEIGHTS, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
