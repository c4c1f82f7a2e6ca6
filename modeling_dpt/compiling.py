"""torch.compile for a stream of images of mixed sizes, which a machine without a compiler survives."""

import warnings
from typing import Any

import torch
from torch import nn
from torch.fx.experimental import _config as shapes


def compile_model(model: nn.Module, **options: Any) -> nn.Module:
    """Compile a model in place, once for all heights and widths.

    The first call compiles (a minute or more; what it makes is kept on disk by PyTorch and found again). The size of
    the pretraining, images of few patches, and batches of one and of more are compiled apart; so is every size for a
    network with a convolutional stem (DPT-Hybrid, dpt-tiny), up to PyTorch's limit of 8, after which others run
    uncompiled. Where compiling fails, as on a machine without a C++ compiler, one warning says so and the model runs
    as before.

    With CUDA graphs (`mode="reduce-overhead"`) each size keeps memory of its own, and an answer is overwritten by the
    next call: clone what is to outlive it, and do not average with the mirrored image.

    Measure before you keep it: on a CPU the prepared model may be faster as it is (DPT-Base was, by a tenth).

    Args:
        model: Any; prepare it with `optimize_for_inference` first.
        options: Of `torch.compile`.

    Returns:
        The model itself. Saving, copying and training are as before.
    """
    # Not through `model.compile`: what fails there fails the call.
    model._compiled_call_impl = _CompiledCall(model, options)
    return model


class _CompiledCall:
    """What the model calls instead of its own call; threads may share it."""

    def __init__(self, model: nn.Module, options: dict[str, Any]):
        self.model = model
        # PyTorch would simplify the sides of a stem's maps, as formulas of the image's, for longer than anyone waits.
        dynamic = not getattr(getattr(model, "config", None), "is_hybrid", False)
        # Else equal sides of the first image would be taken for a rule, and an oblong one compiled anew. Made once:
        # every patch leaves a variable behind.
        self.any_shape = shapes.patch(use_duck_shape=False)
        self.compiled: Any = torch.compile(model._call_impl, **{"dynamic": dynamic} | options)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        compiled = self.compiled
        if compiled is None:
            return self.model._call_impl(*arguments, **named)
        try:
            with self.any_shape:
                return compiled(*arguments, **named)
        except torch.OutOfMemoryError:
            raise  # of this image, not of compiling
        except Exception as error:
            result = self.model._call_impl(*arguments, **named)  # what fails here, too, is the caller's to know
            if self.compiled is not None:
                self.compiled = None
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
                warnings.warn(f"compiling failed, the model runs uncompiled ({reason}).", stacklevel=1)
            return result
