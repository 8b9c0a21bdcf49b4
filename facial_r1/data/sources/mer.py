"""The sets of OV-MER, AffectGPT and the MER challenges: clips with emotion words, as frames or video and sound, and transcript.

Labels, descriptions and subtitles are the owners' CSV files, by clip name (`facial_r1.data.ovmer`). `media` says how clips are read.
Under ``frames`` as pictures: a folder of frames for each (``frames/<name>/*.jpg``, for example by ``ffmpeg -i <name>.mp4 -vf fps=4
frames/<name>/%04d.jpg``), of which `frames` are taken at equal distances, first and last included; sound and video files are not read.
Under ``video`` as the owners' files, ``video/<name>.mp4`` and ``audio/<name>.wav``; without a folder of sound, the sound tracks of the
videos are used. Under ``faces`` the pictures are the owners' arrays of face crops, ``openface_face/<name>.npy`` or
``openface_face/<name>/<name>.npy``. A clip without labels is left out, where the owners' loader calls it neutral, which no wheel has.

Of MER-UniBench's other sets, MER2023, MER2024, MELD and IEMOCAP have one word for each clip (scored by HIT), the sentiment sets (CMU-MOSI,
CMU-MOSEI, CH-SIMS and its v2) a number, which stands in ``meta_info.val``: their clips have no labels, are answered, and no wheel scores them.
The set ``mer_unibench`` is all nine below one folder, every clip of their test parts; ``protocol=mer_unibench`` scores the answers
(`facial_r1.data.unibench`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

from facial_r1.data.locate import absolute
from facial_r1.data.ovmer import exclude_names, read_labels, read_names, read_texts
from facial_r1.data.problems import Problem
from facial_r1.data.record import Record
from facial_r1.data.sources.listing import first_file, first_folder, pictures
from facial_r1.data.sources.options import at_least
from facial_r1.data.sources.registry import Reading, layout_error, source
from facial_r1.data.unibench import NINE, SETS, folder_of, read_truths, truth_files
from facial_r1.errors import InputError

Set = Literal[
    "mercaptionplus", "mer_ov", "ovmerd", "ovmerdplus", "mer2023", "mer2024", "meld", "iemocap",
    "cmumosi", "cmumosei", "sims", "simsv2", "mer_unibench",
]  # fmt: skip
Overlapping = Literal["note", "exclude"]
Media = Literal["frames", "video", "faces"]

QUESTION = "Please recognize all possible emotional states of the character."
"""AffectGPT's question for labels (released code)."""

TEST_NAMES = ("ovmerdplus_names.csv", "ovmerdplus-process/ovlabel.csv", "ovlabel.csv")
"""Where the 532 names of OV-MERD+ are looked for."""

SUBTITLES = ("subtitle_chieng.csv", "ovmerdplus-process/subtitle_eng.csv", "subtitle_eng.csv", "transcription-engchi-polish.csv",
             "transcription_merge.csv")  # fmt: skip
HUMAN = "track2_train_human.csv"

VIDEOS = ("video", "videos", "ovmerdplus-process/video", "subvideo")
FACES = ("openface_face", "ovmerdplus-process/openface_face")
SOUNDS = ("audio", "audios", "ovmerdplus-process/audio", "subaudio")
"""Folders that clips are looked for in."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Files of a set: names that its labels, and descriptions, may have; the side that the rows are on; official rows."""

    labels: tuple[str, ...]
    reasons: tuple[str, ...]
    side: Literal["train", "test"]
    count: int


LAYOUTS: dict[str, _Layout] = {
    "mercaptionplus": _Layout(("track2_train_mercaptionplus.csv",), ("track3_train_mercaptionplus.csv",), "train", 31327),
    "mer_ov": _Layout((HUMAN,), (), "train", 1000),
    "ovmerd": _Layout(("track2_train_ovmerd.csv", "check-openset.csv"), ("track3_train_ovmerd.csv",), "test", 332),
    "ovmerdplus": _Layout(("ovmerdplus-process/ovlabel.csv", "ovlabel.csv"), (), "test", 532),
}
CORPORA = tuple(name for name, one in SETS.items() if one.part)
"""Sets whose labels lie in ``label*.npz``, a word or a number for each clip, as MER-UniBench tests on them (`facial_r1.data.unibench`)."""
BENCHMARK = "mer_unibench"
"""All nine sets of MER-UniBench."""


