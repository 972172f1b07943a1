"""`python -m jaxdissect.bench`: the same as `jaxdissect bench`."""

import sys

from jaxdissect.commands.main import main

if __name__ == "__main__":
    sys.argv.insert(1, "bench")
    sys.exit(main())
