"""Studies: a question, the jobs that answer it, and the figure that shows the answer; `experiments/<name>/study.yaml`."""

from facial_r1.studies.study import Panel, Point, Study, load_study

__all__ = ["Panel", "Point", "Study", "load_study"]
