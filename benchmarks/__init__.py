"""The studies of svlearn, a folder each: `python -m benchmarks` lists them.

A folder with a `run.py` is a study (`benchmarks.common.command` says what that module holds); the others hold what
several studies share.
"""
