"""What every HTML page of ours is made of: one file with its style, its script and its data inside, loading nothing."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

_TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, data: Any, *, styles: tuple[str, ...], scripts: tuple[str, ...], **values: Any) -> str:
    """A page as text. The browser runs the page's own script only: its hash is in the content security policy.

    Args:
        template: a file in `templates/`; it is given `style`, `script`, `script_digest`, `data` and `values`.
        data: what the script reads, as JSON; NaN is refused (ValueError).
        styles: files in `templates/`, in order.
        scripts: files in `templates/`, in order, behind what all pages share.
        values: what else the template shows; escaped by it.
    """
    code = "\n".join(['"use strict";', "(() => {", *(_read(name) for name in ("shared.js", *scripts)), "})();"])
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(
        style=Markup("\n".join(_read(name) for name in styles)),
        script=Markup(code),
        script_digest=base64.b64encode(hashlib.sha256(code.encode()).digest()).decode(),
        data=embedded(data),
        **values,
    )


def embedded(data: Any) -> Markup:
    """JSON that cannot end the script element it stands in, whatever the texts contain."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _read(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")
