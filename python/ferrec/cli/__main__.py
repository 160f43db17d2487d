"""`python -m ferrec.cli`."""

import sys

from ferrec.cli.main import main

sys.exit(main())
