"""compile_loaded.py MODULE...: compile these modules, all of a package's, and whatever importing them loads.

For images whose processes cannot compile for themselves (a uid that may write nowhere). The compiled files go
below PYTHONPYCACHEPREFIX; by unchecked hashes, as nobody changes a source in an image. The whole standard
library would be three times as much, and no start would be faster (docs/adr/0004).
"""

# ruff: noqa: INP001 - a script for Dockerfiles, no package

import importlib
import pkgutil
import py_compile
import sys


def load(name: str) -> None:
    """Import a module; of a package, all its modules."""
    module = importlib.import_module(name)
    for found in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{name}."):
        importlib.import_module(found.name)


def main(names: list[str]) -> None:
    """Compile what is loaded once these are. Raises ImportError and py_compile.PyCompileError."""
    for name in names:
        load(name)
    files = {getattr(module, "__file__", None) or "" for module in sys.modules.values()}
    for source in sorted(file for file in files if file.endswith(".py")):
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(source, doraise=True, invalidation_mode=mode)


if __name__ == "__main__":
    main(sys.argv[1:])
