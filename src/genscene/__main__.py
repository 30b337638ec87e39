"""python -m genscene: the command line."""

import sys

from genscene.cli import main

sys.exit(main())
