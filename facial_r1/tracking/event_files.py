"""TensorBoard event files, written with TensorBoard's own protocol buffers (no torch, no TensorFlow)."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from facial_r1.errors import InputError
from facial_r1.tracking.base import Lineage
from facial_r1.tracking.names import dashboard_name, summary_scalars
from facial_r1.tracking.redaction import redact
from facial_r1.tracking.thumbnails import thumbnail

if TYPE_CHECKING:
    from facial_r1.config.schema import Tracker as TrackerConfig


class TensorBoardTracker:
    """Writes `tensorboard/` in the run directory. Look with `tensorboard --logdir outputs`."""

    name = "tensorboard"

    def __init__(self, config: TrackerConfig, run_dir: Path, resolved: Mapping[str, Any], lineage: Lineage) -> None:
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError as error:
            raise InputError(
                "tracker=tensorboard needs TensorBoard: run `pip install tensorboard`, or use tracker=jsonl"
            ) from error
        self._event, self._summary = event_pb2.Event, summary_pb2
        self._tensor, self._string = tensor_pb2.TensorProto, types_pb2.DT_STRING
        self._faces = config.log_faces
        self._step = 0
        self._writer = EventFileWriter(str(run_dir / "tensorboard"))
        import yaml

        described = yaml.safe_dump({"lineage": redact(dict(lineage)), **redact(resolved)}, sort_keys=False)
        self._text(0, "lineage/config", "    " + described.replace("\n", "\n    "))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log one step's scalars, names grouped by section."""
        self._step = max(self._step, step)
        value = self._summary.Summary.Value
        self._add(step, [value(tag=dashboard_name(name), simple_value=float(number)) for name, number in values.items()])

    def table(self, step: int, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Log rows as a Markdown table in the text tab, without images."""
        columns = [column for column in dict.fromkeys(key for row in rows for key in row) if column != "image"]
        if columns:
            lines = [columns, ["---"] * len(columns), *([_cell(row.get(column)) for column in columns] for row in rows)]
            self._text(step, f"samples/{name}", "\n".join("| " + " | ".join(line) + " |" for line in lines))

    def image(self, step: int, name: str, path: Path, face: bool = False) -> None:
        """Log a figure; a face (as a thumbnail) only when faces are allowed."""
        if face and not self._faces:
            return
        encoded = thumbnail(path, 256) if face else path.read_bytes()
        with Image.open(io.BytesIO(encoded)) as picture:
            width, height = picture.size
        shown = self._summary.Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=encoded)
        self._add(step, [self._summary.Summary.Value(tag=dashboard_name(name), image=shown)])

    def alert(self, title: str, text: str) -> None:
        """Alerts go to the text tab."""
        self._text(self._step, "alerts", f"**{title}** {text}")

    def finish(self, state: str, summary: Mapping[str, Any]) -> None:
        """Write the final figures at the last step and close."""
        value = self._summary.Summary.Value
        self._add(self._step, [value(tag=tag, simple_value=number) for tag, number in summary_scalars(summary).items()])
        self._text(self._step, "lineage/state", state)
        self._writer.close()

    def _text(self, step: int, tag: str, text: str) -> None:
        metadata = self._summary.SummaryMetadata(plugin_data=self._summary.SummaryMetadata.PluginData(plugin_name="text"))
        tensor = self._tensor(dtype=self._string, string_val=[text.encode()])
        self._add(step, [self._summary.Summary.Value(tag=tag, metadata=metadata, tensor=tensor)])

    def _add(self, step: int, values: list[Any]) -> None:
        if values:
            summary = self._summary.Summary(value=values)
            self._writer.add_event(self._event(wall_time=time.time(), step=step, summary=summary))


def _cell(value: Any) -> str:
    return str("" if value is None else value).replace("|", "\\|").replace("\n", " ")
