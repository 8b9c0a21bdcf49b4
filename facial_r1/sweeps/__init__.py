"""Sweeps: many jobs from one command, in one folder, resumable, with one table. See docs/sweeps.md.

`driver.run_many` is the entry. `expand` makes jobs of overrides, `trees` composes them, `snapshot` keeps what they were composed
to and notices edits, `journal` says where each stands, `pool` runs them, `table` closes the sweep. `search` lets optuna choose
points, `plugins` hands the jobs to a launcher or sweeper of Hydra.
"""
