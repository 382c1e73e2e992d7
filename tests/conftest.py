"""What all tests share."""

import os

# Test processes run side by side: two OpenMP pools on two cores wait for each other more than they work. Set before
# torch is imported, and inherited by every command that a test starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")
