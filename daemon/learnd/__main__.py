"""`python -m learnd` is the command `learnd`."""

import sys

from learnd.ui.cli import main

sys.exit(main())