@dataclass(frozen=True, slots=True)
class _Options:
    """What the reader is told, see `read`; `whole` keeps clips without labels, as neutral, so that all are answered."""

    frames: int
    frames_folder: str | None
    labels: str | None
    reasons: str | None
    subtitles: str | None
    language: Literal["english", "chinese"]
    test_names: str | None
    overlapping: Overlapping
    media: Media
    video_folder: str | None
    audio_folder: str | None
    whole: bool = False


@source(
    "mer",
    line="MER-Caption+, MER2025-OV, OV-MERD(+) and the nine sets of MER-UniBench: clips as frames or video and sound",
    layout="""
track2_train_mercaptionplus.csv, track3_train_mercaptionplus.csv    name, openset; name, reason    (set: mercaptionplus)
track2_train_human.csv, ovmerdplus_names.csv                        name, openset; name            (set: mer_ov)
track2_train_ovmerd.csv or check-openset.csv                        name, openset                  (set: ovmerd)
ovmerdplus-process/ovlabel.csv                                      name, openset                  (set: ovmerdplus)
label*.npz                                                          <part>_corpus: name to emo, val (sets: mer2023, mer2024, meld, iemocap,
                                                                    cmumosi, cmumosei, sims, simsv2)
mer2023-dataset-process/, meld-process/, sims-process/, ...         the folders of all nine         (set: mer_unibench)
subtitle_chieng.csv                                                 name, chinese, english
frames/<name>/*.jpg                                                 the clip's frames in order     (media: frames)
video/<name>.mp4, audio/<name>.wav                                  also videos/, audios/, ovmerdplus-process/ (media: video)
openface_face/<name>.npy or <name>/<name>.npy, audio/<name>.wav     face crops, uint8 [T, H, W, 3] (media: faces)
""",
)
def read(
    root: Path,
    set: Set = "ovmerd",
    frames: int = 8,
    frames_folder: str | None = None,
    labels: str | None = None,
    reasons: str | None = None,
    subtitles: str | None = None,
    language: Literal["english", "chinese"] = "english",
    test_names: str | None = None,
    overlapping: Overlapping = "note",
    media: Media = "frames",
    video_folder: str | None = None,
    audio_folder: str | None = None,
) -> Reading:
    """Read one of the sets, or the nine of MER-UniBench (`set` ``mer_unibench``).

    Args:
        root: The folder with the owner's files; for ``mer_unibench`` the one that holds the owners' folders.
        set: Which one.
        frames: Pictures a clip, at equal distances; a clip with fewer gives all that it has.
        frames_folder: Where the folders of frames lie; by default ``frames`` in `root`.
        labels: The label file, where it is not where the layout says; likewise the next two.
        reasons: Descriptions, for supervised fine-tuning.
        subtitles: What is said.
        language: Column of the subtitles; the other one where it is empty.
        test_names: A CSV with the names of OV-MERD+. mer_ov is without them; mercaptionplus is compared with them.
        overlapping: For mercaptionplus: ``note`` counts clips that have human labels (training or test of the later phases) or are in
            OV-MERD+, ``exclude`` leaves them out. 548 of 1,532 are known to be in both.
        media: ``frames`` for folders of pictures, ``video`` for video and sound files, ``faces`` for arrays of face crops and sound files.
        video_folder: Where the video files, or arrays, lie; by default the first of `VIDEOS` or `FACES` in `root`.
        audio_folder: Where the sound files lie; by default the first of `SOUNDS` in `root`. Without one, a video is heard by its own sound
            track.

    Raises:
        InputError: `root` does not hold what the set needs.
    """
    at_least("frames", frames, 1)
    options = _Options(
        frames, frames_folder, labels, reasons, subtitles, language, test_names, overlapping, media, video_folder, audio_folder
    )
    return _read_nine(root, options) if set == BENCHMARK else _read_set(root, set, options)


