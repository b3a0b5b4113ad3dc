# SPDX-License-Identifier: Apache-2.0
"""Runs a user's program inside this process, as `__main__`."""

from __future__ import annotations

import contextlib
import os
import runpy
import sys
from typing import Iterator, NamedTuple, Sequence


class Program(NamedTuple):
    """A script's path, or with `is_module` a module's name, and its arguments."""

    name: str
    arguments: Sequence[str] = ()
    is_module: bool = False


class ProgramFailed(Exception):
    """The program ended with this exit code, or could not be found."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def run_program(program: Program) -> None:
    """Runs `program` to its end; what it raises passes through.

    Raises:
      ProgramFailed: there is no such script, or it ended itself with an exit code other than 0.
    """
    with _arguments(program):
        try:
            if program.is_module:
                runpy.run_module(program.name, run_name="__main__", alter_sys=True)
            elif not os.path.exists(program.name):
                raise ProgramFailed(f"there is no script {program.name}", 2)
            else:
                runpy.run_path(program.name, run_name="__main__")
        except SystemExit as stop:
            # Many programs end by sys.exit(main()), tf.app.run among them.
            if stop.code not in (None, 0):
                code = stop.code if isinstance(stop.code, int) else 1
                raise ProgramFailed(f"the program ended with exit code {code}", code) from None


@contextlib.contextmanager
def _arguments(program: Program) -> Iterator[None]:
    kept_arguments, kept_path = sys.argv, list(sys.path)
    sys.argv = [program.name, *program.arguments]
    folder = os.getcwd() if program.is_module else os.path.dirname(os.path.abspath(program.name))
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.argv, sys.path[:] = kept_arguments, kept_path
