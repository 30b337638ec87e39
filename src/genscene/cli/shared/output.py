"""What is printed on the standard output."""

import os
import sys
from contextlib import suppress

from genscene.errors import BadInput, escape


def print_line(line: str) -> None:
    """Print a line, or several, safe for any terminal; BadInput where standard output cannot be written."""
    try:
        print(escape(line), file=sys.stdout, flush=True)
    except OSError as error:
        raise _unwritable(error) from None


def flush_output() -> None:
    """Write what was printed; BadInput where that fails."""
    try:
        sys.stdout.flush()
    except OSError as error:
        raise _unwritable(error) from None


def _unwritable(error: OSError) -> BadInput:
    """The error line; what was not written is dropped: the interpreter would try it again at its end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BadInput(f"cannot write to the standard output ({error.strerror})")
