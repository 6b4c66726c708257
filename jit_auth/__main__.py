"""`python -m jit_auth` is `jit-auth`."""

import sys

from jit_auth.cli.main import main

sys.exit(main())
