"""Attention of a row that holds one prompt and the completions that branch from it, laid out in five ways.

    python experiments/benchmarks/shared_attention.py --group 8 --prompt 700 --completion 150
    python experiments/benchmarks/shared_attention.py --device cuda --dtype bfloat16 --heads 16 --kv-heads 2 --size 128 --repeats 50

One layer's attention, forward and backward, between the same random queries, keys and values. All layouts are compared with
the first before they are timed. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs from a checkout without installation

from facial_r1.training.shared_prompt import Group, block_attention, pack

KINDS = ("forward", "forward and backward")
Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


def branches(prompt: int, group: int, completion: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """For each position of the row its branch (0: the prompt) and its index, shape (L,)."""
    owner = torch.cat([torch.zeros(prompt - 1), torch.arange(1, group + 1).repeat_interleave(completion)])
    return owner.to(device), torch.arange(len(owner), device=device)


def layouts(options: argparse.Namespace, device: torch.device, rows: int) -> dict[str, Attention]:
    """Functions of queries, keys and values of shape (1, heads, L, size) that return (1, heads, L, size)."""
    prompt, group, completion = options.prompt, options.group, options.completion
    owner, place = branches(prompt, group, completion, device)

    def visible(query: Any, key: Any) -> Any:
        return (key <= query) & ((owner[key] == 0) | (owner[key] == owner[query]))

    tokens = torch.zeros(prompt, dtype=torch.long, device=device)
    answer = torch.zeros(completion, dtype=torch.long, device=device)
    positions = torch.zeros(3, prompt, dtype=torch.long, device=device)
    buckets = pack([Group(tokens, positions, [answer] * group, list(range(group)))]).buckets
    mask = visible(place[:, None], place[None])
    block_mask = create_block_mask(
        lambda b, h, q, k: visible(q, k), None, None, rows, rows, device=device, BLOCK_SIZE=options.block
    )
    scale = options.size**-0.5

    def two_calls(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return block_attention(query, key, value, buckets, scale).transpose(1, 2)

    def one_call_with_mask(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale, enable_gqa=True)

    def flex(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return flex_attention(query, key, value, block_mask=block_mask, scale=scale, enable_gqa=True)

    def row_each(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """What plain TRL computes: the prompt again for every completion, as rows of a batch."""

        def unroll(tensor: Tensor) -> Tensor:
            head, tails = tensor[:, :, : prompt - 1], tensor[:, :, prompt - 1 :].unflatten(2, (group, completion))
            return torch.cat([head.expand(group, -1, -1, -1), tails[0].transpose(0, 1)], dim=2)

        out = functional.scaled_dot_product_attention(
            unroll(query), unroll(key), unroll(value), is_causal=True, scale=scale, enable_gqa=True
        )
        return torch.cat([out[:1, :, : prompt - 1], out[:, :, prompt - 1 :].transpose(0, 1).flatten(1, 2)[None]], dim=2)

    return {
        "two SDPA calls (facial_r1)": two_calls,
        "SDPA with a boolean mask": one_call_with_mask,
        "FlexAttention, not compiled": flex,
        "FlexAttention, compiled": torch.compile(flex, dynamic=False),
        "SDPA, a row per completion": row_each,
    }


def main() -> None:
    """Time every layout and print a table, then one line of JSON."""
    options = arguments()
    torch.set_num_threads(options.threads)
    device, dtype = torch.device(options.device), getattr(torch, options.dtype)
    rows = options.prompt - 1 + options.group * options.completion
    torch.manual_seed(0)
    shapes = [(1, heads, rows, options.size) for heads in (options.heads, options.kv_heads, options.kv_heads)]
    inputs = [torch.randn(shape, device=device, dtype=dtype) for shape in shapes]
    results: dict[str, dict[str, Any]] = {}
    runs: list[tuple[dict[str, Any], Callable[[], Tensor]]] = []
    expected: Tensor | None = None
    for name, attention in layouts(options, device, rows).items():
        found = results[name] = {}
        for kind in KINDS:
            run = once(attention, inputs, backward=kind != KINDS[0])
            try:
                out = run()
            except Exception as error:  # what a platform lacks is a result, too
                found[kind] = {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"}
                torch._dynamo.reset()  # what could not be compiled would not be tried again
                continue
            expected = out if expected is None else expected
            found.setdefault("difference", float((out - expected).abs().max()))
            found[kind] = {"ms": []}
            runs.append((found[kind], run))
    for _, run in runs:
        run()
    for _ in range(options.repeats):  # in turn, so that what else the machine does falls on all
        for found, run in runs:
            found["ms"].append(measure(found, run, device))
    for found, _ in runs:
        found |= {"median_ms": statistics.median(found["ms"]), "least_ms": min(found["ms"])}
    show(results)
    print(json.dumps({"arguments": vars(options), "torch": torch.__version__, "results": results}))


def once(attention: Attention, inputs: list[Tensor], backward: bool) -> Callable[[], Tensor]:
    """A call that runs one pass and returns the output."""
    if not backward:

        def forward() -> Tensor:
            with torch.no_grad():
                return attention(*inputs)

        return forward
    leaves = [tensor.detach().clone().requires_grad_() for tensor in inputs]

    def both() -> Tensor:
        out = attention(*leaves)
        out.float().square().sum().backward()
        for leaf in leaves:
            leaf.grad = None
        return out.detach()

    return both


def measure(found: dict[str, Any], run: Callable[[], Tensor], device: torch.device) -> float:
    """Milliseconds of one run; on a GPU `found` also gets the peak of memory beyond what was there, MiB."""
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.synchronize()
        held = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    run()
    if on_gpu:
        torch.cuda.synchronize()
        found["peak_mib"] = (torch.cuda.max_memory_allocated() - held) / 2**20
    return 1e3 * (time.perf_counter() - start)


def show(results: dict[str, dict[str, Any]]) -> None:
    """A table for people: median (least)."""
    print("| layout | forward, ms | forward and backward, ms | largest difference |\n|---|---|---|---|")
    for name, found in results.items():
        cells = [
            f"{found[kind]['median_ms']:.1f} ({found[kind]['least_ms']:.1f})" if "ms" in found[kind] else found[kind]["error"]
            for kind in KINDS
        ]
        difference = f"{found['difference']:.1e}" if "difference" in found else "-"
        print(f"| {name} | {' | '.join(cells)} | {difference} |")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompt", type=int, default=700, help="tokens of the prompt")
    parser.add_argument("--group", type=int, default=8, help="completions of the prompt")
    parser.add_argument("--completion", type=int, default=150, help="tokens of each completion")
    parser.add_argument("--heads", type=int, default=8, help="query heads")
    parser.add_argument("--kv-heads", type=int, default=2, help="key-value heads")
    parser.add_argument("--size", type=int, default=64, help="size of a head")
    parser.add_argument("--block", type=int, default=128, help="block size of FlexAttention's mask")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    return parser.parse_args()


if __name__ == "__main__":
    main()
