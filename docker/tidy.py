"""Makes installed packages a layer: without what is never used, compiled, and the same in every build.

python docker/tidy.py FOLDER...
"""

import compileall
import os
import shutil
import sys
from pathlib import Path
from py_compile import PycInvalidationMode

# Triton compiles for the GPU while a program runs, with a C compiler that the image does not have; PyTorch
# does without where nothing is compiled. Its metadata stays, or pip would install it again. Headers and
# static libraries are for those who build extensions, tests for those who make a package. OpenVINO computes
# on the CPU here, and reads graphs of its own and of PyTorch.
_UNUSED = (
    *("triton", "torch/include", "nvidia/*/include", "**/*.a", "**/__pycache__"),
    *("**/numpy/**/tests", "**/scipy/**/tests"),
    *(f"**/openvino/libs/{name}" for name in ("libopenvino_intel_[gn]pu_plugin.so", "cache.json")),
    *(
        f"**/openvino/libs/libopenvino_{name}_frontend.so*"
        for name in ("gguf", "jax", "onnx", "paddle", "tensorflow", "tensorflow_lite")
    ),
)


def tidy(folder: Path) -> None:
    """Works in place; files can be read by everybody afterwards, and written by their owner alone."""
    for pattern in _UNUSED:
        for path in list(folder.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    # The processes of the service could not keep what they compile on a read-only root, and compiled modules
    # that are not held against their source's time stay valid however the files travel.
    compileall.compile_dir(folder, quiet=2, workers=0, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or 0)
    for path in [*folder.rglob("*"), folder]:
        if path.is_symlink():
            os.utime(path, (epoch, epoch), follow_symlinks=False)
            continue
        runnable = path.is_dir() or path.stat().st_mode & 0o100
        path.chmod(0o755 if runnable else 0o644)
        os.utime(path, (epoch, epoch))


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        tidy(Path(argument))
