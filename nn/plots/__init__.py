"""Pictures of activations, trainings, decisions and models, drawn by matplotlib.

matplotlib is not needed by the rest of nn and is imported by the first picture:

    pip install "hotgrad[plot]"

Each function returns the Axes it drew on, an array of them where the picture has several, and
`save(plot_history(history), "history.png")` writes that to a file. None opens a window: a notebook
shows the figure by itself, a script calls `matplotlib.pyplot.show()`.
"""

from .activations import plot_activations
from .decisions import plot_confusion, plot_decision_boundary, plot_predictions
from .diagrams import plot_graph, plot_model
from .measure import Measured, is_elementwise, measure_activation
from .sheet import grid, line_styles, pyplot, save
from .training import plot_history, plot_layer_stats, plot_learning_rate
