"""What every test may use; the helpers in `oracles.py` and `scripts.py` are imported where they are used."""

import time

import pytest
from hypothesis import HealthCheck, settings

# A machine may be slow: how long an example takes is no property.
settings.register_profile("ferrec", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ferrec")


@pytest.fixture
def pace():
    """Measures what a bound of time is a multiple of: `pace()` is the seconds that a fixed piece of work takes now.

    About 20 ms of one core on a machine of 2020. A `timing` test is bound by `seconds < 50 * pace()`: a slow
    or busy machine moves the bound as it moves the time.
    """

    def seconds():
        start = time.perf_counter()
        total = 0
        for number in range(400_000):
            total += number
        assert total
        return time.perf_counter() - start

    return lambda: max(seconds() for _ in range(3))
