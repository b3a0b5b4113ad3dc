# SPDX-License-Identifier: Apache-2.0
"""`python -m tf1_bn`."""

from __future__ import annotations

import sys

from ._src.cli.main import main

sys.exit(main())
