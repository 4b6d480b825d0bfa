"""`python -m flows.cli`: the same as `dedup`."""

import sys

from flows.cli.app import main

sys.exit(main())
