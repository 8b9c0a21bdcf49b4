"""Stems against those of NLTK, which `rouge_score` uses."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from facial_r1.metrics.porter import stem

GOLDEN = json.loads((Path(__file__).parent / "golden" / "porter.json").read_text(encoding="utf-8"))


def test_each_recorded_stem() -> None:
    wrong = {word: (stem(word), expected) for word, expected in GOLDEN["stems"].items() if stem(word) != expected}
    assert not wrong, wrong


def test_the_record_covers_every_suffix() -> None:
    from facial_r1.metrics import porter

    suffixes = [suffix for suffix, _ in (*porter._DOUBLE, *porter._SINGLE)] + list(porter._BARE)
    bare = [suffix for suffix in suffixes if not any(word.endswith(suffix) for word in GOLDEN["stems"])]
    assert not bare, bare


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789", max_size=30))
def test_any_word_has_a_stem_that_is_not_longer_by_more_than_a_letter(word: str) -> None:
    assert len(stem(word)) <= len(word) + 1
