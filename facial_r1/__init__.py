"""facial_r1: the R1 recipe for emotion understanding with vision-language models.

SFT, GRPO with verifiable rewards, iterative data synthesis and evaluation, as one Hydra application.
Importing this package is cheap: torch, transformers and trl are imported by the parts that need them.
"""

from __future__ import annotations

from facial_r1.errors import InputError

__version__ = "0.1.0"

__all__ = ["InputError", "__version__"]
