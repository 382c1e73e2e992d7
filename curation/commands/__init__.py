"""The commands of `curate`, one file each, with a click command called `command`: parse, call the library, print.

Listed, with their one-line help, in curation.cli.COMMANDS; a file is imported when its command runs.
"""
