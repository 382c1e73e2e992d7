"""`python -m curation` is `curate`."""

import sys

from curation.cli import main

sys.exit(main())
