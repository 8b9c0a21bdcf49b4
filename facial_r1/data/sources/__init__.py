"""Datasets as their owners distribute them, each read by one module into records.

A module registers its reader with `facial_r1.data.sources.registry.source`; the protocol of the same name (labels, action
units, folds, counts, licence) is a YAML file in `facial_r1/data/protocols`, the configuration one in `conf/data`.
"""

from __future__ import annotations

import importlib

from facial_r1.data.sources.registry import (
    Reading,
    Source,
    checked_options,
    find,
    layout_error,
    names,
    read_source,
    source,
)

MODULES = (
    "affectnet",
    "bp4d",
    "ck_plus",
    "disfa",
    "expw",
    "faba",
    "fea_20k",
    "fer2013",
    "ferbench",
    "ferplus",
    "gft",
    "mer",
    "raf_au",
    "raf_db",
    "sfew",
    "unifer",
)
"""One module a dataset, in alphabetical order."""

for _module in MODULES:
    importlib.import_module(f"facial_r1.data.sources.{_module}")

__all__ = ["MODULES", "Reading", "Source", "checked_options", "find", "layout_error", "names", "read_source", "source"]
