"""Secrets never leave with a configuration."""

from __future__ import annotations

import pytest

from facial_r1.tracking import redact
from facial_r1.tracking.redaction import HIDDEN


@pytest.mark.parametrize(
    "key", ["api_key", "apikey", "wandb_api_key", "HF_TOKEN", "hub_token", "password", "client_secret", "Authorization", "token"]
)
def test_texts_under_a_secret_name_are_hidden(key: str) -> None:
    assert redact({"a": [{key: "abc"}]}) == {"a": [{key: HIDDEN}]}


@pytest.mark.parametrize(
    "entry",
    [
        {"eos_token": "<|im_end|>"},
        {"max_new_tokens": 256},
        {"tokenizer": "bpe"},
        {"keep_keys": "x"},
        {"api_key": None},
        {"secret": True},
        {"token": ""},
    ],
)
def test_other_entries_are_kept(entry: dict[str, object]) -> None:
    assert redact(entry) == entry


@pytest.mark.parametrize("secret", ["hf_" + "a" * 30, "sk-" + "b" * 30, "ghp_" + "c" * 36, "AKIA" + "D" * 16])
def test_known_key_shapes_are_hidden_anywhere(secret: str) -> None:
    assert secret not in str(redact({"note": f"use {secret} please"}))


def test_passwords_in_urls_are_hidden() -> None:
    found = redact({"url": "https://me:hunter2@example.org/x"})  # pragma: allowlist secret
    assert found == {"url": f"https://me:{HIDDEN}@example.org/x"}


def test_the_argument_is_not_changed() -> None:
    tree = {"a": {"password": "x"}}
    redact(tree)
    assert tree == {"a": {"password": "x"}}
