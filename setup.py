"""What pyproject.toml cannot say: which folder is which package.  Adding a backend folder needs no edit here."""
from setuptools import find_packages, setup

FOLDERS = {"dslc": "dsl", "dslc.backends": "backends", "dslc.kernels": "kernels", "dslc.runtime": "runtime", "dslc.bench": "bench"}
setup(package_dir=FOLDERS,
      packages=[p for name, folder in FOLDERS.items() for p in [name, *(f"{name}.{sub}" for sub in find_packages(folder))]])
