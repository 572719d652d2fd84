"""`python -m workers`: the workers of this host. A stop signal ends it with 0, also while it loads."""

import sys

from app.children import end_on_stop

if __name__ == "__main__":
    end_on_stop()
    from workers.host import main

    sys.exit(main())
