"""Who asks: the left side of everything that is recommended, scored or ranked."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust


@dataclass(frozen=True, eq=False)
class Queries:
    """Who asks and what they have touched."""

    ids: NDArray[Any]
    history: _rust.Csr
    codes: NDArray[np.int32] | None
    """The users' codes in the fitted data; None for newcomers."""

    def __len__(self) -> int:
        return len(self.ids)
