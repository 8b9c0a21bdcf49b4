"""Token masks by character offsets, on the merges that emptied the released mask."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from facial_r1.prompts.completion import thinking_span
from facial_r1.rewards.spans import byte_pieces, span_mask, thinking_mask

# Pieces as Qwen's vocabulary cuts them: the tag's end is one token with what follows, its start with what comes before.
CASES = [
    ("> merges with the first word", ["<", "think", ">The", " lids", "</", "think", ">"], "0011000"),
    ("> merges with a line break", ["<", "think", ">\n", "The", " lids", "</", "think", ">"], "00111000"),
    (". merges with </", ["<", "think", ">The", " lids", ".</", "think", ">", "<", "answer", ">x"], "0011100000"),
    (".\\n merges with nothing of the tag", ["<", "think", ">", "Lids", ".\n", "</", "think", ">"], "00011000"),
    ("the tag is one token", ["<think>", "The", "</think>"], "010"),
    ("the whole is one token", ["<think>The</think>"], "1"),
    ("text in front", ["So", " <", "think", ">a", "</", "think", ">"], "0001000"),
    ("reasoning that never ends", ["<", "think", ">a", " b"], "0011"),
    ("nothing inside", ["<", "think", "></", "think", ">"], "00000"),
    ("no reasoning", ["<", "answer", ">x"], "000"),
    ("only the first reasoning", ["<think>", "a", "</think>", "<think>", "b", "</think>"], "010000"),
    ("tags in capitals", ["<THINK>", "a", "</THINK>"], "010"),
    ("tokens that are no text", ["<think>", "a", "", "</think>", ""], "01000"),
]


@pytest.mark.parametrize(("rule", "pieces", "mask"), CASES, ids=[case[0] for case in CASES])
def test_mask(rule: str, pieces: list[str], mask: str) -> None:
    found = thinking_mask("".join(pieces), [piece.encode() for piece in pieces])
    assert "".join("01"[flag] for flag in found) == mask, rule


def test_characters_of_several_bytes_may_be_cut_apart() -> None:
    text = "é<think>眉毛</think>"
    raw = text.encode()
    assert thinking_mask(text, [raw[:1], raw[1:2], raw[2:9], raw[9:11], raw[11:15], raw[15:]]) == [False] * 3 + [
        True,
        True,
        False,
    ]


def test_a_completion_that_ends_inside_a_character_is_read() -> None:
    pieces = [b"<think>", "眉".encode(), "毛".encode()[:2]]
    assert thinking_mask(b"".join(pieces).decode("utf-8", "replace"), pieces) == [False, True, True]


def test_pieces_of_another_text_are_refused() -> None:
    with pytest.raises(ValueError, match="pieces of this very completion"):
        thinking_mask("<think>a</think>", [b"<think>", b"b", b"</think>"])


def test_byte_level_names_are_turned_into_bytes() -> None:
    assert byte_pieces(["<", "think", ">The", "\u0120lids", "\u010a", "<|im_end|>"], ["<|im_end|>"]) == [
        b"<", b"think", b">The", b" lids", b"\n", b"",
    ]  # fmt: skip


def test_names_of_another_tokenizer_are_refused() -> None:
    with pytest.raises(ValueError, match="not of a byte-level tokenizer"):
        byte_pieces(["\u2581the"])


TEXTS = ["<think>The lids tighten.</think><answer>fear</answer>", "<think>\nThe brows.\n</think>\n<answer>x</answer>"] * 8


@pytest.fixture(scope="module")
def merging() -> Tokenizer:
    """A byte-level BPE without a split in front of it: it merges across tags and words as freely as it can."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=330, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


@given(text=st.one_of(st.sampled_from(TEXTS), st.text(max_size=40).map(lambda inner: f"<think>{inner}</think>x")))
@settings(deadline=None)
def test_a_real_tokenizer_is_covered_exactly(merging: Tokenizer, text: str) -> None:
    pieces = byte_pieces(merging.encode(text).tokens)
    mask = thinking_mask(text, pieces)
    span = thinking_span(text)
    assert span is not None
    inside = text[slice(*span)].encode()
    marked = b"".join(piece for piece, flag in zip(pieces, mask, strict=True) if flag)
    assert inside in marked and (bool(inside) == any(mask))
    start = len(text[: span[0]].encode())
    offset = 0
    for piece, flag in zip(pieces, mask, strict=True):
        assert flag == (offset < start + len(inside) and offset + len(piece) > start)
        offset += len(piece)


def test_an_empty_span_marks_nothing() -> None:
    assert span_mask("abc", [b"a", b"bc"], (1, 1)) == [False, False] and span_mask("abc", [b"abc"], None) == [False]
