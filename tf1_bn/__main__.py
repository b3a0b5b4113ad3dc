# SPDX-License-Identifier: Apache-2.0
"""`python -m tf1_bn`, and the console script `tf1_bn`."""

from __future__ import annotations

import sys


def start() -> int:
    """Carries out the command line; Ctrl-C also ends cleanly while our own files are imported."""
    try:
        from ._src.cli.main import main
    except KeyboardInterrupt:
        print("tf1_bn: interrupted", file=sys.stderr)
        return 130
    return main()


if __name__ == "__main__":
    sys.exit(start())
