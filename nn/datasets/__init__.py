"""Real data to learn from."""

from .mnist import mnist, mnist_subset
from .tables import breast_cancer, breast_cancer_columns, first_names
