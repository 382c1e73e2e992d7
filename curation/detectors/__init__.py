"""Kinds of issue: one file each, with a `find` function and a DETECTOR record."""
