"""Errors that a user can mend, told apart from faults of ours."""

from __future__ import annotations


class InputError(Exception):
    """Wrong configuration or data.

    The message is shown alone, without a traceback, and the process ends with exit code 2. It names the
    file, line and field where that applies, and the fix.
    """


class Busy(InputError):
    """Another live process is working on the same run; its state is left alone."""
