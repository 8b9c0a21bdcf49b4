"""One GRPO step of plain TRL and of `GroupGRPOTrainer`, side by side in one process.

Both trainers get the same model weights, prompts, images and completions, and take their steps in turn. The completions
that the training part sees are recorded ones; generation runs in full and is timed, its result is set aside. See
README.md beside this file for what is measured and how to run it on a GPU.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # runs from a checkout without installation

GROUPS, PROMPTS, COMPLETIONS = (4, 8, 16), (128, 384, 768), (64, 150, 300)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
#: Decoder and tower shapes: layers, width, heads, key-value heads, feed-forward, vocabulary; tower depth, width, feed-forward.
SHAPES: dict[str, tuple[int, ...]] = {
    "tiny": (4, 192, 6, 2, 512, 1792, 4, 160, 400),
    "small": (8, 512, 8, 2, 1376, 8192, 4, 320, 856),
    "3b": (36, 2048, 16, 2, 11008, 151936, 32, 1280, 3420),
    "7b": (28, 3584, 28, 4, 18944, 152064, 32, 1280, 3420),
}


@dataclass(frozen=True)
class Cell:
    """What is measured. Lengths are in tokens; the prompt holds the image's tokens."""

    group: int
    prompt: int
    completion: int
    tower: str = "frozen"
    shape: str = "small"
    image: int = 448
    device: str = "cpu"
    prompts_per_step: int = 1
    checkpointing: bool = False
    threads: int = 2

    def image_size(self) -> int:
        """Side of the image in pixels; short prompts get one that fits into half of them."""
        side = self.image
        while (side // 28) ** 2 > self.prompt // 2:
            side -= 28
        return side


def build_model(cell: Cell) -> Any:
    """A Qwen2.5-VL with random weights."""
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    layers, width, heads, kv_heads, ffn, vocabulary, depth, tower, tower_ffn = SHAPES[cell.shape]
    ids = {token: vocabulary - len(SPECIAL) + place for place, token in enumerate(SPECIAL)}
    half = width // heads // 2
    section = half // 4
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": vocabulary,
            "hidden_size": width,
            "intermediate_size": ffn,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": kv_heads,
            "max_position_embeddings": 8192,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e6,
                "mrope_section": [section, (half - section) // 2, half - section - (half - section) // 2],
            },
            "bos_token_id": None,
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
        },
        vision_config={
            "depth": depth,
            "hidden_size": tower,
            "intermediate_size": tower_ffn,
            "num_heads": max(1, tower // 80),
            "out_hidden_size": width,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "window_size": 112,
            "fullatt_block_indexes": list(range(depth // 4 - 1, depth, max(1, depth // 4))),
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=cell.shape != "7b",
    )
    torch.manual_seed(0)
    dtype = torch.bfloat16 if cell.device == "cuda" else torch.float32
    previous = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(cell.device):
            model = Qwen2_5_VLForConditionalGeneration._from_config(config, dtype=dtype)
    finally:
        torch.set_default_dtype(previous)
    model.generation_config.eos_token_id = ids["<|im_end|>"]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    for parameter in model.model.visual.parameters():
        parameter.requires_grad_(cell.tower == "trained")
    return model


def build_processor(cell: Cell) -> Any:
    """A Qwen2.5-VL processor with a word-level tokenizer: one token per word of the prompt."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2_5_VLProcessor, Qwen2VLImageProcessor, Qwen2VLVideoProcessor

    vocabulary = SHAPES[cell.shape][5]
    words = {f"w{place}": place for place in range(vocabulary - len(SPECIAL))}
    core = Tokenizer(models.WordLevel(words, unk_token="w0"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.add_special_tokens(list(SPECIAL))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=[token for token in SPECIAL if token not in ("<|im_end|>", "<|endoftext|>")],
        padding_side="left",
    )
    side = cell.image_size()
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(size={"shortest_edge": side * side, "longest_edge": side * side}),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=(
            "{% for message in messages %}{% for part in message['content'] %}"
            "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
            "{% endfor %}{% endfor %}{% if add_generation_prompt %}<|im_start|>{% endif %}"
        ),
    )


class Contestant:
    """One trainer, driven step by step as `Trainer.train` does, with its parts timed."""

    def __init__(self, cell: Cell, ours: bool, folder: Path) -> None:
        import torch
        from datasets import Dataset
        from PIL import Image
        from trl import GRPOConfig, GRPOTrainer

        from facial_r1.training.group_grpo import GroupGRPOTrainer

        self.cell, self.device = cell, cell.device
        files = []
        for place in range(8 * cell.prompts_per_step):
            file = folder / f"{place}.png"
            if not file.exists():
                generator = torch.Generator().manual_seed(place)
                side = cell.image_size()
                pixels = torch.randint(0, 256, (side, side, 3), generator=generator, dtype=torch.uint8).numpy()
                Image.fromarray(pixels).save(file)
            files.append(str(file))
        text_tokens = cell.prompt - (cell.image_size() // 28) ** 2 - 3
        prompts = [
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "image"},
                        {"type": "text", "text": " " + " ".join(f"w{(7 * place + word) % 1000}" for word in range(text_tokens))},
                    ],
                }
            ]
            for place in range(len(files))
        ]
        data = Dataset.from_dict({"prompt": prompts, "images": [[file] for file in files]})
        if not ours:
            from datasets import Image as ImageFeature
            from datasets import Sequence

            data = data.cast_column("images", Sequence(ImageFeature()))
        options = {"image_loader": lambda file: Image.open(file).convert("RGB")} if ours else {}
        recorded = self._recorded
        clock = self._clock = {"generation": 0.0, "load": 0.0}
        never = [SHAPES[cell.shape][5] - len(SPECIAL) + place for place in range(len(SPECIAL))]

        class Timed(GroupGRPOTrainer if ours else GRPOTrainer):  # type: ignore[misc]
            def _generate_and_score_completions(self, inputs: Any) -> Any:
                started = _now(cell.device)
                result = super()._generate_and_score_completions(inputs)
                clock["generation"] += _now(cell.device) - started
                return result

            def _generate_single_turn(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> Any:
                written, _ = super()._generate_single_turn(prompt_ids, *args, **kwargs)
                assert all(len(ids) == cell.completion for ids in written), "generation must not end early"
                return recorded(len(prompt_ids)), None

        self.trainer = Timed(
            model=build_model(cell),
            reward_funcs=[lambda completions, **_: [float(place % cell.group) for place in range(len(completions))]],
            args=GRPOConfig(
                output_dir=str(folder / ("ours" if ours else "plain")),
                per_device_train_batch_size=cell.group,
                gradient_accumulation_steps=cell.prompts_per_step,
                num_generations=cell.group,
                max_completion_length=cell.completion,
                max_steps=1000,
                beta=0.0,
                learning_rate=1e-6,
                use_cpu=cell.device == "cpu",
                bf16=cell.device == "cuda",
                gradient_checkpointing=cell.checkpointing,
                report_to=[],
                save_strategy="no",
                disable_tqdm=True,
            ),
            train_dataset=data,
            processing_class=build_processor(cell),
            **options,
        )
        self.trainer.current_gradient_accumulation_steps = cell.prompts_per_step
        if cell.checkpointing:
            self.trainer.model.gradient_checkpointing_enable()
        # End tokens are never drawn, so that both generate exactly the asked length.
        if ours:
            self.trainer._vision_tokens = tuple(never)
        self.trainer.generation_config.suppress_tokens = never
        self.trainer.generation_kwargs["suppress_tokens"] = never
        self.trainer.create_optimizer()
        self._batches = iter(self.trainer.get_train_dataloader())

    def _recorded(self, rows: int) -> list[list[int]]:
        cell = self.cell
        return [[(31 * row + 17 * place) % 1000 for place in range(cell.completion)] for row in range(rows)]

    def step(self) -> dict[str, float]:
        """One optimizer step; seconds of its parts."""
        trainer = self.trainer
        self._clock["generation"] = 0.0
        started = _now(self.device)
        batches = [next(self._batches) for _ in range(self.cell.prompts_per_step)]
        for place, batch in enumerate(batches):
            trainer.accelerator.gradient_state._set_sync_gradients(place + 1 == len(batches))
            trainer.training_step(trainer.model, batch, None)
        trainer.optimizer.step()
        trainer.model.zero_grad()
        trainer.state.global_step += 1
        whole = _now(self.device) - started
        return {"step": whole, "generation": self._clock["generation"], "training": whole - self._clock["generation"]}


def _now(device: str) -> float:
    if device == "cuda":
        import torch

        torch.cuda.synchronize()
    return time.perf_counter()


def measure(cell: Cell, repeats: int) -> dict[str, Any]:
    """Alternate the two trainers and compare the medians of their parts."""
    import torch

    torch.set_num_threads(cell.threads)
    with tempfile.TemporaryDirectory() as folder:
        names = ("plain", "ours")
        runners = {name: Contestant(cell, name == "ours", Path(folder)) for name in names}
        for runner in runners.values():
            runner.step()  # allocations and caches
        times: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        for place in range(repeats):
            for name in names if place % 2 == 0 else reversed(names):
                times[name].append(runners[name].step())
        report = runners["ours"].trainer.efficiency_report()
    medians = {
        name: {part: statistics.median(entry[part] for entry in entries) for part in entries[0]}
        for name, entries in times.items()
    }
    result: dict[str, Any] = {
        "cell": asdict(cell),
        "repeats": repeats,
        "seconds": medians,
        "efficiency": report,
        "tokens_per_second": {
            name: cell.prompts_per_step * cell.group * cell.completion / medians[name]["step"] for name in names
        },
    }
    for part in ("training", "generation", "step"):
        result[f"{part}_ratio"] = medians["plain"][part] / medians["ours"][part]
    memory = {name: peak_memory(cell, name) for name in names}
    result["peak_mib"] = memory
    result["memory_ratio"] = memory["ours"] / memory["plain"]
    return result


def peak_memory(cell: Cell, name: str) -> float:
    """Peak MiB of a step beyond what the process holds before it, measured in a process of its own."""
    command = [sys.executable, __file__, "--peak", name, "--config", json.dumps(asdict(cell))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.strip().splitlines()[-1])["peak_mib"])


def report_peak(cell: Cell, name: str) -> None:
    """Print the peak of the first step of one trainer."""
    import torch

    torch.set_num_threads(cell.threads)
    with tempfile.TemporaryDirectory() as folder:
        runner = Contestant(cell, name == "ours", Path(folder))
        if cell.device == "cuda":
            before = torch.cuda.memory_allocated()
            read: Callable[[], float] = torch.cuda.max_memory_allocated
            torch.cuda.reset_peak_memory_stats()
        else:
            before, read = _memory("VmRSS"), lambda: _memory("VmHWM")
        runner.step()
        print(json.dumps({"peak_mib": (read() - before) / 2**20}))


def _memory(field: str) -> float:
    """Bytes of this process, now (VmRSS) or at most so far (VmHWM).

    Not `getrusage`: its maximum survives `exec`, so that a child reports the peak of the process that started it.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return float(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}; memory is measured on Linux only")


def figure(results: list[dict[str, Any]], target: Path) -> None:
    """Speed-up of the training part and the whole step by prompt and completion length, one panel per group size."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    groups = sorted({result["cell"]["group"] for result in results})
    figure, axes = plt.subplots(1, len(groups), figsize=(4.2 * len(groups), 3.6), sharey=True, squeeze=False)
    for axis, group in zip(axes[0], groups, strict=True):
        members = [result for result in results if result["cell"]["group"] == group]
        for tower, dash in (("frozen", "-"), ("trained", "--")):
            for prompt, colour in zip(sorted({m["cell"]["prompt"] for m in results}), ("C0", "C1", "C2", "C3"), strict=False):
                line = sorted(
                    (m["cell"]["completion"], m["training_ratio"], m["step_ratio"])
                    for m in members
                    if m["cell"]["tower"] == tower and m["cell"]["prompt"] == prompt
                )
                if line:
                    label = f"prompt {prompt}, tower {tower}"
                    axis.plot([x for x, _, _ in line], [y for _, y, _ in line], dash, marker="o", color=colour, label=label)
                    axis.plot([x for x, _, _ in line], [y for _, _, y in line], dash, marker="x", color=colour, alpha=0.4)
        axis.axhline(1.0, color="grey", linewidth=0.8)
        axis.set_xticks(sorted({result["cell"]["completion"] for result in results}))
        axis.set_title(f"group of {group}")
        axis.set_xlabel("tokens per completion")
    axes[0][0].set_ylabel("times faster than plain TRL")
    named = {label: handle for axis in axes[0] for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    axes[0][-1].legend(named.values(), named.keys(), fontsize=7, title="o training part, x whole step", title_fontsize=7)
    figure.tight_layout()
    figure.savefig(target, dpi=150)


def table(results: list[dict[str, Any]]) -> str:
    """Markdown table of all cells."""
    lines = [
        "| G | prompt | completion | tower | threads | training s, TRL → ours | generation s, TRL → ours "
        "| training | generation | step | memory |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        cell, plain, ours = result["cell"], result["seconds"]["plain"], result["seconds"]["ours"]
        lines.append(
            f"| {cell['group']} | {cell['prompt']} | {cell['completion']} | {cell['tower']} | {cell['threads']} "
            f"| {plain['training']:.2f} → {ours['training']:.2f} | {plain['generation']:.2f} → {ours['generation']:.2f} "
            f"| {result['training_ratio']:.2f}x | {result['generation_ratio']:.2f}x | {result['step_ratio']:.2f}x "
            f"| {result['memory_ratio']:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cell", action="append", help="G,prompt,completion: measure this cell and end with one JSON line; repeatable"
    )
    parser.add_argument("--tower", choices=("frozen", "trained", "both"), default="frozen")
    parser.add_argument("--shape", choices=tuple(SHAPES), default="small", help="random weights of this shape (default: small)")
    parser.add_argument("--image", type=int, default=448, help="side of the image in pixels (default: 448)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda runs in bfloat16")
    parser.add_argument("--prompts-per-step", type=int, default=1)
    parser.add_argument("--checkpointing", action="store_true", help="gradient checkpointing in both")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default: 2)")
    parser.add_argument("--repeats", type=int, default=3, help="timed steps of each trainer (default: 3)")
    parser.add_argument(
        "--out", type=Path, help="folder for results.json, table.md and figure.png; cells measured earlier are kept"
    )
    parser.add_argument("--peak", choices=("plain", "ours"), help=argparse.SUPPRESS)
    parser.add_argument("--config", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        report_peak(Cell(**json.loads(options.config)), options.peak)
        return

    shapes = (
        [tuple(int(part) for part in cell.split(",")) for cell in options.cell]
        if options.cell
        else [(group, prompt, completion) for group in GROUPS for prompt in PROMPTS for completion in COMPLETIONS]
    )
    towers = ("frozen", "trained") if options.tower == "both" else (options.tower,)
    earlier: list[dict[str, Any]] = []
    if options.out and (options.out / "results.json").is_file():
        earlier = json.loads((options.out / "results.json").read_text())
    results = []
    for group, prompt, completion in shapes:
        for tower in towers:
            cell = Cell(
                group,
                prompt,
                completion,
                tower,
                options.shape,
                options.image,
                options.device,
                options.prompts_per_step,
                options.checkpointing,
                options.threads,
            )
            result = measure(cell, options.repeats)
            results.append(result)
            print(table([result]).splitlines()[-1], file=sys.stderr, flush=True)
            if options.out:
                options.out.mkdir(parents=True, exist_ok=True)
                measured = [result["cell"] for result in results]
                merged = [result for result in earlier if result["cell"] not in measured] + results
                merged.sort(key=lambda result: tuple(map(str, result["cell"].values())))
                (options.out / "results.json").write_text(json.dumps(merged, indent=1) + "\n")
                (options.out / "table.md").write_text(table(merged) + "\n")
                figure(merged, options.out / "figure.png")
    if options.cell:
        for result in results:
            print(json.dumps(result))
    else:
        print(table(results))


if __name__ == "__main__":
    main()
