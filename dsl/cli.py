"""The command `dslc`: see runtime/cli.py."""
from .runtime.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    raise SystemExit(main())
