# SPDX-License-Identifier: Apache-2.0
"""What `run`, `record` and `verify` have in common: a program, and options of what it finds."""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from typing import Any, Sequence

from ..doctor.command import add_ignore
from ..programs.cures import cure
from ..programs.program import Program, ProgramFailed, run

USAGE_ERROR = 2
INTERRUPTED = 130
# Of `run`, in whose command line the first word that is no option is the program.
WITH_A_VALUE = ("--ignore",)
_WHAT_IT_FINDS = (
    ("--neighbours", "also bring back the other tf.layers and tf.nn.rnn_cell"),
    ("--force", "also replace an original batch normalization that works"),
    (
        "--tf1-alias",
        "`import tensorflow` gives tensorflow.compat.v1, v2 behaviour disabled",
    ),
    ("--contrib", "also serve tf.contrib, much of which is TF-Slim and needs it installed"),
    ("--compat", "all that an old program needs: --tf1-alias, --neighbours and --contrib"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of what the program finds."""
    for flag, effect in _WHAT_IT_FINDS:
        parser.add_argument(flag, action="store_true", help=effect)
    parser.add_argument(
        "--check",
        action="store_true",
        help="exit with 1 if the doctor warns of a graph of the program, and would with 0",
    )
    add_ignore(parser)


def unrecognized(parser: argparse.ArgumentParser, words: Sequence[str]) -> str:
    """The error of words that are no options of a parser's, with the one that is probably meant."""
    known = sorted(each for action in parser._actions for each in action.option_strings)
    near = [difflib.get_close_matches(word.partition("=")[0], known, 1, 0.8) for word in words]
    meant = [found for each in near for found in each]
    hint = f"; did you mean {', '.join(meant)}?" if meant else ""
    return f"unrecognized arguments: {' '.join(words)}{hint}"


def is_untouched(parsed: Any) -> bool:
    """Whether none of the options is given: the program finds TensorFlow as it is."""
    return not any(getattr(parsed, flag[2:].replace("-", "_")) for flag, _ in _WHAT_IT_FINDS)


def add_program(parser: argparse.ArgumentParser, **how: Any) -> None:
    """Adds SCRIPT and -m, with what stands behind -- for the program's arguments."""
    parser.add_argument("program", metavar="SCRIPT", **how)
    parser.add_argument("-m", dest="module", action="store_true", help="SCRIPT names a module")


def split_at_dashes(given: Sequence[str]) -> tuple[list[str], list[str]]:
    """Our own words, and those behind the first `--`; `-mMODULE` is two of ours.

    >>> split_at_dashes(["-mtrain", "-o", "x", "--", "--steps", "-m3"])
    (['-m', 'train', '-o', 'x'], ['--steps', '-m3'])
    """
    listed = list(given)
    at = listed.index("--") if "--" in listed else len(listed)
    ours = [re.sub("^-m(?=.)", "-m\n", word, count=1).split("\n", 1) for word in listed[:at]]
    return [part for parts in ours for part in parts], listed[at + 1 :]


def check_program(parsed: Any) -> None:
    """Raises ProgramFailed if there is no such script; modules are looked for when they run."""
    name = parsed.program
    if not parsed.module and name != "-" and not os.path.exists(name):
        raise ProgramFailed(f"there is no script {name}", 2)


def run_to_its_end(program: Program, parsed: Any) -> None:
    """Runs a program that a command goes on after; Ctrl-C passes through.

    What would have spared the program its error is kept as `parsed.cure`, for the last line.

    Raises:
      ProgramFailed: there is no such program, it ended itself with an exit code other than 0, or
        it raised an exception, which has been shown as Python shows it.
    """
    try:
        run(program)
    except ProgramFailed as error:
        raise ProgramFailed(str(error), 2) from None
    except SystemExit as stop:
        # Many programs end by sys.exit(main()), tf.app.run among them.
        code = exit_code(stop)
        if code:
            words = "" if code is stop.code else f" ({stop.code})"
            raise ProgramFailed(f"the program ended with exit code {code}{words}", code) from None
    except BrokenPipeError as error:
        told = f"the program wrote to a pipe that nobody reads ({error})"
        raise ProgramFailed(told, 1) from None
    except Exception as error:
        raise shown(error, parsed) from None


def shown(error: BaseException, parsed: Any) -> ProgramFailed:
    """Shows what a program raised as Python shows it, and returns it as its failure."""
    code = 1
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except SystemExit as stop:
        # A program's own hook may end it so.
        code = exit_code(stop)
    parsed.cure = cure(error, parsed)
    return ProgramFailed(f"the program raised {type(error).__name__}", code)


def exit_code(stop: SystemExit) -> int:
    """The exit code that Python makes of it."""
    if isinstance(stop.code, int):
        return stop.code
    return int(stop.code is not None)
