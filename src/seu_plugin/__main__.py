"""``python -m seu_plugin``: the ``seu`` command."""

from .commands import main

if __name__ == "__main__":
    main()
