"""Formats that a data set can come in: one file each, with `load(source, **options) -> Records`."""
