"""``python -m seu_plugin``: the ``seu`` command."""

from .cli import main

if __name__ == "__main__":
    main()
