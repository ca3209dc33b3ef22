"""Numba kernels: arrays in, arrays out. They know no Tensor.

Written as one would in C: typed flat loops over contiguous buffers, results into a buffer that is
handed in, nothing allocated. The Python function beside each kernel checks and normalises, once.
"""
