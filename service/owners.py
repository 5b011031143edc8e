"""Who holds a lease: a name in which a worker's machine and process can be seen, so that the dead are known."""

import hashlib
import os
import secrets
import socket
from pathlib import Path


def new_owner() -> str:
    """A name for one worker."""
    return f"{_machine()}/{os.getpid()}/{secrets.token_hex(4)}"


def is_gone(owner: str) -> bool:
    """Whether its process has ended: it was of this machine, and no process has its number."""
    machine, _, rest = owner.partition("/")
    number = rest.partition("/")[0]
    if machine != _machine() or not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _machine() -> str:
    """
    One start of one machine, or container: process numbers mean something within it alone. Containers may share the
    name of their machine as well as its start; what they do not share is the table of processes.
    """
    try:
        started = f"{Path('/proc/sys/kernel/random/boot_id').read_text()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        started = "-"
    return f"{socket.gethostname()[:32]}.{hashlib.sha256(started.encode()).hexdigest()[:8]}"
