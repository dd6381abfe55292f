"""``python -m rfquant_hooks main.py config.yaml ...``, for torchrun's ``-m``."""

import sys

from .launcher import main

if __name__ == "__main__":
    sys.exit(main())
