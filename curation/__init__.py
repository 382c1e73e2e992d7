"""Find wrong labels in image data sets, fix them, and prove that it helped."""

__version__ = "0.1.0"
