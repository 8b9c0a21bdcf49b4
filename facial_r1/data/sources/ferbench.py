"""FERBench: 11,072 questions about faces of RAF-DB, FER+, AffectNet and SFEW 2.0, as its four question files are.

Zhang et al., *Rethinking Facial Expression Recognition in the Era of Multimodal Large Language Models* (UniFER, arXiv 2511.00389).
The question files come from the authors' repository, the pictures from the owners of the four datasets, in their own layouts.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from facial_r1.data.ferbench import DATASETS, QUESTIONS, dataset_name, question_files, read_questions
from facial_r1.data.ferbench_images import PictureFinder
from facial_r1.data.locate import absolute
from facial_r1.data.problems import Problem
from facial_r1.data.sources.registry import Reading, layout_error, source

_BESIDE = ("", "FERBench", "ferbench", "questions")


@source(
    "ferbench",
    line="FERBench: questions with candidate labels about RAF-DB, FER+, AffectNet and SFEW 2.0; for testing only",
    layout="""
rafdb_qa.json, ferplus_qa.json, affectnet_qa.json, sfew_2.0_qa.json     data.options.questions names their folder if it is another
RAF-DB/aligned/test_0001_aligned.jpg                                    or RAF-DB/basic/Image/aligned/..., or basic/Image/aligned/...
FERPlus/test/angry/fer0032225.png                                       or FER2013Test/fer0032225.png, in FERPlus/ or not
AffectNet/Manually_Annotated/validation/<number>/<hash>.jpg             or Manually_Annotated_Images/<number>/<hash>.<any ending>
SFEW-2.0/Val/Val_Aligned_Faces/Angry/<name>.png                         or Val_Aligned_Faces/Angry/..., in Val/ or not
""",
)
def read(
    root: Path,
    questions: str | list[str] | None = None,
    datasets: list[str] | None = None,
    roots: dict[str, str] | None = None,
) -> Reading:
    """Read FERBench.

    Args:
        root: The folder above the pictures of all four datasets.
        questions: Folder with the question files, or the files; by default they are looked for in `root`.
        datasets: Only these, of affectnet, rafdb, ferplus and sfew; by default all that have a question file.
        roots: A folder of its own for the pictures of a dataset: {affectnet: /other/disk/AffectNet}.
    """
    where = _questions(root, questions)
    wanted = [dataset_name(name) for name in datasets] if datasets else list(DATASETS)
    reading = Reading(files=question_files(where))
    finder = PictureFinder(root, roots)
    found = read_questions(where, reading.problems)
    lost: Counter[str] = Counter()
    for name in DATASETS:
        asked = found.get(name, [])
        if name not in wanted:
            if asked:
                reading.excluded[f"{name}: not among data.options.datasets"] += len(asked)
            continue
        if asked and len(asked) != QUESTIONS[name]:
            reading.notes.append(f"{name}: {len(asked)} questions where the published file holds {QUESTIONS[name]}")
        problems: list[Problem] = []
        for question in asked:
            path = finder.find(question.image_path, name)
            if path is None:
                file, _, line = question.place.rpartition(":")
                reason = (
                    f"the picture {question.image_path} is missing; looked for {finder.places(question.image_path, name)[0]}, ..."
                )
                fix = f"unpack the dataset below data.root, or name its folder: data.options.roots.{name}=/path"
                problems.append(Problem(file, int(line), "image_path", reason, fix))
                lost[name] += 1
            else:
                reading.records.append(question.to_record([path]))
        if asked and lost[name] == len(asked):
            looked = ", ".join(finder.places(asked[0].image_path, name))
            fix = f"set data.options.roots.{name}=/path, or choose others with data.options.datasets"
            problems = [Problem(str(root), 0, name, f"no picture of {len(asked)} questions is there; looked for {looked}", fix)]
        reading.problems += problems
    reading.official = {"test": sum(QUESTIONS[name] for name in wanted if name in found)}
    return reading


def _questions(root: Path, given: str | list[str] | None) -> list[Path]:
    if given:
        return [absolute(path) for path in ([given] if isinstance(given, str) else given)]
    for name in _BESIDE:
        files = sorted((root / name).glob("*_qa.json*"))
        if files:
            return files
    raise layout_error("ferbench", root, "no question file; set data.options.questions=<folder with rafdb_qa.json, ...>")
