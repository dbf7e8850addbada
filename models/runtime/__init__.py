"""What computes: torch, operation by operation, or graphs of OpenVINO."""

import sys

# OpenVINO reports its use over the network, from a process that it starts when it is imported, unless this
# package of its makers is missing. The service sends nothing that was not asked for.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
