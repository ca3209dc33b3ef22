"""The progress of an epoch: a bar on a terminal, one line elsewhere."""

import sys
import time

from tqdm import tqdm

INTERVAL = 0.1  # seconds between two drawings of the bar


class Progress:
    """Shows one epoch, as a context manager.

    verbose  0: nothing. 1: a bar, or a line where standard output is no terminal. 2: a line.
    """

    def __init__(self, epoch, epochs, steps, verbose):
        if verbose not in (0, 1, 2):
            raise ValueError(f"fit: expected verbose to be 0, 1 or 2, got {verbose!r}")
        self._title = f"Epoch {epoch}/{epochs}"
        self._steps = steps
        self._done = 0
        self._silent = verbose == 0
        with_bar = verbose == 1 and sys.stdout.isatty()
        self._bar = (
            tqdm(
                total=steps,
                desc=self._title,
                file=sys.stdout,
                mininterval=INTERVAL,
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
        """The epoch is over: show its final values."""
        self._per_step = (time.perf_counter() - self._start) / self._steps
        if self._bar is not None:
            self._bar.set_postfix_str(self._text(values))
        elif not self._silent:
            print(f"{self._title} - {self._text(values)}", flush=True)

    def _text(self, values):
        numbers = " - ".join(f"{name}: {value:.4f}" for name, value in values.items())
        elapsed = time.perf_counter() - self._start
        return f"{1e3 * elapsed / max(1, self._done):.2f} ms/step - {numbers}"
