"""``python -m retrograd.distributed`` is the command ``retrograd``."""

import sys

try:
    from .cli import main

    code = main()
except KeyboardInterrupt:  # while the rest is imported
    code = 130
sys.exit(code)
