"""Which tokens of a completion lie in its reasoning, by character offsets: for `stage.reasoning_rewards`.

The released Facial-R1 code looked for the token ids of ``<think>`` and ``</think>``. Byte-level BPE merges tags with their neighbours
(``>The``, ``.</``, ``>`` with a line break), so that those ids hardly ever occur and its mask was empty. Offsets do not depend on how
the text was cut: each token covers the bytes of its piece, and belongs to a span when it covers a byte of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate

from facial_r1.prompts.completion import thinking_span


def thinking_mask(completion: str, pieces: Sequence[bytes]) -> list[bool]:
    """Whether each token has a part in the reasoning: what stands between ``<think>`` and ``</think>``, or behind the first to the end.

    Args:
        completion: The text of the tokens.
        pieces: The bytes of each token, see `byte_pieces`; ``b""`` for tokens that are no text (the end of the turn, padding).

    Returns:
        One flag per piece; all False without a ``<think>``. A token that holds the end of the tag and the first word of the reasoning
        (``>The``) is in: it was chosen for its word, too.

    Raises:
        ValueError: The pieces do not spell the completion.

    >>> thinking_mask("<think>The lids</think>", [b"<think", b">The", b" lids", b"</", b"think", b">"])
    [False, True, True, False, False, False]
    """
    return span_mask(completion, pieces, thinking_span(completion))


def span_mask(text: str, pieces: Sequence[bytes], span: tuple[int, int] | None) -> list[bool]:
    """Whether each token covers a byte of ``text[span[0]:span[1]]``; all False for no span or an empty one.

    Raises:
        ValueError: The pieces do not spell the text.
    """
    spelled, letters = b"".join(pieces), []
    starts = [0]
    for letter, size in _letters(spelled):
        letters.append(letter)
        starts.append(starts[-1] + size)
    if "".join(letters) != text:
        raise ValueError(f"the pieces spell {spelled[:60]!r}, the text is {text[:60]!r}: give the pieces of this very completion")
    if span is None or span[0] >= span[1]:
        return [False] * len(pieces)
    start, end = starts[span[0]], starts[span[1]]
    ends = accumulate(len(piece) for piece in pieces)
    return [after > start and after - len(piece) < end and bool(piece) for piece, after in zip(pieces, ends, strict=True)]


def _letters(spelled: bytes) -> Iterator[tuple[str, int]]:
    """Characters with their sizes in bytes; what is no character is U+FFFD, as in decoding (a completion may end inside of one)."""
    position = 0
    while position < len(spelled):
        try:
            found, bad = spelled[position:].decode("utf-8"), 0
        except UnicodeDecodeError as error:
            found, bad = spelled[position : position + error.start].decode("utf-8"), error.end - error.start
        for letter in found:
            size = len(letter.encode("utf-8"))
            yield letter, size
            position += size
        if bad:
            yield "\ufffd", bad
            position += bad


def byte_pieces(tokens: Iterable[str], special: Iterable[str] = ()) -> list[bytes]:
    """The bytes of byte-level BPE tokens (GPT-2, Qwen, Llama 3, InternVL3), as ``tokenizer.convert_ids_to_tokens`` names them.

    Args:
        tokens: For example ``["<", "think", ">The", "Ġlids"]``.
        special: Tokens that decoding leaves out (``tokenizer.all_special_tokens``); they are no bytes of the text.

    Raises:
        ValueError: A token that is not of the byte-level alphabet.
    """
    alphabet, left_out = _alphabet(), frozenset(special)
    pieces = []
    for token in tokens:
        try:
            pieces.append(b"" if token in left_out else bytes(alphabet[letter] for letter in token))
        except KeyError:
            raise ValueError(f"token {token!r} is not of a byte-level tokenizer") from None
    return pieces


@lru_cache(maxsize=1)
def _alphabet() -> dict[str, int]:
    """The letter that stands for each byte: itself where it can be printed, else the next free one from U+0100."""
    printable = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + index): byte for index, byte in enumerate(hidden)}
