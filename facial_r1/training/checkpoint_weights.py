"""Weights of a checkpoint, read back whatever names they were saved under.

transformers 5.17 saves Qwen2.5-VL with the key names of older releases (`visual.*`, `model.layers.*`), which
`from_pretrained` translates. `Trainer` resumes with a plain, non-strict `load_state_dict`, which does not: every key is
reported as missing, and training goes on from the weights that the model had when the trainer was built.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn
from transformers import PreTrainedModel, Trainer
from transformers.integrations import unset_hf_deepspeed_config

from facial_r1.disk import writing
from facial_r1.errors import InputError

if TYPE_CHECKING:
    _Base = Trainer
else:
    _Base = object


def load_weights(model: PreTrainedModel, checkpoint: str | Path) -> None:
    """Copy the weights saved in a checkpoint into a model of the same architecture.

    Raises:
        InputError: The checkpoint does not hold every weight of the model.
    """
    loaded: Any = type(model).from_pretrained(checkpoint, config=model.config, dtype=model.dtype, output_loading_info=True)
    stored, report = loaded
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise InputError(f"{checkpoint}: {len(missing)} weights are missing, first {missing[0]}; it is of another model")
    model.load_state_dict(stored.state_dict(), strict=True)


class ReloadsWeights(_Base):
    """Mixin for a `Trainer` of a transformers model: resuming starts from the weights of the checkpoint.

    Adapters, and engines with checkpoints of their own (DeepSpeed, FSDP), are left to transformers.
    """

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        with writing(f"the checkpoint of step {self.state.global_step}", Path(str(self.args.output_dir))):
            super()._save_checkpoint(model, trial)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> Any:
        target = self.model if model is None else model
        if not isinstance(target, PreTrainedModel) or self.is_fsdp_enabled or self.is_deepspeed_enabled:
            return super()._load_from_checkpoint(resume_from_checkpoint, model)
        load_weights(target, resume_from_checkpoint)
        return None

    def load_trained(self, checkpoint: str | Path) -> None:
        """Take the weights of a checkpoint into the model that training has not wrapped yet, whole on every rank."""
        unset_hf_deepspeed_config()  # else `from_pretrained` would give each rank its part
        if isinstance(self.model, PreTrainedModel):
            load_weights(self.model, checkpoint)
        else:
            adapters: Any = self.model
            adapters.load_adapter(str(checkpoint), adapters.active_adapter, is_trainable=True)
