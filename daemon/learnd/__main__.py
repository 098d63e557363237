"""`python -m learnd` is the command `learnd`."""

import sys

from learnd.face.cli import main

sys.exit(main())
