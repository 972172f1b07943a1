"""`python -m jaxdissect`: the command line, where its program is not on the path."""

import sys

from jaxdissect.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
