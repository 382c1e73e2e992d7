"""FiftyOne, both ways: a version with what a run found becomes a FiftyOne data set, corrections made there come back.

labels.py     annotations as FiftyOne's documents, and back; plain dictionaries, without the library
library.py    the library and its MongoDB, started in the workspace
sending.py    a version and a run -> FiftyOne data set
pulling.py    what differs there from what was sent -> decisions

The library is an extra (`pip install curate[fiftyone]`); nothing here imports it before it is used.
"""
