"""Every row of the tables, in their order."""

import engines
import factors
import linear

ROWS = engines.ROWS | factors.ROWS | linear.ROWS
