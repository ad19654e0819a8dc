"""``python -m retrograd.distributed`` is the command ``retrograd``."""

import sys

from .cli import main

sys.exit(main())
