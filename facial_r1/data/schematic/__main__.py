"""``python -m facial_r1.data.schematic docs/images/schematic_faces.png`` rebuilds the picture of the README."""

from __future__ import annotations

import sys

from facial_r1.data.schematic.contact_sheet import ORDER, contact_sheet, selection


def main() -> None:
    """Write the picture of the README to the path given."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m facial_r1.data.schematic PATH.png")
    sheet = contact_sheet(selection(), columns=len(ORDER))
    # Seven bits a channel cannot be told from eight here and compress better.
    sheet.point([(level >> 1) * 255 // 127 for level in range(256)] * 3).save(sys.argv[1], optimize=True)


if __name__ == "__main__":
    main()
