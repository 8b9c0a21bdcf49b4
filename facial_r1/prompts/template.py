"""Prompts: the text beside the image, rendered from a template in ``conf/prompt/``.

Placeholders of an instruction are ``{question}``, ``{labels}``, ``{answer}``, ``{definitions}``, ``{example_answer}`` and
``{transcript}`` (what is said in a clip); of a hint ``{aus}`` and ``{labels}``; of a retry block ``{issues}`` and ``{previous}``. Other braces are left alone. A line whose
placeholder has nothing to say is dropped, and so is a heading with nothing left below it.

Which variant a record gets follows from the protocol's label space, never from what is annotated on the record itself
(a prompt that differs between faces with and without labels gives the answer away). With labels, the answer is one of
them. An empty label space is an open vocabulary, and the answer is emotion words. No label space at all (None: AU-only sets
such as DISFA) leaves no emotion to name: both tags stay, so that the format means the same everywhere, and the answer
lists the codes.

Two settings continue checkpoints that were trained by the released Facial-R1 code. ``labels_style: dict_keys`` prints what that code
printed (`compat_labels`), asks its question where a record has none, and prints known labels as Python lists. ``file`` names the
user's own copy of its template, a text with ``{Question}`` and ``{Emotions}``, which is then rendered as that code rendered it,
character for character; `instruction` is not used.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from string import Formatter
from typing import Any, Literal, Protocol

from facial_r1.affect.action_units import ACTION_UNITS, PAPER_NAMES, normalise_code
from facial_r1.affect.emotions import SEVEN_EMOTIONS, normalise_label
from facial_r1.config.suggest import did_you_mean
from facial_r1.errors import InputError

Message = dict[str, Any]
Definitions = Literal["none", "vocabulary", "all", "original"]
LabelsStyle = Literal["list", "dict_keys"]
Output = Literal["auto", "think", "direct"]

DEFAULT_QUESTION = "What is the emotion of this face?"
DEFAULT_QUESTION_AUS = "Which action units are active in this face?"

PAPER_UNITS: tuple[str, ...] = tuple(PAPER_NAMES)
"""The 30 units that the Facial-R1 prompt defines."""

MAX_PREVIOUS = 600
"""Characters of a rejected answer that a retry block quotes."""
MAX_ISSUES = 6
"""Issues that a retry block lists."""
MAX_ISSUE = 200
"""Characters of one issue in a retry block."""

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_ALLOWED = {
    "instruction": ("question", "labels", "answer", "definitions", "example_answer", "transcript"),
    "hint": ("aus", "labels"),
    "retry": ("issues", "previous"),
}
_MEDIA = re.compile(r"<(?:image|video|audio)>|<\|[^<>|]{1,40}\|>")


class PromptText(Protocol):
    """What this module reads of a prompt: `Prompt`, or the configuration's object of the same shape."""

    @property
    def name(self) -> str: ...
    @property
    def instruction(self) -> str: ...
    @property
    def system(self) -> str | None: ...
    @property
    def definitions(self) -> Definitions: ...
    @property
    def hint(self) -> str: ...
    @property
    def retry(self) -> str: ...
    @property
    def labels_style(self) -> LabelsStyle: ...
    @property
    def file(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt.

    Attributes:
        name: Name of the file in ``conf/prompt/``.
        instruction: The user text.
        system: The system turn; None leaves it to the model's chat template, "" sends an empty one.
        definitions: Units that ``{definitions}`` lists: ``none``, the protocol's ``vocabulary`` (all 30 of the paper when the
            protocol has none), ``all`` 30 by their FACS names, or ``original``, all 30 by the names of the released prompt.
        hint: Block that gives the known labels, for label-conditioned synthesis.
        retry: Block that quotes what was wrong with the previous attempt.
        labels_style: How labels are printed: as a ``list`` with commas, or as the ``dict_keys`` of the released code.
        file: A template of the released code to render instead of `instruction`.
        output: How answers to an open vocabulary are read (`facial_r1.prompts.open_vocabulary`); the text does not depend on it.
    """

    name: str
    instruction: str
    system: str | None = None
    definitions: Definitions = "none"
    hint: str = ""
    retry: str = ""
    labels_style: LabelsStyle = "list"
    file: str | None = None
    output: Output = "auto"

    def __post_init__(self) -> None:
        check(self)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Prompt:
        """A prompt from the keys of a file in ``conf/prompt/``. Raises InputError on keys that it does not have."""
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                raise InputError(f"prompt.{key}: no such key; {did_you_mean(str(key), known)}")
        return cls(**values)


def check(prompt: PromptText) -> None:
    """Raise InputError when a template holds a placeholder that is never filled in."""
    for part, allowed in _ALLOWED.items():
        for name in _PLACEHOLDER.findall(getattr(prompt, part)):
            if name not in allowed:
                raise InputError(f"prompt.{part}: no placeholder {{{name}}}; {did_you_mean(name, allowed)}")
    if prompt.file:
        _template_of(prompt.file)


def compat_labels(spaces: Iterable[Collection[str] | None], training: bool) -> tuple[str, ...]:
    """The emotions that the released code lists in every prompt of a run.

    In GRPO these are the emotions of all files together, whichever file the row is from, in SFT those of the row's file; both list
    the seven of the paper where there are none. It evaluates and writes reasoning file by file, without that fallback: for a file of
    action units only it prints ``dict_keys([])``.

    Args:
        spaces: The label spaces: of each file of a GRPO run, else of the one file; None and empty ones have no emotions.
        training: Whether the prompt is for SFT or GRPO.

    >>> compat_labels([("surprise", "anger"), None, ("contempt", "anger")], training=True)
    ('anger', 'contempt', 'surprise')
    """
    union = sorted({label for space in spaces for label in space or ()})
    return tuple(union) or (SEVEN_EMOTIONS if training else ())


def render(
    prompt: PromptText,
    record: Any,
    labels: Sequence[str] | None = (),
    hint: Literal["labels"] | None = None,
    *,
    vocabulary: Sequence[str] | None = None,
    issues: Sequence[str] = (),
    previous: str = "",
    training: bool = False,
) -> str:
    """The user text for one record.

    Args:
        prompt: The template.
        record: A `Record`, or a mapping with its keys.
        labels: The protocol's label space, in the order in which it is printed; the record's own ``candidate_labels`` take
            precedence. Empty for an open vocabulary, None when no emotion is asked for.
        hint: ``"labels"`` adds the block that gives what is known about the record.
        vocabulary: The protocol's action units, for ``{definitions}``.
        issues: What was wrong with the previous attempt; adds the retry block. Only the last attempt is ever quoted, cut to
            `MAX_PREVIOUS` characters, so that the prompt does not grow with the attempts.
        previous: The previous attempt itself.
        training: The prompt is for SFT or GRPO; matters for `compat_labels` only.

    Raises:
        InputError: A template holds an unknown placeholder, or `prompt.file` cannot be read.
    """
    check(prompt)
    space = _field(record, "candidate_labels") or labels
    compat = prompt.labels_style == "dict_keys"
    shown = compat_labels([space], training) if compat else tuple(space or ())
    question = str(_field(record, "question") or "")
    if prompt.file:
        blocks = [_template_of(prompt.file).format(Question=_compat_question(question), Emotions=_printed(shown, compat))]
    else:
        values = {
            "question": _compat_question(question) if compat else _question(question, space),
            "labels": _printed(shown, compat),
            "answer": f"one of: {_printed(shown, compat)}" if compat else _answer(space),
            "definitions": _definitions(prompt.definitions, vocabulary),
            "example_answer": _example_answer(space),
            "transcript": " ".join(_inert(str(_field(record, "transcript") or "")).split()),
        }
        blocks = [_fill(prompt.instruction, values)]
    if hint == "labels":
        blocks.append(_fill(prompt.hint, _known(record, compat)))
    if issues:
        blocks.append(_fill(prompt.retry, {"issues": _issue_list(issues), "previous": _excerpt(previous)}))
    return "\n\n".join(block for block in blocks if block)


def hides_transcript(prompt: PromptText, record: Any) -> bool:
    """Whether a record has a transcript of which `render` shows nothing: neither by ``{transcript}`` nor within its question."""
    said = " ".join(_inert(str(_field(record, "transcript") or "")).split())
    if not said or (not prompt.file and "{transcript}" in prompt.instruction):
        return False
    asks = "{Question}" in _template_of(prompt.file) if prompt.file else "{question}" in prompt.instruction
    return not (asks and said in " ".join(_inert(str(_field(record, "question") or "")).split()))


def messages(
    record: Any,
    prompt: PromptText,
    labels: Sequence[str] | None = (),
    hint: Literal["labels"] | None = None,
    *,
    vocabulary: Sequence[str] | None = None,
    image_count: int | None = None,
    issues: Sequence[str] = (),
    previous: str = "",
    training: bool = False,
) -> list[Message]:
    """The prompt in chat form: an optional system turn, then one user turn with its images first and the text last.

    A record's video comes after its images, and then its sound: one part with `sound: true` where it has both, which models that
    hear are shown in turns, or an audio part.

    Args:
        image_count: Image parts; by default as many as the record has.

    The other arguments are those of `render`.
    """
    text = render(prompt, record, labels, hint, vocabulary=vocabulary, issues=issues, previous=previous, training=training)
    count = _image_count(record) if image_count is None else image_count
    user: Message = {"role": "user", "content": [*({"type": "image"} for _ in range(count)), *_clip_parts(record), _text(text)]}
    return [user] if prompt.system is None else [{"role": "system", "content": [_text(prompt.system)]}, user]


def completion_messages(description: str) -> list[Message]:
    """The assistant's turn in chat form, for supervised fine-tuning on a written description."""
    return [{"role": "assistant", "content": [_text(description)]}]


