# SPDX-License-Identifier: Apache-2.0
"""Threads of which one at a time runs, when it is told to, and which end whatever happens."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, Sequence

# Seconds after which a wait looks whether there is still something to wait for, and between looks.
_PATIENCE = 0.5
_BREATH = 0.001


class GivenUp(BaseException):
    """Ends a thread whose fellow has failed; no `except Exception` of its work catches it."""


class SteppedThread:
    """Does `work` in a thread of its own, from one `pause` in there to the next.

    Attributes:
      name: of the thread.
      result: what work has returned, given this object.
      error: what work has raised, if anything.
      done: whether work has ended.
      brought: what the last `pause` was given.
    """

    def __init__(self, work: Callable[[SteppedThread], Any], name: str) -> None:
        self.name = name
        self.result: Any = None
        self.brought: Any = None
        self._answer: Any = None
        self.error: BaseException | None = None
        self.done = self._running = False
        self._wanted, self._started, self._ended = True, False, False
        self._turn, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, args=(work,), name=name, daemon=True)

    def go_on(self, answer: Any = None) -> None:
        """Lets it run until it pauses or ends; raises what it raised.

        Args:
          answer: what the `pause` that it waits in returns.
        """
        self._answer, self._running = answer, True
        if not self._started:
            self._started = True
            self._thread.start()
        self._turn.release()
        while not self._paused.acquire(timeout=_PATIENCE):
            # An interrupt in the thread's last lines may have kept it from saying so.
            if self._ended or not self._thread.is_alive():
                self.done = True
                break
        self._running = False
        self.check()

    def check(self) -> None:
        """Raises what `work` has raised."""
        if self.error is not None:
            raise self.error

    def pause(self, brought: Any) -> Any:
        """Called by `work`: waits until it is told to go on.

        Args:
          brought: for whoever tells it so.

        Returns:
          The answer of `go_on`.
        """
        # Work may go on after it was given up: a bare `except`, a `finally` that pauses.
        if not self._wanted:
            raise GivenUp
        self.brought = brought
        self._paused.release()
        self._turn.acquire()
        if not self._wanted:
            raise GivenUp
        return self._answer

    @staticmethod
    def end(threads: Sequence[SteppedThread]) -> None:
        """Ends all, whatever comes between; the one that runs goes first, alone."""
        try:
            for thread in threads:
                thread._wanted = False
            for thread in sorted(threads, key=lambda thread: not thread._running):
                thread._turn.release()
                thread._wait_for_end()
        except BaseException:
            SteppedThread.end(threads)
            raise

    def _wait_for_end(self) -> None:
        if not self._started:
            return
        # Ctrl-C in the start of a thread hides for a moment that it lives.
        deadline = time.monotonic() + _PATIENCE
        while not self._ended and (self._thread.is_alive() or time.monotonic() < deadline):
            time.sleep(_BREATH)
        # Not without end: before Python 3.10 an interrupted join blocks the next one.
        if self._thread.ident is not None:
            self._thread.join(_PATIENCE)

    def _run(self, work: Callable[[SteppedThread], Any]) -> None:
        # Each line may be interrupted, once.
        try:
            try:
                self._turn.acquire()
                if self._wanted:
                    self.result = work(self)
            except GivenUp:
                pass
            except BaseException as error:
                self.error = error
            finally:
                self.done = True
                self._paused.release()
        except BaseException as error:
            self.error = error
        finally:
            self._ended = True