def _read_nine(root: Path, options: _Options) -> Reading:
    """The sets of MER-UniBench whose folders there are, one after the other, each as it is read alone."""
    for key in ("labels", "frames_folder", "video_folder", "audio_folder", "subtitles"):
        given = getattr(options, key)
        if given and (key in ("labels", "frames_folder") or Path(given).expanduser().is_absolute()):
            fix = "leave it null" if key in ("labels", "frames_folder") else "name it as it is called in each owner's folder"
            raise InputError(
                f"data.options.{key}={given}: set=mer_unibench reads the folders of nine owners; {fix}, or read one set"
            )
    files = truth_files(str(root), NINE)
    absent = {name: folder_of(name, root) for name in NINE if name not in files}
    for name, folder in absent.items():
        if folder is not None:
            raise layout_error("mer", root, f"{folder.name}/ has no label file of {name} ({SETS[name].files[0]})")
    listed = ", ".join(f"{name} ({SETS[name].folder}/)" for name in absent)
    if not files:
        raise layout_error("mer", root, f"none of the folders of MER-UniBench is there: {listed}")
    whole = Reading()
    if absent:
        whole.notes.append(f"not there, and left out of MER-UniBench: {listed}; without them there is no mean of nine sets")
    for name, file in files.items():
        one = _read_set(file.parent, name, replace(options, labels=str(absolute(file)), whole=True))
        whole.records += one.records
        whole.problems += one.problems
        whole.excluded += one.excluded
        whole.files += one.files
        whole.notes += [f"{name}: {note}" for note in one.notes]
    whole.official = {"test": sum(SETS[name].clips for name in files)}
    return whole


def _read_set(root: Path, which: str, options: _Options) -> Reading:
    reading = Reading()
    media = options.media
    folder = _pictures_folder(root, media, options.frames_folder, options.video_folder)
    sounds = None if media == "frames" else _sounds_folder(root, media, options.audio_folder, reading)
    found, values, file = _labelled(root, which, options.labels, reading)
    rows = dict(found)
    if which == "mer_ov":
        rows = _without_test(root, rows, options.test_names, reading)
    if which == "mercaptionplus":
        rows = _compared(root, rows, options.test_names, options.overlapping, reading)
    spoken = _spoken(root, options.subtitles, options.language, reading)
    written = _reasons(root, which, options.reasons, reading)
    side = LAYOUTS[which].side if which in LAYOUTS else "test"
    lines = {name: number for number, name in enumerate(found, start=2)}
    silent = 0
    for name, listed in rows.items():
        words = listed or (["neutral"] if options.whole and name not in values else [])
        if not words and name not in values:
            reading.excluded["no label"] += 1
            continue
        images = frames_of(folder, name, options.frames) if media == "frames" else ()
        video = "" if media == "frames" else clip_file(folder, name, FACE_SUFFIXES if media == "faces" else CLIP_SUFFIXES)
        audio = clip_file(sounds, name, SOUND_SUFFIXES) if sounds is not None else ""
        problem = _missing(folder, sounds, name, media, bool(images or video), bool(audio))
        if problem is not None:
            reading.problems.append(Problem(str(file), lines[name], "name", *problem))
            continue
        silent += not spoken.get(name, "").strip()
        record = _record(which, name, words, images, spoken.get(name, ""), written.get(name, ""), side, f"{file}:{lines[name]}")
        if name in values:
            record = replace(record, meta_info={**record.meta_info, "val": values[name]})
        reading.records.append(replace(record, video=video, audio=audio) if video else record)
    if silent:
        reading.notes.append(f"{silent} clips have no transcript; their prompts say nothing about what is said")
    return reading


