"""Takes secrets out of configurations before they are shown or sent anywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "(hidden)"

_SECRET_KEY = re.compile(
    r"(^|_)(api_?key|access_?key|secret(_?key)?|private_?key|password|passwd|credentials?|authorization|bearer|"
    r"(api|auth|access|hub|hf|login|session|wandb|bot)_?token)($|_)|^token$",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"\b(sk-[A-Za-z0-9_-]{16,}|hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|"
    r"AKIA[0-9A-Z]{16}|xox[abpr]-[\w-]{10,}|wandb_v\d_\w{16,})"
)
_URL_PASSWORD = re.compile(r"(\w+://[^\s/:@]+:)[^\s/@]+@")


def redact(tree: Any) -> Any:
    """A copy of a configuration without secrets.

    A text under a key that names a secret (`api_key`, `password`, `hub_token`, ...; not `eos_token` or
    `max_new_tokens`) becomes "(hidden)", as do access keys of well-known services inside any text and passwords in
    URLs. Numbers, booleans and null are kept.

    Args:
        tree: mappings, lists and scalars, as `omegaconf.OmegaConf.to_container` gives them.
    """
    if isinstance(tree, Mapping):
        return {
            key: HIDDEN if isinstance(value, str) and value and _SECRET_KEY.search(str(key)) else redact(value)
            for key, value in tree.items()
        }
    if isinstance(tree, (list, tuple)):
        return [redact(value) for value in tree]
    if isinstance(tree, str):
        return redact_text(tree)
    return tree


def redact_text(text: str) -> str:
    """The text with access keys of well-known services and passwords in URLs hidden."""
    return _URL_PASSWORD.sub(rf"\1{HIDDEN}@", _SECRET_VALUE.sub(HIDDEN, text))
