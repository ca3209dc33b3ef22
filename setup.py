"""Packaging, and the step that builds the kernels.

After the sources are in place, every kernel is compiled for float32 and float64, and Numba's cache
files stay beside the sources, in `engine/kernels/__pycache__`: the wheel ships them, and on the
machine it was built for nothing is compiled when the package runs. An editable install builds in
the checkout.
"""

import subprocess
import sys
from pathlib import Path

from setuptools import Distribution, find_packages, setup
from setuptools.command.build_py import build_py


class BuildWithKernels(build_py):
    def run(self):
        super().run()
        place = Path(__file__).parent if self.editable_mode else Path(self.build_lib)
        # A process of its own, since this one may have an installed `engine`; from `place`, since
        # `-m` looks there first.
        subprocess.run([sys.executable, "-m", "engine.kernels.build"], cwd=place, check=True)


class BinaryDistribution(Distribution):
    def has_ext_modules(self):
        return True  # machine code for one platform and one Python, though no .so


setup(
    name="hotgrad",
    version="0.1.0",
    description="A reverse-mode autograd engine and mini-framework, with kernels in Numba",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    entry_points={"console_scripts": ["hotgrad = nn.cli:main"]},
    python_requires=">=3.11",
    packages=find_packages(include=["engine", "engine.*", "nn", "nn.*"]),
    package_data={"nn.datasets": ["data/*.csv", "data/*.gz", "data/*.txt", "data/README.md"]},
    install_requires=["numpy>=2.0", "numba>=0.61", "tqdm>=4.60", "safetensors>=0.4.3"],
    extras_require={
        "docs": ["mkdocs-material>=9.5", "mkdocstrings[python]>=0.28"],
        "graph": ["graphviz"],
        "plot": ["matplotlib>=3.8"],
        "test": ["pytest>=8", "ruff>=0.9", "matplotlib>=3.8", "mpmath>=1.3"],
    },
    distclass=BinaryDistribution,
    cmdclass={"build_py": BuildWithKernels},
    zip_safe=False,
)
