"""A folder of whatever a script made → nothing."""

import os
from contextlib import suppress


def remove(folder: str) -> None:
    """Delete it, however deep it is. What can't be deleted is left to the machine.

    Nothing may run in it any more.
    """
    pending, emptied, number = [folder], [], 0
    while pending:
        here = pending.pop()
        emptied.append(here)
        # What has the owner shut out can be opened by the owner.
        with suppress(OSError):
            os.chmod(here, 0o700)
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        # Flat, a tree has no depth: each folder comes to lie beside the first.
                        number += 1
                        os.chmod(entry.path, 0o700)
                        os.rename(entry.path, f"{folder}-{number}")
                        pending.append(f"{folder}-{number}")
                    else:
                        os.unlink(entry.path)
    for here in emptied:
        with suppress(OSError):
            os.rmdir(here)
