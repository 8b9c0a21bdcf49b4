"""The card of a trained model: `model/README.md` of an SFT or GRPO run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facial_r1.cards import evaluation
from facial_r1.cards.facts import ancestors, base_model, is_drawn, parts, rows_used, steps_taken, this_step, version
from facial_r1.cards.markdown import hide_paths, page, table
from facial_r1.cards.recipe import in_a_line, picture_size, recipe
from facial_r1.cards.use import RESPONSIBLE, citations
from facial_r1.report.load import Run
from facial_r1.report.wording import stage_label

UNKNOWN = "unknown"
"""The hub's name for a licence that nobody stated."""

_LOAD = """\
```python
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

here = "{repository}"  # this repository, or a folder with its files
model = AutoModelForImageTextToText.from_pretrained(here, dtype="auto")
processor = AutoProcessor.from_pretrained(here)
prompt = {prompt!r}
messages = {system}[{{"role": "user", "content": [{{"type": "image", "image": Image.open("face.jpg")}}, {{"type": "text", "text": prompt}}]}}]
inputs = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt")
answer = model.generate(**inputs, max_new_tokens={tokens}, do_sample=False)
print(processor.decode(answer[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
```

or, with facial_r1 installed, `facial-r1 predict face.jpg init_from=<folder with these files>`."""


def model_card(run: Run, evaluations: Sequence[Run] = (), licence: str | None = None) -> str:
    """The card of the model that `run` trained.

    Args:
        run: An SFT or GRPO run, as `facial_r1.report.load.load_run` reads it.
        evaluations: Further evaluations of this model, shown beside the run's own.
        licence: The hub's identifier of the licence that the owner of the model gives it; None says that it is not known.
    """
    base, base_said = base_model(run)
    before = ancestors(run)
    stages = (*(step.stage for step in before), run.stage)
    evaluated = [(_dataset(one), one) for one in (run, *evaluations) if one.summary.get("metrics")]
    index = evaluation.hub_results(run.path.name, [(name, one.summary) for name, one in evaluated])
    front = {
        "library_name": "transformers",
        "pipeline_tag": "image-text-to-text",
        "license": licence or UNKNOWN,
        "base_model": base,
        "language": ["en"],
        "datasets": [part.name for part in parts(run.resolved)],
        "tags": _tags(stages),
        "metrics": evaluation.hub_metrics(index),
        "model-index": index,
    }
    sections = [
        f"# {run.path.name}",
        f"A vision-language model that reasons about faces: it names the action units it sees, then an emotion. Trained with facial_r1 "
        f"({' → '.join(stage_label(stage) for stage in stages)}) from {base_said}.",
        _licence(base, licence),
        "## Use",
        _load(run),
        "## Training",
        *_training(run, before),
        "## Data",
        _data(run),
        "## Evaluation",
        *_evaluations(run, evaluated),
        "## Limits",
        _limits(run, evaluated),
        "## Responsible use",
        RESPONSIBLE,
        "## Papers behind it",
        "\n".join(f"- {paper}" for paper in citations(run.resolved, stages)) + "\n\nCite the datasets as their owners ask.",
    ]
    return page(front, hide_paths("\n\n".join(section for section in sections if section)))


def _tags(stages: Sequence[str]) -> list[str]:
    return [
        "facial-expression-recognition",
        "facial-action-units",
        "emotion-recognition",
        "reasoning",
        "facial_r1",
        *dict.fromkeys(stages),
    ]


def _licence(base: str | None, licence: str | None) -> str:
    if licence:
        return f"Licence: {licence}, as its owner states."
    of_base = (
        f"that of [{base}](https://huggingface.co/{base}) holds for what is derived from it"
        if base
        else "that of its base model holds too"
    )
    return f"Licence: not stated. The run does not know it; {of_base}, and the licences of the data below may restrict it."


def _load(run: Run) -> str:
    prompt = run.resolved.get("prompt") or {}
    text = next((str(sample["prompt"]) for sample in run.samples if sample.get("prompt")), "")
    asked = text or str(prompt.get("instruction") or "Which emotion does this face show?")
    system = prompt.get("system")
    stage = run.resolved.get("stage") or {}
    code = _LOAD.format(
        repository="owner/name",
        prompt=asked,
        system="" if system is None else f'[{{"role": "system", "content": {str(system)!r}}}] + ',
        tokens=stage.get("max_completion_length") or stage.get("max_new_tokens") or 256,
    )
    note = "" if text else "\n\nThe prompt is a template: fill what stands in braces."
    size = picture_size(run.resolved.get("model") or {})
    return code + note + (f"\n\nIn training pictures were {size}." if size and size.startswith(("resized", "at most")) else "")


