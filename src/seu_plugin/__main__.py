"""``python -m seu_plugin``: the ``seu`` command."""

from .cli import main

main()
