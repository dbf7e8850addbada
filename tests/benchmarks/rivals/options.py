"""What the benchmark tells LitServe's servers beyond the settings of the service."""

from typing import Final

BATCH: Final = "BENCHMARK_LITSERVE_BATCH"
"""The variable for the most requests of a batch."""
WORKERS: Final = "BENCHMARK_LITSERVE_WORKERS"
"""The variable for the number of inference processes."""
