"""For detect-secrets (`make lint`): tokens of the Hugging Face hub, which it does not know."""

import re

from detect_secrets.plugins.base import RegexBasedDetector


class HubTokenDetector(RegexBasedDetector):
    """hf_ and at least 30 letters and digits."""

    secret_type = "Hugging Face token"  # pragma: allowlist secret
    denylist = (re.compile(r"\bhf_[A-Za-z0-9]{30,}"),)