def _clip_parts(record: Any) -> list[dict[str, Any]]:
    video, audio = bool(_field(record, "video")), bool(_field(record, "audio"))
    if video:
        return [{"type": "video", "sound": True}] if audio else [{"type": "video"}]
    return [{"type": "audio"}] if audio else []


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def _field(record: Any, name: str) -> Any:
    return record.get(name) if isinstance(record, Mapping) else getattr(record, name, None)


def _image_count(record: Any) -> int:
    images = _field(record, "images") or _field(record, "image")
    return 1 if isinstance(images, str) else len(images or ())


def _inert(text: str) -> str:
    """Text without the marks that processors replace by images or that chat templates read as turns."""
    return _MEDIA.sub("", text)


def _question(text: str, space: Sequence[str] | None) -> str:
    return _inert(text).strip() or (DEFAULT_QUESTION_AUS if space is None else DEFAULT_QUESTION)


def _compat_question(text: str) -> str:
    """The question as the released code prints it: only ``<image>`` is taken out, and what that empties stays empty."""
    return text.replace("<image>", "").strip() if text else DEFAULT_QUESTION


def _printed(labels: Sequence[str], compat: bool) -> str:
    return str(dict.fromkeys(labels).keys()) if compat else ", ".join(labels)


@lru_cache(maxsize=16)
def _template_of(path: str) -> str:
    """The text of `Prompt.file`, without blanks around it. Raises InputError when it cannot be read or formatted."""
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"prompt.file={path}: cannot be read ({error}); name a text file with {{Question}} and {{Emotions}}"
        ) from None
    try:
        names = [name for _, name, _, _ in Formatter().parse(text) if name is not None]
    except ValueError as error:
        raise InputError(f"prompt.file={path}: {error}; write braces that are no placeholder twice, {{{{ and }}}}") from None
    for name in names:
        if name not in ("Question", "Emotions"):
            raise InputError(
                f"prompt.file={path}: no placeholder {{{name}}}; there are {{Question}} and {{Emotions}}, other braces are written twice"
            )
    return text


