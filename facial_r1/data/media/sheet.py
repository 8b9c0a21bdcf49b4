"""Clips of any data in one picture: counts, lengths and faults on top, then a row each with frames, sound, words and labels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from facial_r1.data.media.errors import MediaError
from facial_r1.data.media.overview import Overview, histogram
from facial_r1.data.media.probing import probe
from facial_r1.data.media.reading import hear, see
from facial_r1.data.record import Record
from facial_r1.data.schematic.clip_sheet import draw_sound, heading_of
from facial_r1.data.schematic.contact_sheet import INK, PAPER, SOFT_INK

if TYPE_CHECKING:
    from facial_r1.config.media_schema import Audio, Video

_PALE, _BLUE, _RED = (228, 227, 221), (66, 92, 140), (172, 62, 50)
_GAP, _CAPTION, _SOUND, _LINE, _EDGE = 8, 20, 38, 15, 12
_PANEL = 150
_WORDS = 2
"""Lines of a transcript that are shown."""
_NARROWEST = 640
_FAULTS = 5
_WIDE_FONTS = ("cjk", "wqy", "droidsansfallback", "sourcehan", "notosanssc", "arial unicode", "pingfang", "msyh", "simhei")


def media_sheet(
    records: Sequence[Record], facts: Overview, video: Video, audio: Audio, columns: int = 8, tile: int = 112
) -> Image.Image:
    """The sheet of some records, under the counts of all.

    A file that cannot be read after all has its reason in place of its frames or its sound.

    Args:
        records: What is shown, a row each; frames only where there is a video, a waveform only where there is sound.
        facts: Counts of the whole data.
        video, audio: As the job sees and hears; `columns` of the frames that are seen are shown.
        columns: Frames in a row.
        tile: Side of a frame, pixels.

    Returns:
        An RGB picture, at least 640 pixels wide.
    """
    width = max(_NARROWEST, columns * (tile + _GAP) - _GAP + 2 * _EDGE)
    rows = [_row(record, video, audio, columns, tile, width) for record in records]
    sheet = Image.new("RGB", (width, _PANEL + sum(row.height for row in rows) + _EDGE), PAPER)
    sheet.paste(_panel(facts, width), (0, 0))
    top = _PANEL
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    return sheet


def _row(record: Record, video: Video, audio: Audio, columns: int, tile: int, width: int) -> Image.Image:
    pictures, sound, faults = _open(record, video, audio, columns)
    words = _wrapped(record.transcript, width - 2 * _EDGE)
    frames_height = tile + _GAP // 2 if pictures is not None else 0
    sound_height = _SOUND if sound is not None else 0
    height = 2 + _CAPTION + frames_height + sound_height + _LINE * (len(words) + len(faults)) + _GAP
    row = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(row)
    pen.line([(_EDGE, 0), (width - _EDGE, 0)], fill=_PALE)
    carrier = (record.meta_info or {}).get("carrier", "")
    title = heading_of(", ".join(record.labels) or "no label", carrier, record.AUs)
    beside = f"{record.id}   {_length(record)}"
    right = _fitted(beside, _font(10), width / 2)
    pen.text((width - _EDGE, 2 + _CAPTION / 2), right, font=_font(10, right), fill=SOFT_INK, anchor="rm")
    left = _fitted(title, _font(12), width - 3 * _EDGE - _font(10).getlength(right))
    pen.text((_EDGE, 2 + _CAPTION / 2), left, font=_font(12, left), fill=INK, anchor="lm")
    top = 2 + _CAPTION
    for place, picture in enumerate(pictures if pictures is not None else ()):
        tiled = ImageOps.fit(Image.fromarray(picture), (tile, tile))
        row.paste(tiled, (_EDGE + place * (tile + _GAP), top))
    top += frames_height
    if sound is not None:
        pen.line([(_EDGE, top + _SOUND / 2), (width - _EDGE, top + _SOUND / 2)], fill=_PALE)
        draw_sound(pen, sound, (_EDGE, top + 2, width - _EDGE, top + _SOUND - 4))
        if not np.any(sound):
            pen.text((_EDGE, top + 2), "silent", font=_font(10), fill=_RED)
        top += _SOUND
    for text, colour in [*((line, INK) for line in words), *((fault, _RED) for fault in faults)]:
        pen.text((_EDGE, top + _LINE / 2), text, font=_font(11, text), fill=colour, anchor="lm")
        top += _LINE
    return row


def _open(
    record: Record, video: Video, audio: Audio, columns: int
) -> tuple[NDArray[np.uint8] | None, NDArray[np.float32] | None, list[str]]:
    """Frames, sound and what could not be opened."""
    pictures = sound = None
    faults = []
    try:
        if record.video:
            seen = see(record.video, video)[0]
            places = np.linspace(0, len(seen) - 1, min(columns, len(seen))).round().astype(int)
            pictures = seen[places]
    except MediaError as error:
        faults.append(f"video: {error.reason}")
    try:
        if record.audio:
            sound = hear(record.audio, audio)
    except MediaError as error:
        faults.append(f"sound: {error.reason}")
    return pictures, sound, faults


def _length(record: Record) -> str:
    try:
        seconds = probe(record.video or record.audio).seconds
    except MediaError:
        return ""
    return f"{seconds:.1f} s" if seconds else ""


def _panel(facts: Overview, width: int) -> Image.Image:
    """Counts, histogram of lengths, faults, side by side."""
    panel = Image.new("RGB", (width, _PANEL), PAPER)
    pen = ImageDraw.Draw(panel)
    between = 3 * _EDGE
    third = (width - 2 * _EDGE - 2 * between) // 3
    for place, part in enumerate((_counts, _lengths, _faults)):
        part(pen, facts, _EDGE + place * (third + between), third)
    return panel


def _counts(pen: ImageDraw.ImageDraw, facts: Overview, left: int, width: int) -> None:
    pen.text((left, 14), f"{facts.rows:,} records", font=_font(13), fill=INK)
    for place, (name, count) in enumerate((("video", facts.videos), ("sound", facts.sounds), ("transcript", facts.transcripts))):
        top = 44 + place * 30
        pen.text((left, top), name, font=_font(11), fill=INK)
        share = count / facts.rows if facts.rows else 0.0
        pen.text((left + width, top), f"{count:,}   {_percent(count, facts.rows)}", font=_font(11), fill=SOFT_INK, anchor="ra")
        pen.rectangle((left, top + 16, left + width, top + 20), fill=_PALE)
        if count:
            pen.rectangle((left, top + 16, left + max(1, round(share * width)), top + 20), fill=_BLUE)


def _lengths(pen: ImageDraw.ImageDraw, facts: Overview, left: int, width: int) -> None:
    edges, counts = histogram(facts.seconds)
    if not counts:
        pen.text((left, 14), "no lengths known", font=_font(13), fill=SOFT_INK)
        return
    ordered = sorted(facts.seconds)
    pen.text((left, 14), "length, seconds", font=_font(13), fill=INK)
    middle = ordered[len(ordered) // 2]
    note = f"median {middle:.3g}, {ordered[0]:.3g} to {ordered[-1]:.3g}"
    pen.text((left + width, 16), _fitted(note, _font(10), width - 100), font=_font(10), fill=SOFT_INK, anchor="ra")
    bottom, room, most = _PANEL - 28, _PANEL - 28 - 56, max(counts)
    step = width / len(counts)
    for place, count in enumerate(counts):
        if count:
            high = max(1, round(room * count / most))
            x = left + place * step
            wide = min(step - (1 if step > 4 else 0), 44)
            pen.rectangle((x, bottom - high, x + max(1, wide) - 1, bottom - 1), fill=_BLUE)
            if count == most and most not in counts[:place]:
                pen.text((x + wide / 2, bottom - high - 2), f"{count:,}", font=_font(10), fill=SOFT_INK, anchor="mb")
    pen.line([(left, bottom), (left + width, bottom)], fill=SOFT_INK)
    for x, value, anchor in ((left, edges[0], "la"), (left + width, edges[-1], "ra")):
        pen.text((x, bottom + 4), f"{value:g}", font=_font(10), fill=SOFT_INK, anchor=anchor)


def _faults(pen: ImageDraw.ImageDraw, facts: Overview, left: int, width: int) -> None:
    total = sum(facts.faults.values())
    pen.text(
        (left, 14),
        f"{total:,} broken, silent or still" if total else "no fault found",
        font=_font(13),
        fill=_RED if total else INK,
    )
    if not total:
        pen.text((left, 44), "no file is broken, silent or still", font=_font(11), fill=SOFT_INK)
    for place, (reason, count) in enumerate(list(facts.faults.items())[:_FAULTS]):
        top = 44 + place * 18
        if place == _FAULTS - 1 and len(facts.faults) > _FAULTS:
            pen.text((left, top), f"and {len(facts.faults) - place} other reasons", font=_font(11), fill=SOFT_INK)
            break
        pen.text((left + 34, top), f"{count:,}", font=_font(11), fill=_RED, anchor="ra")
        pen.text((left + 42, top), _fitted(reason, _font(11), width - 42), font=_font(11), fill=INK)


def _percent(count: int, of: int) -> str:
    share = 100 * count / of if of else 0.0
    return "<1 %" if 0 < share < 1 else ">99 %" if 99 < share < 100 else f"{share:.0f} %"


def _wrapped(text: str, width: float) -> list[str]:
    """Up to `_WORDS` lines of a transcript in quotation marks; a line of its own where no font has its characters."""
    text = " ".join(text.split())
    if not text:
        return []
    if not _drawable(text):
        return [f"a transcript of {len(text)} characters, which no font on this machine has"]
    font = _font(11, text)
    lines: list[str] = []
    rest = f"“{text}”"
    while rest and len(lines) < _WORDS:
        last = len(lines) == _WORDS - 1
        if font.getlength(rest) <= width:
            lines.append(rest)
            break
        if last:
            lines.append(_fitted(rest, font, width))
            break
        end = _fits(rest, font, width)
        blank = rest.rfind(" ", 0, end + 1)
        cut = blank if blank > end // 2 else end
        lines.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return lines


def _fits(text: str, font: Any, width: float) -> int:
    """How many characters of `text` fit into `width`."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if font.getlength(text[:middle]) <= width else (low, middle - 1)
    return low


def _fitted(text: str, font: Any, width: float) -> str:
    if font.getlength(text) <= width:
        return text
    return text[: max(0, _fits(text, font, width - font.getlength("…")))].rstrip() + "…"


def _plain(text: str) -> bool:
    return all(ord(character) < 0x180 or character in "“”‘’…–—" for character in text)


def _drawable(text: str) -> bool:
    return _plain(text) or _font_file() is not None


def _font(size: int, text: str = "") -> Any:
    """Pillow's own font for Latin text; another script takes one of the machine's fonts, where there is one."""
    file = None if _plain(text) else _font_file()
    return _cached_font(size, file)


@lru_cache(maxsize=32)
def _cached_font(size: int, file: str | None) -> Any:
    return ImageFont.load_default(size) if file is None else ImageFont.truetype(file, size)


@lru_cache(maxsize=1)
def _font_file() -> str | None:
    """A font of this machine that has Chinese, Japanese and Korean characters."""
    from matplotlib.font_manager import findSystemFonts

    files = {Path(file).name.lower(): file for file in sorted(findSystemFonts())}
    return next((file for name in _WIDE_FONTS for known, file in files.items() if name in known), None)
