"""The progress of an epoch: a bar on a terminal while it lasts, and then one line anywhere."""

import shutil
import sys
import time

from tqdm import tqdm

INTERVAL = 0.1  # seconds between two drawings of the bar


class Progress:
    """Shows one epoch, as a context manager.

    done     how many of the steps have been made before
    verbose  0: nothing. 1: a bar, unless standard output is no terminal, and a line at the end.
             2: the line only.
    """

    def __init__(self, epoch, epochs, steps, verbose, done=0):
        if verbose not in (0, 1, 2):
            raise ValueError(f"fit: expected verbose to be 0, 1 or 2, got {verbose!r}")
        self._title = f"Epoch {epoch}/{epochs}"
        self._done = self._before = done
        self._steps = steps
        self._silent = verbose == 0
        columns, lines = shutil.get_terminal_size()  # where the terminal says 0, 80 by 24
        with_bar = verbose == 1 and sys.stdout.isatty()
        self._bar = (
            tqdm(
                total=steps,
                initial=done,
                desc=self._title,
                file=sys.stdout,
                leave=False,
                mininterval=INTERVAL,
                ncols=columns,
                nrows=lines,
                bar_format="{desc} {n_fmt}/{total_fmt} |{bar}| {elapsed}<{remaining}{postfix}",
            )
            if with_bar
            else None
        )

    def __enter__(self):
        self._start = self._shown = time.perf_counter()
        return self

    def __exit__(self, *exception):
        if self._bar is not None:
            self._bar.close()

    def advance(self, totals):
        """One step is done; `totals.means()` gives what to show."""
        self._done += 1
        if self._bar is not None:
            now = time.perf_counter()
            if now - self._shown > INTERVAL:
                self._shown = now
                self._bar.set_postfix_str(self._text(totals.means()), refresh=False)
            self._bar.update()

    def finish(self, values):
        """The epoch is over: its final values take the place of the bar."""
        if self._bar is not None:
            self._bar.close()
        if not self._silent:
            print(f"{self._title} - {self._text(values)}", flush=True)

    def interrupted(self, values):
        """Ctrl-C has ended the epoch: say where, and that nothing is lost."""
        if self._bar is not None:
            self._bar.close()
        if not self._silent:
            print(
                f"{self._title} - interrupted after {self._done} of {self._steps or '?'} steps; "
                f"the model and the history are kept - {self._text(values)}",
                flush=True,
            )

    def _text(self, values):
        numbers = " - ".join(f"{name}: {value:.4f}" for name, value in values.items())
        elapsed = time.perf_counter() - self._start
        return f"{1e3 * elapsed / max(1, self._done - self._before):.2f} ms/step - {numbers}"