def _training(run: Run, before: Sequence[Any]) -> list[str]:
    seconds, taken = run.summary.get("seconds"), steps_taken(run)
    said = f"Code: {version(run)}." + (f" Wall time of the last step with its evaluation: {seconds:,.0f} s." if seconds else "")
    lineage = (
        "Before it, oldest first:\n\n" + "\n".join(f"{place}. {in_a_line(step)}" for place, step in enumerate(before, start=1))
        if before
        else ""
    )
    return [lineage, f"{stage_label(run.stage)} (`{run.path.name}`):", recipe(this_step(run), taken), said]


def _data(run: Run) -> str:
    listed = table(
        ("dataset", "protocol", "licence of its owner, as the protocol states it"),
        ((part.name, part.protocol, part.licence or "not stated; ask its owner") for part in parts(run.resolved)),
    )
    data, settings = run.status.get("data") or {}, run.resolved.get("data") or {}
    said = [f"Trained on {rows_used(this_step(run))}"]
    said += [f"{data[side]:,} rows on the {side} side" for side in ("train", "test") if isinstance(data.get(side), int)]
    said += [f"{data['skipped']:,} bad rows left out"] if data.get("skipped") else []
    if settings.get("descriptions"):
        said.append("descriptions written by " + ", ".join(f"`{Path(str(item)).name}`" for item in settings["descriptions"]))
    leaks = data.get("leaks") or {}
    if leaks:
        said.append(
            f"{leaks.get('test_images')} pictures of the test side were also in the training data, {leaks.get('train_rows_left_out')} of its rows were left out for that"
        )
    text = f"{listed}\n\n{'; '.join(said)}."
    return text + (f" Fingerprint of the data: `{str(data['fingerprint'])[:16]}`." if data.get("fingerprint") else "")


def _evaluations(run: Run, evaluated: Sequence[tuple[str, Run]]) -> list[str]:
    if not evaluated:
        return [
            "This run was not evaluated (`stage.evaluate=false`, or there was no test part). Nothing is known about how well the model does."
        ]
    parts_of_page = []
    for name, one in evaluated:
        if len(evaluated) > 1:
            parts_of_page.append(f"### {name} (`{one.path.name}`)")
        parts_of_page += [
            f"On {one.summary.get('rows', 'an unknown number of'):,} rows of {name}."
            if isinstance(one.summary.get("rows"), int)
            else f"On {name}.",
            evaluation.figures(one.summary),
            "Intervals are bootstrapped over clusters: the people shown, or single rows where nobody is named. An answer that cannot be read is "
            "wrong, never left out. A blind baseline always gives the same answer.",
            evaluation.failures(one.summary),
            evaluation.groups(one.summary),
        ]
    return parts_of_page


def _limits(run: Run, evaluated: Sequence[tuple[str, Run]]) -> str:
    items = []
    if is_drawn(run.resolved):
        items.append(
            "Trained on drawn faces only. The figures say that the recipe works; they say nothing about photographs of people."
        )
    own = {part.name for part in parts(run.resolved)}
    if evaluated and all(name in own for name, _ in evaluated):
        items.append("Evaluated on the test side of its own training data only; how it does on other data is not known.")
    if not any(one.summary.get("by") for _, one in evaluated):
        items.append("Figures by group of people were not computed; how much they differ between people is not known.")
    items += [
        f"One training run (seed {run.resolved.get('seed', 'not noted')}). The intervals tell how figures vary with the people tested, not with training again.",
        "Whether its confidence or its reasoning can be relied on was not measured, apart from the figures above.",
        "It sees single pictures as they are cropped in its training data. Other crops, several people, profile views and strong compression were not tested "
        "unless a figure above says so.",
    ]
    return "\n".join(f"- {item}" for item in items)


def _dataset(run: Run) -> str:
    return str((run.status.get("data") or {}).get("name") or (run.resolved.get("data") or {}).get("name") or "data")