def _definitions(which: Definitions, vocabulary: Sequence[str] | None) -> str:
    if which == "none":
        return ""
    if which == "original":
        return "\n".join(f"- {code}: {name};" for code, name in PAPER_NAMES.items())
    codes = PAPER_UNITS if which == "all" or not vocabulary else [code for unit in vocabulary if (code := normalise_code(unit))]
    return "\n".join(f"- {code}: {ACTION_UNITS[code].name};" for code in codes)


def _answer(space: Sequence[str] | None) -> str:
    if space is None:
        return "the codes of the action units, separated by commas"
    return f"one of: {', '.join(space)}" if space else "the emotion words that fit, separated by commas"


def _example_answer(space: Sequence[str] | None) -> str:
    """What the worked example (a smile) answers: the protocol's word for it, or the codes; "" when there is no such word."""
    if space is None:
        return "AU6, AU12"
    return next((label for label in space if normalise_label(label) == "happiness"), "" if space else "happiness")


def _known(record: Any, compat: bool) -> dict[str, str]:
    units = [str(unit) for unit in (_field(record, "AUs") or ())]
    labels = [str(label) for label in (_field(record, "labels") or ()) if str(label).strip()]
    if compat:
        return {"aus": str(sorted(units)) if units else "", "labels": str(sorted(labels)) if labels else ""}
    return {"aus": ", ".join(units), "labels": ", ".join(labels)}


def _issue_list(issues: Sequence[str]) -> str:
    shown = [f"- {' '.join(issue.split())[:MAX_ISSUE]}" for issue in issues[:MAX_ISSUES]]
    if len(issues) > MAX_ISSUES:
        shown.append(f"- and {len(issues) - MAX_ISSUES} more")
    return "\n".join(shown)


def _excerpt(text: str) -> str:
    text = " ".join(_inert(text[: 4 * MAX_PREVIOUS]).split())
    return text if len(text) <= MAX_PREVIOUS else text[:MAX_PREVIOUS].rstrip() + " ..."


def _fill(template: str, values: Mapping[str, str]) -> str:
    """Fill placeholders in one pass (values are never filled in themselves), then drop lines and headings without content."""
    lines: list[str] = []
    for line in template.strip().splitlines():
        if not any(not values[name] for name in _PLACEHOLDER.findall(line)):
            lines.append(_PLACEHOLDER.sub(lambda match: values[match.group(1)], line.rstrip()))
    kept: list[str] = []
    for index, line in enumerate(lines):
        below = next((later for later in lines[index + 1 :] if later.strip()), "#")
        if line.startswith("#") and below.startswith("#"):
            continue
        if line or (kept and kept[-1]):
            kept.append(line)
    return "\n".join(kept).strip()
