"""Answering 500 faces greedily: one image at a time, as the published scripts do, and with our engine.

    python experiments/benchmarks/evaluation.py --model outputs/<an SFT run>

In one process, with the same weights, prompts and pictures. The slow way is done in parts, between which the fast one answers
all faces, so that both meet the same machine. Texts are compared. The last line is JSON. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs from a checkout without installation

import torch

from facial_r1 import prompts
from facial_r1.config.compose import compose_tree
from facial_r1.config.resolved import plain
from facial_r1.config.schema import Job, Sampling
from facial_r1.config.validation import validate
from facial_r1.data.images import open_image
from facial_r1.data.load import load_data
from facial_r1.generation.engine import Request
from facial_r1.generation.transformers_engine import TransformersEngine
from facial_r1.models.images import ImageSizer
from facial_r1.models.loading import load
from facial_r1.progress import progress


def requests_of(job: Job, faces: int) -> list[Request]:
    """Prompts of test faces, as an evaluation asks them."""
    data = load_data(job.data, need=("test",))
    rules = data.protocol
    return [
        Request(
            record.id, prompts.messages(record, job.prompt, rules.labels, vocabulary=rules.action_units), tuple(record.images)
        )
        for record in data.test[:faces]
    ]


@torch.no_grad()
def one_by_one(model: Any, processor: Any, opened: Any, request: Request, longest: int) -> str:
    """The published scripts' way: template, processor and `generate` for a single image."""
    text = processor.apply_chat_template(request.messages, add_generation_prompt=True, tokenize=False)
    images = [opened(path) for path in request.images]
    inputs = processor(text=[text], images=images, padding=True, return_tensors="pt").to(model.device)
    written = model.generate(**inputs, max_new_tokens=longest, do_sample=False)
    return str(processor.batch_decode(written[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="an SFT or GRPO run of the tiny model, or its model folder")
    parser.add_argument("--faces", type=int, default=500, help="faces of unseen people (default: 500)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of the engine, between parts of the slow way (default: 3)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default: 2)")
    parser.add_argument("--longest", type=int, default=128, help="tokens of an answer at most (default: 128)")
    parser.add_argument("--settings", nargs="*", default=[], help="further settings, e.g. model=tiny data=schematic")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

    source = Path(options.model) / "model" if (Path(options.model) / "model").is_dir() else Path(options.model)
    job = validate(plain(compose_tree(["stage=eval", "prompt=brief", *options.settings])))
    model, processor = load(job.model, source=source, train=False)
    sizer = ImageSizer.from_processor(processor, job.model.image_size)

    def opened(path: str) -> Any:
        return sizer.apply(open_image(path))

    asked = requests_of(job, options.faces)
    engine = TransformersEngine(model, processor, opened, job.generation.batch_size)
    sampling = Sampling(temperature=0.0, max_new_tokens=options.longest, repetition_penalty=1.0)
    engine.generate(asked[:50], sampling, 0)  # warm-up of both
    one_by_one(model, processor, opened, asked[0], options.longest)

    slow, slow_cpu, texts, fast, fast_cpu, ours = 0.0, 0.0, [], [], [], []
    size = -(-len(asked) // options.repeats)
    for part in progress([asked[start : start + size] for start in range(0, len(asked), size)], what="answering", unit="parts"):
        began, began_cpu = time.perf_counter(), time.process_time()
        texts += [one_by_one(model, processor, opened, request, options.longest) for request in part]
        slow, slow_cpu = slow + time.perf_counter() - began, slow_cpu + time.process_time() - began_cpu
        began, began_cpu = time.perf_counter(), time.process_time()
        ours = [answer.text for answer in engine.generate(asked, sampling, 0)]
        fast.append(time.perf_counter() - began)
        fast_cpu.append(time.process_time() - began_cpu)
    equal = sum(a == b for a, b in zip(texts, ours, strict=True)) / len(asked)
    quick, quick_cpu = statistics.median(fast), statistics.median(fast_cpu)
    print(f"{len(asked)} faces, {options.threads} threads, {engine.path}, batches of {engine.batch_size}")
    print(
        f"one at a time {slow:.1f} s ({len(asked) / slow:.1f} faces/s), engine {quick:.2f} s ({len(asked) / quick:.1f} faces/s)"
    )
    print(f"{slow / quick:.1f}x; {100 * equal:.1f} % of the texts are equal")
    print(f"processor time: {slow_cpu:.1f} s, {quick_cpu:.2f} s, {slow_cpu / quick_cpu:.1f}x")
    result = {"faces": len(asked), "threads": options.threads, "batch_size": engine.batch_size, "equal_texts": equal}
    times = {"one_by_one_s": slow, "engine_s": fast, "ratio": slow / quick}
    cpu_times = {"one_by_one_cpu_s": slow_cpu, "engine_cpu_s": fast_cpu, "cpu_ratio": slow_cpu / quick_cpu}
    print(json.dumps({**result, **times, **cpu_times}))


if __name__ == "__main__":
    main()
