"""The last step of a run on several processes."""

import time

from accelerate import Accelerator

# Seconds; gloo's thread needs microseconds.
_PAUSE = 0.1


def end_training(accelerator: Accelerator) -> None:
    """`accelerator.end_training()`, in such a way that the process ends.

    After a collective gloo's thread frees its tensors and needs the interpreter's lock for it. Whoever holds that lock
    while it destroys the process group, as DistributedDataParallel does when it goes, waits for that thread, and both
    wait for ever (torch 2.13). A moment without the lock lets the thread finish.
    """
    pause = _PAUSE if accelerator.num_processes > 1 else 0.0
    time.sleep(pause)
    accelerator.end_training()
    time.sleep(pause)
