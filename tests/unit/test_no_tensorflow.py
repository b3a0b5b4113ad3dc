"""The files that decide are plain Python: they work where TensorFlow is not installed."""

from __future__ import annotations

import subprocess
import sys

PURE = ("spec", "geometry", "row_layout", "costs", "ways", "kernel_choice")


def test_the_pure_files_import_no_tensorflow() -> None:
    imports = "; ".join(f"import tf1_bn._src.plan.{name}" for name in PURE)
    program = f"import sys; sys.modules['tensorflow'] = None; {imports}; print(sorted(sys.modules))"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "tf1_bn._src.plan.kernel_choice" in done.stdout
