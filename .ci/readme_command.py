"""Print the README's command that sets up and runs the tests, exactly as a reader would copy it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

FENCE = re.compile(r"(?ms)^```(?:bash|sh|console|shell)\n(.*?)^```$")


def test_command(text: str) -> str:
    """Return the one shell fence of `text` that runs pytest."""
    found = [fence for fence in FENCE.findall(text) if "pytest" in fence]
    if len(found) != 1:
        raise SystemExit(
            f"README.md must have one shell block that runs pytest, it has {len(found)}"
        )
    return str(found[0])


if __name__ == "__main__":
    print(test_command(Path(sys.argv[1]).read_text(encoding="utf-8")), end="")
