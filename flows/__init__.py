"""What a user runs: the main job, its settings and the companion command."""

import os

# Nothing here does linear algebra, but numpy's library for it starts a thread for each
# core when it is loaded, and lets them spin for a while.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
