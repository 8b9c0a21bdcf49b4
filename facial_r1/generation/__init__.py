"""Engines that write completions outside of training."""