def frames_of(folder: Path, name: str, count: int) -> tuple[str, ...]:
    """Up to `count` frames of a clip at equal distances, first and last included; () without any.

    A picture ``<name>.jpg`` beside the folders stands for a clip of one frame.
    """
    clip = folder / name
    if not clip.is_dir():
        one = first_file(folder, f"{name}.jpg", f"{name}.png")
        return (str(one),) if one else ()
    listed = pictures(clip)
    if len(listed) > count:
        places = (
            [round(place * (len(listed) - 1) / max(1, count - 1)) for place in range(count)] if count > 1 else [len(listed) // 2]
        )
        listed = [listed[place] for place in places]
    return tuple(str(clip / picture) for picture in listed)


CLIP_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".flv")
FACE_SUFFIXES = (".npy",)
SOUND_SUFFIXES = (".wav", ".flac", ".mp3", ".m4a")


def clip_file(folder: Path, name: str, suffixes: Iterable[str]) -> str:
    """The file of a clip, ``<name>.mp4`` or ``<name>/<name>.mp4`` (as openface_face has it); "" without one."""
    tries = [place for suffix in suffixes for place in (f"{name}{suffix}", f"{name}/{name}{suffix}")]
    found = first_file(folder, *tries)
    return "" if found is None else str(found)


def _pictures_folder(root: Path, media: Media, frames_folder: str | None, video_folder: str | None) -> Path:
    if media == "frames":
        folder = absolute(frames_folder) if frames_folder else root / "frames"
        if not folder.is_dir():
            raise layout_error("mer", root, f"there is no folder of frames {folder} (data.options.frames_folder names it)")
        return folder
    names = FACES if media == "faces" else VIDEOS
    found = absolute(root / video_folder) if video_folder else first_folder(root, *names)
    if found is None or not found.is_dir():
        looked = str(found) if found is not None else " or ".join(f"{name}/" for name in names)
        raise layout_error("mer", root, f"there is no {looked} for media={media} (data.options.video_folder names it)")
    return found


def _sounds_folder(root: Path, media: Media, audio_folder: str | None, reading: Reading) -> Path | None:
    found = absolute(root / audio_folder) if audio_folder else first_folder(root, *SOUNDS)
    if found is None:
        own = "the sound tracks of the videos are used" if media == "video" else "the clips have no sound"
        reading.notes.append(f"there is no folder of sound ({', '.join(SOUNDS)}; data.options.audio_folder names it): {own}")
        return None
    if not found.is_dir():
        raise InputError(f"data.options.audio_folder: {found}: no such folder")
    return found


def _missing(folder: Path, sounds: Path | None, name: str, media: Media, seen: bool, heard: bool) -> tuple[str, str] | None:
    """Reason and fix for a clip without its files; None when they are there."""
    if not seen and media == "frames":
        return f"the clip {name!r} has no frames", f"put its frames into {folder / name}/ as pictures, or set data.on_error=skip"
    if not seen:
        suffix = ".npy" if media == "faces" else ".mp4"
        return f"the clip {name!r} has no {media} file", f"put it at {folder / name}{suffix}, or set data.on_error=skip"
    if sounds is not None and not heard:
        return f"the clip {name!r} has no sound file", f"put it at {sounds / name}.wav, or set data.on_error=skip"
    return None


def _labelled(
    root: Path, which: str, given: str | None, reading: Reading
) -> tuple[Mapping[str, list[str]], Mapping[str, float], Path]:
    """Words by clip name in the owner's order, numbers where the set has them in place of words, and the file."""
    if which in CORPORA:
        owners = [place.rpartition("/")[2] for place in SETS[which].files]
        file = absolute(root / given) if given else first_file(root, *owners) or next(iter(sorted(root.glob("label*.npz"))), None)
        if file is None or not file.is_file():
            raise layout_error("mer", root, f"there is no label*.npz for the set {which} (data.options.labels names it)")
        reading.files.append(file)
        reading.official = {"test": SETS[which].clips}
        truths = read_truths(which, file)
        if SETS[which].kind == "sentiment":
            return {name: [] for name in truths}, {name: float(value) for name, value in truths.items()}, file
        return {name: [str(word)] if word else [] for name, word in truths.items()}, {}, file
    layout = LAYOUTS[which]
    file = absolute(root / given) if given else first_file(root, *layout.labels)
    if file is None or not file.is_file():
        raise layout_error(
            "mer", root, f"there is no {' or '.join(layout.labels)} for the set {which} (data.options.labels names it)"
        )
    reading.files.append(file)
    reading.official = {layout.side: layout.count}
    return read_labels(file), {}, file


