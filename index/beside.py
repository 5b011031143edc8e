"""A process that works beside those who search: it takes what they leave, and ends with the one who asked for it."""

import os
import sys
import threading
from typing import Final

_NICE: Final = 15
"""A thirtieth of what one gets who searches: little enough not to be felt, enough to get done on a busy machine."""


def give_way() -> None:
    """At the start of such a process: a low priority, and an end as soon as standard input is closed."""
    os.nice(_NICE)
    threading.Thread(target=_end_with_the_one_who_asked, daemon=True).start()


def _end_with_the_one_who_asked() -> None:
    while sys.stdin.buffer.read(1 << 10):
        pass
    os._exit(3)
