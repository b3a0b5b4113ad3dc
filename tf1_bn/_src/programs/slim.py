# SPDX-License-Identifier: Apache-2.0
"""The names that TF-Slim 1.1.0 looks up in TensorFlow and that are gone from there.

They are put back only if missing, only when slim is imported.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Callable

from ..runtime.after_import import around_import
from .old_names.moved import SLIMS, missing
from .places import Ledger, attribute


def serve_slim() -> Callable[[], None]:
    """Puts the names there when `tf_slim` is imported, at once if it was.

    Returns:
      What takes them away again.

    Raises:
      ImportError: `tf_slim` is there, and this TensorFlow lacks a module that it needs.
    """
    ledger = Ledger()

    def place() -> None:
        try:
            ledger.place(attribute(*each) for each in missing(SLIMS))
        except ImportError as error:
            raise ImportError(
                f"TF-Slim needs `{error.name}`, and this TensorFlow has no such module ({error}). "
                "tf1_bn.contrib.batch_norm has slim.batch_norm's arguments and needs no TF-Slim."
            ) from error

    with contextlib.ExitStack() as undo:
        undo.callback(ledger.clear)
        if "tf_slim" in sys.modules:
            place()
        else:
            undo.callback(around_import("tf_slim", before=place))
        return undo.pop_all().close
