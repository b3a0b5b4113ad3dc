# SPDX-License-Identifier: Apache-2.0
"""Runs a program and records what its layers do, however the program ends."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, Callable, Iterator, NoReturn, Sequence

from ..doctor.command import ignored
from ..files.streams import room_of, say
from ..programs.preparation import prepare
from ..programs.program import Program, ProgramFailed
from ..runtime.after_import import after_import
from .options import INTERRUPTED, run_to_its_end, shown

if TYPE_CHECKING:
    # NumPy and TensorFlow, which the program imports.
    from ..doctor.programs.attending import Attending
    from ..doctor.programs.telling import Told
    from ..proof.record.recorder import Recorder

# What ends a program from outside: a scheduler, or the terminal that closes.
_ENDING_SIGNALS = ("SIGTERM", "SIGHUP")
# The other functions of os.exec* call one of these.
_LEAVING = ("_exit", "execv", "execve")


def listened(
    parsed: Any,
    make: Callable[[], Recorder],
    untouched: bool = False,
    leaving: Callable[[Recorder, ProgramFailed], Any] = lambda recorder, failed: None,
) -> tuple[Recorder | None, ProgramFailed | None, Told | None]:
    """Runs the program of a parsed command line, and records from its import of TensorFlow on.

    Args:
      parsed: with `program`, `module`, `program_arguments` and the options of `prepare`.
      make: gives the recorder, once TensorFlow is there.
      untouched: nothing is installed: the program finds TensorFlow as it is.
      leaving: called when the program leaves by `os._exit` or `os.exec*`, behind which nothing of
        ours runs; the recorder has written what it can.

    Returns:
      The recorder, None if the program did not import TensorFlow; why it did not come to a good
      end, else None; what the doctor says of it, None if it did not come to a good end.
    """
    recorders: list[Recorder] = []
    doctors: list[Attending] = []
    said: list[Told] = []
    signals: list[signal.Signals] = []
    failed: ProgramFailed | None = None
    stack = contextlib.ExitStack
    try:
        with ended_by(signals.append), stack() as prepared, stack() as listening:

            def listen() -> None:
                recorders.append(listening.enter_context(make()))
                listening.enter_context(_told_of_leaving(recorders[0], leaving))
                doctors.append(_doctor(listening))

            if untouched:
                prepared.callback(after_import("tensorflow", listen))
            else:
                prepared.enter_context(prepare(parsed, listen))
            program = Program(parsed.program, list(parsed.program_arguments), parsed.module)
            _run_whole(program, parsed)
            # Before anything is replayed here.
            said += _said(doctors, parsed)
    except ProgramFailed as error:
        failed = error
    except OSError:
        # The recorder's own, which remembers it.
        if not (recorders and recorders[0].unwritten):
            raise
    except Exception:
        raise
    except BaseException as error:
        failed = _stopped(error, parsed)
    if signals:
        failed = ProgramFailed(f"ended by {signals[0].name}", 128 + signals[0])
    if not recorders:
        return None, failed or ProgramFailed("the program did not import TensorFlow", 1), None
    return recorders[0], failed, said[0] if said and failed is None else None


def _stopped(error: BaseException, parsed: Any) -> ProgramFailed:
    """What stopped the replay of the layers, or an exception of the program's own that it shows."""
    if isinstance(error, KeyboardInterrupt):
        return ProgramFailed("interrupted", INTERRUPTED)
    if isinstance(error, SystemExit):
        return ProgramFailed("ended", error.code if isinstance(error.code, int) else 1)
    return shown(error, parsed)


def _doctor(listening: contextlib.ExitStack) -> Attending:
    from ..doctor.programs.attending import Attending

    doctor = Attending()
    doctor.start()
    listening.callback(doctor.stop)
    return doctor


def _said(doctors: Sequence[Attending], parsed: Any) -> list[Told]:
    """What the doctor says; none where the program did not import TensorFlow."""
    if not doctors:
        return []
    from ..doctor.programs.telling import told

    return [told(doctors[0], room_of(sys.stderr), "", parsed.check, ignored(parsed))]


def checked(code: int, is_asked: bool, told: Told | None) -> int:
    """Says what the doctor has to say, and returns the exit code: `code`, or that of `--check`.

    Args:
      code: what the command would end with.
      is_asked: whether `--check` was given.
      told: None for a program that did not come to a good end.
    """
    for line in told.lines if told is not None else ():
        say(line)
    if not is_asked or told is None:
        return code
    return code or told.code


def _run_whole(program: Program, parsed: Any) -> None:
    """Runs a program with what Python runs behind its last line: its threads and exit handlers."""
    failed: ProgramFailed | None = None
    try:
        run_to_its_end(program, parsed)
    except ProgramFailed as error:
        failed = error
    _wait_for_threads()
    # Python has told what they raised, and goes on.
    with contextlib.suppress(Exception, SystemExit):
        atexit._run_exitfuncs()
    if failed is not None:
        raise failed


def _wait_for_threads() -> None:
    """Waits as Python does at its end: a program's threads may train behind its last line."""
    # Those of a pool wait themselves, for the end of Python.
    pools = getattr(sys.modules.get("concurrent.futures.thread"), "_threads_queues", {})
    here = threading.current_thread()
    while True:
        others = [each for each in threading.enumerate() if each is not here and not each.daemon]
        others = [each for each in others if each not in pools]
        if not others:
            return
        others[0].join()


@contextlib.contextmanager
def ended_by(note: Callable[[signal.Signals], None] = lambda number: None) -> Iterator[None]:
    """Lets signals that would kill the process at once end the program by SystemExit instead."""
    process = os.getpid()

    def end(number: int, frame: Any) -> None:
        if os.getpid() != process:
            # A forked child dies of it, as it would without us.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        note(signal.Signals(number))
        raise SystemExit(128 + number)

    numbers = [getattr(signal, name) for name in _ENDING_SIGNALS if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    ours = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            # The program may have put its own there.
            if signal.getsignal(number) is end:
                signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def _told_of_leaving(
    recorder: Recorder, leaving: Callable[[Recorder, ProgramFailed], Any]
) -> Iterator[None]:
    """Lets `os._exit` and `os.exec*` in this process keep what is recorded before it ends."""
    process = os.getpid()

    def keeping(name: str, leave: Callable[..., NoReturn]) -> Callable[..., NoReturn]:
        def keep_and_leave(*given: Any, **named: Any) -> NoReturn:
            if os.getpid() == process:
                recorder.keep()
                leaving(recorder, _left_by(name, [*given, *named.values()]))
            leave(*given, **named)

        return keep_and_leave

    originals = {name: getattr(os, name) for name in _LEAVING}
    for name, leave in originals.items():
        setattr(os, name, keeping(name, leave))
    try:
        yield
    finally:
        for name, leave in originals.items():
            setattr(os, name, leave)


def _left_by(name: str, given: Sequence[Any]) -> ProgramFailed:
    if name == "_exit":
        return ProgramFailed(f"the program left by os._exit({given[0]})", given[0])
    # What it becomes has an exit code of its own, and is not watched.
    return ProgramFailed(f"the program became another by os.{name}", 1)
