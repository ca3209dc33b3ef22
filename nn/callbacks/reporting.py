"""Callbacks that tell how a training goes: a table, a picture, functions of one's own."""

import csv
import os

from .base import HOOKS, Callback

WITHOUT_DISPLAY = ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template")  # of matplotlib


class CSVLogger(Callback):
    """Writes a line with the values of every epoch to a CSV file, at once.

    filename   where to
    separator  between two values. Default ",".
    append     go on with the file that is there, as a resumed training does. Default False: anew.

    The columns are "epoch", from 1, and the names in the logs of the first epoch; for what is not
    measured in an epoch the field is empty.
    """

    def __init__(self, filename, separator=",", append=False):
        self.filename, self.separator, self.append = os.fspath(filename), separator, append
        self._columns, self._file = None, None

    def on_train_begin(self, logs=None):
        self._columns = self._present_columns() if self.append else None
        self._file = open(  # noqa: SIM115, until the training ends
            self.filename, "a" if self.append else "w", newline="", encoding="utf-8"
        )

    def _present_columns(self):
        try:
            with open(self.filename, newline="", encoding="utf-8") as file:
                return next(csv.reader(file, delimiter=self.separator), None)
        except FileNotFoundError:
            return None

    def on_epoch_end(self, epoch, logs=None):
        writer = csv.writer(self._file, delimiter=self.separator)
        if self._columns is None:
            self._columns = ["epoch", *logs]
            writer.writerow(self._columns)
        values = {"epoch": epoch + 1, **logs}
        writer.writerow([values.get(name, "") for name in self._columns])
        self._file.flush()

    def on_train_end(self, logs=None):
        if self._file is not None:
            self._file.close()


class LivePlot(Callback):
    """Draws the values of the logs over the epochs, after every epoch.

    filename  where the picture is written without a display. Default "training.png"; it is
              replaced after every epoch, and complete at any moment.
    display   None, the default: in a notebook or where there is a window, there; else to the file.
              False: to the file in any case.

    Needs matplotlib, which comes with `pip install "hotgrad[plot]"`: ImportError says so.
    """

    def __init__(self, filename="training.png", display=None):
        self.filename, self.display = os.fspath(filename), display
        self._figure = None

    def on_train_begin(self, logs=None):
        from ..plots import plot_history, sheet  # not above: plots know models, these callbacks

        self._pyplot = sheet.pyplot()  # its ImportError comes before the first epoch, not after
        self._plot_history = plot_history

    def on_epoch_done(self, epoch, logs=None):
        before = self._figure
        self._figure = self._plot_history(self.model.history)[0].figure
        backend = self._pyplot.get_backend().lower()
        if self.display is False or backend in WITHOUT_DISPLAY:
            self._write()
        elif "inline" in backend:
            self._show_in_notebook()
        else:
            self._pyplot.pause(0.001)  # lets the window draw itself
        if before is not None:
            self._pyplot.close(before)

    def _write(self):
        directory, name = os.path.split(self.filename)
        part = os.path.join(directory, f".{name}.part")
        kind = os.path.splitext(name)[1][1:] or "png"
        self._figure.savefig(part, format=kind)
        os.replace(part, self.filename)
        self._pyplot.close(self._figure)
        self._figure = None

    def _show_in_notebook(self):
        from IPython import display

        display.clear_output(wait=True)
        display.display(self._figure)
        self._pyplot.close(self._figure)
        self._figure = None


class LambdaCallback(Callback):
    """Calls functions: `LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs))`.

    on_train_begin, on_train_end   functions of (logs)
    on_epoch_begin, on_epoch_end, on_epoch_done   of (epoch, logs)
    on_train_batch_begin, on_train_batch_end   of (batch, logs)
    on_gradients   of (batch)

    Raises TypeError for what is no hook or no function.
    """

    def __init__(self, **functions):
        for name, function in functions.items():
            if name not in HOOKS:
                raise TypeError(
                    f"LambdaCallback: there is no hook {name!r}; the hooks are {', '.join(HOOKS)}"
                )
            if not callable(function):
                raise TypeError(f"LambdaCallback: expected {name} to be a function, got {function}")
            setattr(self, name, function)
