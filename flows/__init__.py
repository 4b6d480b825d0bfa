"""What a user runs: the main job, its settings and the companion command."""

import gc
import os

# Nothing here does linear algebra, but numpy's library for it starts a thread for each
# core when it is loaded, and lets them spin for a while.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# What a program imports lives as long as it does, and what a batch is made of goes without the
# garbage collector, which is for the few cycles of errors. At its usual 700 containers it runs
# hundreds of times during the imports: a sixth of the time of a start.
gc.set_threshold(500_000)
