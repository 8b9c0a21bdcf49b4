"""The text around an image, and the text that comes back."""

from __future__ import annotations

from facial_r1.prompts.completion import Parsed, parse
from facial_r1.prompts.mentions import Mention, find_mentions
from facial_r1.prompts.template import Prompt, completion_messages, hides_transcript, messages, render

__all__ = [
    "Mention",
    "Parsed",
    "Prompt",
    "completion_messages",
    "find_mentions",
    "hides_transcript",
    "messages",
    "parse",
    "render",
]
