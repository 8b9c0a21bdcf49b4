"""What is said about use in every card, and which papers are behind a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RESPONSIBLE = """\
**What a face can tell.** Action units describe visible movements of a face. An emotion label says what annotators named when they saw the
face (or what a drawn face was drawn to show). Neither says what a person feels, thinks or intends: the same movement has many causes, and the same
feeling shows in many ways, between people, situations and cultures (Barrett et al. 2019). A written reasoning is a text that was learned; it is
not a record of how the answer came about.

**Not for** inferring emotions of people at work or in education: in the European Union Article 5(1)(f) of the AI Act (Regulation (EU) 2024/1689) prohibits
it, except for medical or safety reasons. Elsewhere in the Union emotion recognition counts as high-risk (Annex III, point 1(c)), and the people it
is used on must be told (Article 50(3)). Other laws may be stricter. Not for decisions about people (hiring, credit, insurance, policing, borders),
not for detecting lies, not for diagnosis, and not as the only ground for anything that affects somebody. This is no legal advice.

**Consent.** Pictures of faces are personal data. Ask the people who are shown; that a dataset may be used for research is not their consent to
your use.

**Bias across people.** Accuracy differs between people: by skin tone, age, sex, glasses, beards, pose, light, and how a culture shows and names emotions.
A mean over all people hides it. Measure on the people you mean to use it with, group by group (`stage.by=[...]`), before you use it."""

_ARXIV = "https://arxiv.org/abs/"
_ALWAYS = (
    "Barrett, L. F. et al. (2019). Emotional expressions reconsidered. *Psychological Science in the Public Interest* 20(1).",
    "Ekman, P. and Friesen, W. V. (1978). *Facial Action Coding System*. Consulting Psychologists Press.",
)
_SYSTEMS = {
    "facial_r1": f"Facial-R1 (AAAI 2026), [arXiv 2511.10254v1]({_ARXIV}2511.10254v1). Its arXiv entry was withdrawn by an author in version 2.",
    "unifer": f"Zhang et al. (2025). UniFER and FERBench, [arXiv 2511.00389]({_ARXIV}2511.00389).",
    "affectgpt_r1": f"AffectGPT-R1 (2025), [arXiv 2508.01318]({_ARXIV}2508.01318).",
}
_LOSSES = {
    "dapo": f"Yu et al. (2025). DAPO, [arXiv 2503.14476]({_ARXIV}2503.14476) (the loss).",
    "dr_grpo": f"Liu et al. (2025). Understanding R1-Zero-like training, [arXiv 2503.20783]({_ARXIV}2503.20783) (the loss).",
}
_ARCHITECTURES = {"qwen2_5_vl": f"Bai et al. (2025). Qwen2.5-VL, [arXiv 2502.13923]({_ARXIV}2502.13923) (the architecture)."}


def citations(resolved: Mapping[str, Any], stages: tuple[str, ...]) -> list[str]:
    """The papers whose methods a run uses, as far as its settings tell; datasets are cited as their owners ask."""
    stage, model = resolved.get("stage") or {}, resolved.get("model") or {}
    names = [str((resolved.get(group) or {}).get("name") or "") for group in ("prompt", "reward")]
    found = [text for system, text in _SYSTEMS.items() if any(name.startswith(system) for name in names)]
    if "grpo" in stages:
        found.append(
            f"Shao et al. (2024). DeepSeekMath, [arXiv 2402.03300]({_ARXIV}2402.03300) (group relative policy optimisation)."
        )
        found += [_LOSSES[loss] for loss in (stage.get("loss_type"),) if loss in _LOSSES]
    if (model.get("lora") or {}).get("enabled"):
        found.append(f"Hu et al. (2021). LoRA, [arXiv 2106.09685]({_ARXIV}2106.09685).")
    found += [_ARCHITECTURES[name] for name in (model.get("architecture"),) if name in _ARCHITECTURES]
    return [*found, *_ALWAYS]