def _without_test(root: Path, rows: Mapping[str, list[str]], given: str | None, reading: Reading) -> dict[str, list[str]]:
    file = absolute(root / given) if given else first_file(root, *TEST_NAMES)
    if file is None or not file.is_file():
        raise layout_error(
            "mer",
            root,
            "there is no list of the clips of OV-MERD+, which must not be trained on (data.options.test_names names it)",
        )
    reading.files.append(file)
    kept, report = exclude_names(rows, read_names(file))
    reading.excluded["is in OV-MERD+"] += report.removed
    reading.notes.append(f"{file.name}: {report}")
    return kept


def _compared(
    root: Path, rows: Mapping[str, list[str]], given: str | None, overlapping: Overlapping, reading: Reading
) -> dict[str, list[str]]:
    """Rows of the cold start, compared with clips that have human labels."""
    files = [absolute(root / given) if given else first_file(root, *TEST_NAMES), first_file(root, HUMAN)]
    kept = dict(rows)
    for file, what in zip(files, ("in OV-MERD+", "labelled by people"), strict=True):
        if file is None or not file.is_file():
            continue
        reading.files.append(file)
        left, report = exclude_names(kept, read_names(file))
        reading.notes.append(f"{file.name}: {report.removed} of {report.before} clips are {what}")
        if overlapping == "exclude":
            kept = left
            reading.excluded[f"is {what}"] += report.removed
    if not any(file is not None and file.is_file() for file in files):
        reading.notes.append(
            "not compared with the clips of the tests: data.options.test_names=<names of OV-MERD+> looks for overlap"
        )
    return kept


def _spoken(root: Path, given: str | None, language: str, reading: Reading) -> dict[str, str]:
    """Transcripts by clip name; the other language where one is empty."""
    file = absolute(root / given) if given else first_file(root, *SUBTITLES)
    if file is None:
        reading.notes.append("there is no file of subtitles (data.options.subtitles names it)")
        return {}
    if not file.is_file():
        raise InputError(f"data.options.subtitles: {file}: no such file")
    reading.files.append(file)
    if file.name == "subtitle_eng.csv":
        return read_texts(file, "sentence")
    first, other = read_texts(file, language), read_texts(file, "chinese" if language == "english" else "english")
    return {name: text.strip() or other.get(name, "").strip() for name, text in first.items()}


def _reasons(root: Path, which: str, given: str | None, reading: Reading) -> dict[str, str]:
    known = LAYOUTS[which].reasons if which in LAYOUTS else ()
    file = absolute(root / given) if given else first_file(root, *known)
    if file is None:
        return {}
    if not file.is_file():
        raise InputError(f"data.options.reasons: {file}: no such file")
    reading.files.append(file)
    return read_texts(file, "reason")


def _record(
    which: str, name: str, words: Iterable[str], images: tuple[str, ...], transcript: str, reason: str, side: str, place: str
) -> Record:
    listed = tuple(dict.fromkeys(word.strip().lower() for word in words if word.strip()))
    thinking = " ".join(reason.split())
    return Record(
        id=f"{which}/{name}",
        dataset=which,
        images=images,
        question=QUESTION,
        AUs=None,
        labels=listed,
        description=f"<think>{thinking}</think><answer>{', '.join(listed)}</answer>" if thinking else "",
        split=side,
        transcript=" ".join(transcript.split()),
        meta_info=cast(dict[str, Any], {"clip": name}),
        source=place,
    )
