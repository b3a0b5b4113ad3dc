# SPDX-License-Identifier: Apache-2.0
"""TensorFlow as our own commands start it: quietly, and with one line of what is wrong with it."""

from __future__ import annotations

import importlib
import os
import sys
import warnings

from .after_import import import_first

_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_MOST_CHARACTERS = 400


def start_tensorflow() -> None:
    """Imports TensorFlow without its start-up noise, unless TF_CPP_MIN_LOG_LEVEL asks for it.

    Where a program has imported it already, that program's settings stay.

    Raises:
      ImportError: it is missing or broken; in one line, with its own cause.
    """
    asked = "tensorflow" in sys.modules or _LEVEL in os.environ
    if not asked:
        os.environ[_LEVEL] = "3"
    try:
        with warnings.catch_warnings():
            if not (asked or sys.warnoptions):
                warnings.simplefilter("ignore")
            import_first("tensorflow")
            tf = importlib.import_module(".tensorflow_v1", __package__).tf
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) or error.__cause__ is None:
            raise ImportError(f"TensorFlow cannot be imported: {in_one_line(error)}") from error
        raise ImportError(in_one_line(error)) from error
    if not asked:
        tf.logging.set_verbosity(tf.logging.ERROR)


def in_one_line(error: BaseException) -> str:
    """What an exception says; where that is a traceback, what the exception inside of it says."""
    while str(error).startswith("Traceback") and error.__context__ is not None:
        error = error.__context__
    text = " ".join(str(error).split())
    kind = "" if type(error) is ImportError else f"{type(error).__name__}: "
    cut = text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 3]}..."
    return kind + cut
