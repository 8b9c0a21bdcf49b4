"""Truths and predictions in, scores out: one clip, a corpus, hits.

Two modes. ``compat`` is the released metric, to the last digit. ``strict`` mends what makes it easy to fool:

* predicted words that no table knows count against precision (unless the truth has the very same word), instead of being free;
* neutral is scored: it is a sector of its own on each wheel, instead of being dropped on both sides;
* identity beats the alphabet: a label of a wheel lies in its own sector, instead of that of the alphabetically first synonym;
* F is the mean of the clips' F, instead of the harmonic mean of two means.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, get_args

from facial_r1.affect.wheels.parsing import Labels, parse
from facial_r1.affect.wheels.parsing import words as tokens_of
from facial_r1.affect.wheels.scores import (
    CorpusScore,
    CorpusWheelScore,
    HitScore,
    HitWheelScore,
    PairScore,
    Path,
    Step,
    WheelScore,
)
from facial_r1.affect.wheels.tables import LANE_BITS, NEUTRAL, WHEELS, Level, Mode, Source, Table
from facial_r1.config.suggest import did_you_mean
from facial_r1.errors import InputError

Mapped = Literal["wheel", "case1", "case2"]
"""``wheel``: sectors of the five wheels (M3). ``case1``: the alphabetically first base word (M1). ``case2``: the alphabetically
first wheel label of that base word (M2)."""

_BIT_COUNTS = bytes(number.bit_count() for number in range(256))

Counts = list[tuple[int, int, int]]
"""Of each wheel: shared, true and predicted sectors."""


class Wheels:
    """The five wheels of one source, ready to score.

    Attributes:
        source: The mapping as it was read.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self._tables: dict[tuple[int, str], Table] = {
            (level, mode): Table(source, level, mode) for level in get_args(Level) for mode in get_args(Mode)
        }
        self._scores: dict[bool, dict[tuple[int, int, int], WheelScore]] = {False: {}, True: {}}
        self._single: dict[str, dict[str, str | None]] = {"case1": {}, "case2": {}}

    def __repr__(self) -> str:
        return f"Wheels({self.name!r}, {len(self.source.forms)} words)"

    @property
    def name(self) -> str:
        """``embedded``, ``mer2025`` or ``mer2026``."""
        return self.source.name

    # --- words -------------------------------------------------------------------------------------------------------

    def parse(self, text: Labels) -> list[str]:
        """The labels of one clip before they are lower-cased, see `facial_r1.affect.wheels.parsing`."""
        return parse(text)

    def knows(self, word: str) -> bool:
        """Whether the tables have the word (in any case, blanks around it aside)."""
        return word.lower().strip() in self.source.forms

    def table(self, level: Level = 1, mode: Mode = "compat") -> Table:
        """The compiled table of a level and mode. Raises InputError when there is none."""
        try:
            return self._tables[level, mode]
        except KeyError:
            if mode not in get_args(Mode):
                raise InputError(f"mode={mode!r}: {did_you_mean(str(mode), get_args(Mode))}") from None
            raise InputError(f"level={level!r}: give 1 or 2") from None

    def sectors(self, words: Labels, wheel: int, level: Level = 1, mode: Mode = "compat") -> set[str]:
        """Names of the sectors that the labels reach on one wheel.

        Args:
            words: Labels as `parse` takes them.
            wheel: 1 to 5.
            level: 1 (the inner ring) or 2.
            mode: ``compat`` or ``strict``.

        Example:
            >>> from facial_r1.affect.wheels import load
            >>> load().sectors(["furious", "sorrowful"], wheel=1) == {"mad", "sad"}
            True
        """
        if wheel not in range(1, WHEELS + 1):
            raise InputError(f"wheel={wheel!r}: give 1 to {WHEELS}")
        table = self.table(level, mode)
        return table.names_in(self.packed(tokens_of(words), table), wheel - 1)

    def packed(self, tokens: Iterable[str], table: Table) -> int:
        """The sectors of lower-case words on all wheels, see `facial_r1.affect.wheels.tables`."""
        lanes, packed = table.lanes, 0
        for token in tokens:
            packed |= lanes[token]
        return packed

    def single(self, tokens: Iterable[str], mapping: Mapped) -> set[str]:
        """Base words (``case1``) or wheel labels (``case2``) of lower-case words; words without one are dropped."""
        kept = self._single[mapping]
        found = set()
        for token in tokens:
            if token not in kept:
                if token not in self.source.forms:
                    continue
                kept[token] = self._first(token, mapping)
            if (name := kept[token]) is not None:
                found.add(name)
        return found

    def _first(self, word: str, mapping: Mapped) -> str | None:
        base = min(self.source.forms[word])
        return base if mapping == "case1" else min(self.source.labels.get(base, ()), default=None)

    def unknown(self, tokens: Iterable[str], mode: Mode = "compat") -> set[str]:
        """Those of the lower-case words that the tables do not have."""
        knows = self.table(1, mode).knows
        return {token for token in tokens if not knows(token)}

    def explain(self, word: str) -> Path:
        """How a word reaches its sectors."""
        token = word.lower().strip()
        bases = sorted(set(self.source.forms.get(token, ())))
        labels = sorted({label for base in bases for label in self.source.labels.get(base, ())})
        compat, strict = (tuple(self._steps(token, mode)) for mode in get_args(Mode))
        return Path(token, bool(bases), tuple(bases), tuple(labels), compat, strict)

    def _steps(self, token: str, mode: Mode) -> Iterator[Step]:
        one, two = self.table(1, mode), self.table(2, mode)
        first, second = one.lanes[token], two.lanes[token]
        for wheel in range(WHEELS):
            label = one.decide(token, wheel) if token in self.source.forms else None
            names = [next(iter(table.names_in(lanes, wheel)), None) for table, lanes in ((one, first), (two, second))]
            yield Step(wheel + 1, label, names[0], names[1])

    # --- one clip ----------------------------------------------------------------------------------------------------

    def pair(
        self, truth: Labels, prediction: Labels, level: Level = 1, mode: Mode = "compat", mapping: Mapped = "wheel"
    ) -> PairScore:
        """Score the labels predicted for one clip.

        Args:
            truth: Labels as `parse` takes them.
            prediction: The same.
            level: 1 (the inner ring) or 2.
            mode: ``compat`` or ``strict``, see the module's docstring.
            mapping: ``wheel``, or ``case1`` or ``case2`` (compat only), which have no wheels.

        Raises:
            InputError: No such level, mode or mapping; or no labels but something else.

        Example:
            >>> from facial_r1.affect.wheels import load
            >>> load().pair("[happy]", "joyful").recall
            1.0
        """
        nan = self.source.nan and mode == "compat"
        kept = self._scores[nan]
        wheels = [kept.get(one) or self._score(one, nan) for one in self.counts(truth, prediction, level, mode, mapping)]
        f = precision = recall = 0.0
        scored = 0
        for score in wheels:
            if not score.skipped:
                scored += 1
                precision += score.precision
                recall += score.recall
                f += score.f
        over = max(scored, 1) if mode == "strict" else len(wheels)
        if nan:
            f = math.nan if any(not score.f > 0 for score in wheels) else f
            if scored < len(wheels):
                precision = recall = math.nan
        shown = tuple(wheels) if mapping == "wheel" else ()
        return PairScore(f / over, precision / over, recall / over, not scored, shown)

    def _score(self, counts: tuple[int, int, int], nan: bool) -> WheelScore:
        """The score of one wheel; there are few different ones, so that they are kept and shared."""
        shared, true, predicted = counts
        if not true:
            missing = math.nan if nan else 0.0
            score = WheelScore(missing, missing, math.nan, True)
        elif not shared:
            score = WheelScore(0.0, 0.0, 0.0, False)
        else:
            p, r = shared / predicted, shared / true
            score = WheelScore(p, r, 2 * p * r / (p + r), False)
        if predicted <= LANE_BITS[2]:
            self._scores[nan][counts] = score
        return score

    def f(self, truth: Labels, prediction: Labels, level: Level = 1, mode: Mode = "compat") -> float:
        """The mean F of one clip, in [0, 1] and never NaN: a wheel that is skipped or without overlap counts 0 (in ``strict``,
        skipped wheels are left out). This is what a reward needs."""
        return clip_f(self.counts(truth, prediction, level, mode), mode)

    def counts(
        self, truth: Labels, prediction: Labels, level: Level = 1, mode: Mode = "compat", mapping: Mapped = "wheel"
    ) -> Counts:
        """Shared, true and predicted sectors of one clip on each wheel; in ``strict``, unknown words count as predicted."""
        table = self.table(level, mode)
        true, predicted = tokens_of(truth), tokens_of(prediction)
        if mapping != "wheel":
            if mapping not in self._single or mode != "compat":
                known = get_args(Mapped) if mode == "compat" else ("wheel",)
                raise InputError(f"mapping={mapping!r} with mode={mode!r}: {did_you_mean(str(mapping), known)}")
            names, others = self.single(true, mapping), self.single(predicted, mapping)
            return [(len(names & others), len(names), len(others))]
        lanes = table.lanes
        one = two = 0
        for token in true:
            one |= lanes[token]
        for token in predicted:
            two |= lanes[token]
        extra = len(self.unknown(predicted, mode).difference(true)) if mode == "strict" else 0
        if level == 1:  # a byte for each wheel: all bit counts of a set in one look-up
            shared, left, right = (packed.to_bytes(WHEELS, "little").translate(_BIT_COUNTS) for packed in (one & two, one, two))
            return [(a, b, c + extra) for a, b, c in zip(shared, left, right)] if extra else list(zip(shared, left, right))
        both, width = one & two, LANE_BITS[level]
        lane = (1 << width) - 1
        return [
            ((both >> at & lane).bit_count(), (one >> at & lane).bit_count(), (two >> at & lane).bit_count() + extra)
            for at in range(0, WHEELS * width, width)
        ]

    # --- a corpus ----------------------------------------------------------------------------------------------------

    def corpus(
        self,
        truths: Mapping[str, Labels],
        predictions: Mapping[str, Labels],
        level: Level = 1,
        mode: Mode = "compat",
        mapping: Mapped = "wheel",
    ) -> CorpusScore:
        """Score the predictions for all clips of the truth.

        Args:
            truths: Clip name to labels.
            predictions: Clip name to labels; further clips are ignored.
            level: 1 (the inner ring) or 2.
            mode: ``compat``: precision and recall are averaged over the clips whose truth has a sector on the wheel, F is taken of the
                two averages; with the tables of 2025, divisions by 0 give NaN. ``strict``: see the module's docstring.
            mapping: ``wheel``, ``case1`` or ``case2``.

        Raises:
            InputError: A clip has no prediction.
        """
        wheels = 1 if mapping != "wheel" else WHEELS
        n, precision, recall, f = [0] * wheels, [0.0] * wheels, [0.0] * wheels, [0.0] * wheels
        clips = 0.0
        for name, truth in truths.items():
            counts = self.counts(truth, _prediction(predictions, name), level, mode, mapping)
            total, scored = 0.0, 0
            for wheel, (shared, true, predicted) in enumerate(counts):
                if not true:
                    continue
                scored += 1
                n[wheel] += 1
                if shared:
                    precision[wheel] += shared / predicted
                    recall[wheel] += shared / true
                    one = 2 * shared / (true + predicted)
                    f[wheel] += one
                    total += one
            clips += total / (max(scored, 1) if mode == "strict" else wheels)
        nan = self.source.nan and mode == "compat"
        each = []
        for wheel in range(wheels):
            p, r = (divide(column[wheel], n[wheel], nan) for column in (precision, recall))
            whole = divide(f[wheel], n[wheel], nan) if mode == "strict" else divide(2 * p * r, p + r, nan)
            each.append(CorpusWheelScore(whole, p, r, n[wheel], len(truths) - n[wheel]))
        counted = [score for score in each if score.n] or each if mode == "strict" else each
        whole, p, r = (sum(score[name] for score in counted) / len(counted) for name in ("f", "precision", "recall"))
        return CorpusScore(whole, p, r, divide(clips, len(truths), nan), len(truths), tuple(each))

    def m_avg(self, truths: Mapping[str, Labels], predictions: Mapping[str, Labels]) -> float:
        """M-avg of OV-MER: the mean of twelve F (M1, M2, and M3 on five wheels at two levels), ``compat``."""
        singles = [self.corpus(truths, predictions, mapping=mapping).f for mapping in ("case1", "case2")]
        levels: list[Level] = [1, 2]
        wheels = [score.f for level in levels for score in self.corpus(truths, predictions, level).wheels]
        return sum([*singles, *wheels]) / (len(singles) + len(wheels))

    def track2(self, truths: Mapping[str, Labels], predictions: Mapping[str, Labels]) -> float:
        """The figure of MER2025 Track 2: mean of the F of both levels, ``compat`` (MER2026 Track 2 is the F of level 1)."""
        return (self.corpus(truths, predictions, 1).f + self.corpus(truths, predictions, 2).f) / 2

    # --- hits --------------------------------------------------------------------------------------------------------

    def hits(self, truth: Labels, prediction: Labels, level: Level = 1, mode: Mode = "compat") -> list[bool | None]:
        """Of each wheel, whether a true sector is among the predicted ones; None where the truth has none."""
        return [bool(shared) if true else None for shared, true, _ in self.counts(truth, prediction, level, mode)]

    def hit_any(self, truth: Labels, prediction: Labels) -> bool:
        """Whether a true sector is predicted on any wheel, or both are neutral: the rule by which MER-Caption+ was filtered.

        As in the code released with AffectGPT, having no labels is neutral, and so is a label that is written exactly ``neutral``.

        Example:
            >>> from facial_r1.affect.wheels import load
            >>> load().hit_any("[]", "neutral, happy"), load().hit_any("unheard-of", "unheard-of")
            (True, False)
        """
        return any(self.hits(truth, prediction)) or (_is_neutral(truth) and _is_neutral(prediction))

    def hit(
        self,
        truths: Mapping[str, Labels],
        predictions: Mapping[str, Labels],
        level: Level = 1,
        mode: Mode = "compat",
        candidates: Iterable[str] | None = None,
    ) -> HitScore:
        """HIT of MER-UniBench, for data whose clips have one basic label each.

        Args:
            truths: Clip name to its label. With several labels, one shared sector is a hit.
            predictions: Clip name to labels.
            level: 1 in MER-UniBench.
            mode: ``strict`` also scores neutral clips, which ``compat`` skips as the released code does.
            candidates: The classes of the data set, for `mscore`; by default the labels that occur in the truth.

        Raises:
            InputError: A clip has no prediction.
        """
        table = self.table(level, mode)
        width = LANE_BITS[level]
        lane = (1 << width) - 1
        listed = (
            (word for truth in truths.values() for word in tokens_of(truth)) if candidates is None else tokens_of([*candidates])
        )
        classes = self.packed(set(listed), table)
        n, hit, mscore = [0] * WHEELS, [0] * WHEELS, [0.0] * WHEELS
        for name, truth in truths.items():
            true = self.packed(tokens_of(truth), table)
            predicted = self.packed(tokens_of(_prediction(predictions, name)), table)
            for wheel in range(WHEELS):
                at = width * wheel
                if true >> at & lane:
                    n[wheel] += 1
                    if (true & predicted) >> at & lane:
                        hit[wheel] += 1
                        mscore[wheel] += 1 / max(1, ((predicted & classes) >> at & lane).bit_count())
        nan = self.source.nan and mode == "compat"
        each = tuple(
            HitWheelScore(
                divide(hit[wheel], n[wheel], nan), divide(mscore[wheel], n[wheel], nan), n[wheel], len(truths) - n[wheel]
            )
            for wheel in range(WHEELS)
        )
        counted = [score for score in each if score.n] or each if mode == "strict" else each
        means = [sum(score[name] for score in counted) / len(counted) for name in ("hit_rate", "mscore")]
        return HitScore(means[0], means[1], tuple(n), each)


def clip_f(counts: Counts, mode: Mode) -> float:
    """The mean F of one clip from its counts, in [0, 1]."""
    total, scored = 0.0, 0
    for shared, true, predicted in counts:
        if true:
            scored += 1
            if shared:
                total += 2 * shared / (true + predicted)
    return total / (max(scored, 1) if mode == "strict" else len(counts))


def _is_neutral(labels: Labels) -> bool:
    listed = parse(labels)
    return not listed or NEUTRAL in listed


def divide(part: float, whole: float, nan: bool) -> float:
    """part / whole; of a division by 0, NaN or 0."""
    if whole:
        return part / whole
    return math.nan if nan else 0.0


def _prediction(predictions: Mapping[str, Any], name: str) -> Labels:
    try:
        return predictions[name]
    except KeyError:
        raise InputError(f"no prediction for the clip {name!r}; {did_you_mean(str(name), map(str, predictions))}") from None
