"""`python -m facial_r1`: the same as the console script `facial-r1`."""

from __future__ import annotations

from facial_r1.app import main

if __name__ == "__main__":
    raise SystemExit(main())
