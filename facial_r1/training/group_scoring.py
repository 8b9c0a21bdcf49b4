"""Log-probabilities and loss of a micro-batch: prompts forwarded once, completions without gradient left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from accelerate.utils import DistributedType
from torch import Tensor, nn

from facial_r1.generation import prefix_decode
from facial_r1.models.media import KINDS, towers
from facial_r1.models.thinker import backbone_of
from facial_r1.training import log_probs
from facial_r1.training.group_base import Scope, SharedWork


class SharedScoring(SharedWork):
    """The part of the trainer that scores completions."""

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        rollout = inputs.get("rollout")
        if rollout is None:
            return super()._compute_loss(model, inputs)
        old = inputs.get("old_per_token_logps")
        self._scope = Scope(rollout, inputs["row_prompt"].tolist(), inputs["dead"], old)
        try:
            loss = super()._compute_loss(model, inputs)
        finally:
            self._scope = None
        if self.model.training and self._old_pass_follows() and old is None:
            inputs["old_per_token_logps"] = self._captured
        self._captured = None
        return loss

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        scope = self._scope
        if scope is None:
            return super()._get_per_token_logps_and_entropies(
                model,
                input_ids,
                attention_mask,
                logits_to_keep,
                batch_size,
                compute_entropy,
                compute_aux_loss,
                **kwargs,
            )
        completion, mask = input_ids[:, -logits_to_keep:], attention_mask[:, -logits_to_keep:]
        if scope.skip_next:
            scope.skip_next = False
            return torch.zeros(completion.shape, device=completion.device), None, None
        everything = log_probs.Rows(scope.rollout, scope.prompt, completion, mask)
        width = (input_ids.shape[1] - logits_to_keep, logits_to_keep)
        step = batch_size or len(input_ids)
        logps, entropies = [], []
        for start in range(0, len(input_ids), step):
            rows = everything.select(list(range(start, min(start + step, len(input_ids)))))
            dead = None if scope.dead is None else scope.dead[start : start + step]
            part, entropy = self._score_live(model, rows, dead, width)
            logps.append(part)
            entropies.append(entropy)
        joined = torch.cat(logps)
        if scope.dead is not None and scope.old is not None:
            joined = torch.where(scope.dead[:, None], scope.old.to(joined.dtype), joined)
        self._captured = joined.detach()
        return joined, torch.cat(entropies) if compute_entropy else None, None

    def _score_live(self, model: Any, rows: log_probs.Rows, dead: Tensor | None, width: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Score the rows that carry gradient; others get log-probability 0 and the mean entropy of the live ones."""
        lengths = rows.lengths()
        flags = [False] * len(lengths) if dead is None else dead.tolist()
        live = [row for row, flag in enumerate(flags) if not flag and lengths[row]]
        if len(live) == len(lengths):
            return self._score(model, rows, width)
        shape, device = rows.completion.shape, rows.completion.device
        if not live:
            zero = self._touch(model, rows, width)
            unknown = torch.nan if self.accelerator.num_processes == 1 else 0.0
            return torch.zeros(shape, device=device) + zero, torch.full(shape, unknown, device=device)
        chosen = rows.select(live)
        part, entropy = self._score(model, chosen, width)
        place = torch.tensor(live, device=device)
        logps = part.new_zeros(shape).index_put((place,), part)
        unseen = rows.rollout.kinds(rows.prompt) - rows.rollout.kinds(chosen.prompt)
        if torch.is_grad_enabled() and unseen:
            reached = towers(self._backbone, rows.rollout.kinds(chosen.prompt))
            for name, tower in towers(self._backbone, unseen).items():
                if name not in reached:
                    logps = logps + self._zero(tower)
        mean = (entropy * chosen.mask).sum() / chosen.mask.sum()
        return logps, mean.detach().expand(shape).index_put((place,), entropy)

    def _score(self, model: Any, rows: log_probs.Rows, width: tuple[int, int]) -> tuple[Tensor, Tensor]:
        vision = self._vision(model)
        unwrapped = prefix_decode.base_model(self.accelerator.unwrap_model(model))

        def forward(**arguments: Any) -> Any:
            with self.accelerator.autocast():
                return model(**arguments)

        if self._on("share_prompt"):
            logps, entropy = log_probs.packed(forward, backbone_of(unwrapped), rows, vision)
        else:
            logps, entropy = log_probs.padded(
                forward,
                rows,
                vision,
                pad_token=self._tokenizer.pad_token_id,
                backbone=backbone_of(unwrapped),
                width=None if self._on("trim_padding") else width,
            )
        return logps, torch.zeros_like(logps) if entropy is None else entropy

    def _touch(self, model: Any, rows: log_probs.Rows, width: tuple[int, int]) -> Tensor:
        """A zero that reaches the parameters which a forward of these rows would have reached."""
        if not torch.is_grad_enabled():
            return torch.zeros((), device=rows.completion.device)
        if self.accelerator.distributed_type == DistributedType.NO:
            reached = towers(self._backbone, rows.rollout.kinds(rows.prompt))
            others = [tower for name, tower in towers(self._backbone, KINDS).items() if name not in reached]
            return self._zero(self._core, without=others)
        # Wrapped models count on one forward per backward: the shortest prompt with a single token.
        shortest = min(range(len(rows.prompt)), key=lambda row: len(rows.rollout.ids[rows.prompt[row]]))
        one = rows.select([shortest])
        mask = torch.zeros_like(one.mask)
        mask[:, 0] = 1
        probe = log_probs.Rows(one.rollout, one.prompt, one.completion, mask)
        return self._score(model, probe, width)[0].sum() * 0.0

    def _zero(self, module: nn.Module, without: Sequence[nn.Module] = ()) -> Tensor:
        left_out = {id(parameter) for one in without for parameter in one.parameters()}
        learning = [parameter for parameter in module.parameters() if parameter.requires_grad and id(parameter) not in left_out]
        return log_probs.zero_gradients(learning) if learning else torch.zeros((), device=self.accelerator.device)
