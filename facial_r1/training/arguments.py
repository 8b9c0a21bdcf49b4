"""From our configuration to the arguments of the Hugging Face trainers, where SFT and GRPO agree."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from facial_r1.config.schema import Job, Optimisation
from facial_r1.training.fsdp import admit_cpu, fsdp_arguments


def on_cpu(job: Job) -> bool:
    """Whether the job trains on the CPU."""
    return job.launch.device == "cpu" or (job.launch.device == "auto" and not torch.cuda.is_available())


def training_dtype(job: Job) -> torch.dtype:
    """Precision of the forward pass: bfloat16 on a GPU unless the model asks otherwise, float32 on a CPU."""
    if job.model.dtype != "auto":
        return getattr(torch, job.model.dtype)
    return torch.float32 if on_cpu(job) else torch.bfloat16


def shared_arguments(job: Job, stage: Optimisation, output_dir: Path, batch_size: int, accumulation: int) -> dict[str, Any]:
    """Keyword arguments for `SFTConfig` and `GRPOConfig` alike."""
    dtype = training_dtype(job)
    return {
        "output_dir": str(output_dir),
        "per_device_train_batch_size": batch_size,
        "gradient_accumulation_steps": accumulation,
        "learning_rate": stage.learning_rate,
        "lr_scheduler_type": stage.schedule,
        "warmup_steps": stage.warmup,
        "weight_decay": stage.weight_decay,
        "max_grad_norm": stage.max_grad_norm,
        "adam_beta2": stage.adam_beta2,
        "num_train_epochs": stage.epochs,
        "max_steps": stage.max_steps or -1,
        "save_strategy": "steps",
        "save_steps": stage.save_steps,
        "save_total_limit": stage.keep_checkpoints,
        "logging_strategy": "steps",
        "logging_steps": stage.log_steps,
        "eval_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "dataloader_num_workers": stage.dataloader_workers,
        "gradient_checkpointing": job.model.gradient_checkpointing,
        "bf16": dtype == torch.bfloat16,
        "fp16": dtype == torch.float16,
        "use_cpu": on_cpu(job),
        "seed": job.seed,
        "data_seed": job.seed,
        "deepspeed": deepspeed_config(job, dtype),
        "dataloader_pin_memory": not on_cpu(job),
        **fsdp_arguments(job),
    }


def shard_on_cpu(job: Job) -> None:
    """For `launch.distributed=fsdp2` without a GPU. Call between making the arguments, which reset this, and the trainer."""
    if job.launch.distributed == "fsdp2" and on_cpu(job):
        admit_cpu()


def deepspeed_config(job: Job, dtype: torch.dtype) -> dict[str, Any] | None:
    """DeepSpeed's configuration for zero2 and zero3; None otherwise.

    The optimizer is left to torch's AdamW, which needs no compiled extension and runs on a CPU too.
    """
    if job.launch.distributed not in ("zero2", "zero3"):
        return None
    place = {"device": "cpu", "pin_memory": not on_cpu(job)} if job.launch.offload else {"device": "none"}
    zero: dict[str, Any] = {
        "stage": 2 if job.launch.distributed == "zero2" else 3,
        "overlap_comm": not on_cpu(job),
        "contiguous_gradients": True,
        "offload_optimizer": place,
    }
    if job.launch.distributed == "zero3":
        zero |= {
            "offload_param": place,
            "stage3_gather_16bit_weights_on_model_save": True,
            "reduce_bucket_size": "auto",
            "stage3_prefetch_bucket_size": "auto",
            "stage3_param_persistence_threshold": "auto",
        }
    return {
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "bf16": {"enabled": dtype == torch.bfloat16},
        "fp16": {"enabled": dtype == torch.float16},
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "wall_clock_breakdown": False,
    }


def last_checkpoint(folder: Path, *, clean: bool) -> Path | None:
    """The newest complete checkpoint in `folder`, or None.

    The trainer writes `trainer_state.json` last, so a checkpoint without a readable one was cut off by a kill.

    Args:
        clean: remove cut-off checkpoints (one rank only).
    """
    complete = []
    for path in folder.glob("checkpoint-*"):
        try:
            complete.append((int(json.loads((path / "trainer_state.json").read_text())["global_step"]), path))
        except (OSError, ValueError, KeyError):
            if clean:
                shutil.rmtree(path, ignore_errors=True)
    return max(complete)[1] if complete else None
