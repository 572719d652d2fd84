"""`python -m app.emulator`: a local fal. A stop signal ends it with 0, also while it loads."""

import os
import signal
import sys

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

if __name__ == "__main__":
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: os._exit(0))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # whoever started it may have held them back
    from app.emulator.process import main

    sys.exit(main())
