"""Products of 8-bit integers on a CPU: linear layers and 3x3 convolutions without their float weights.

Weights are rounded once, with a scale for each output channel. Inputs are rounded at every call, with a scale for each
token (linear) or each image (convolution), so that nothing has to be calibrated, and what an image gives does not
depend on those beside it. oneDNN multiplies, through PyTorch's operators; sums are exact, in 32 bits.

Legend: B batch, N tokens, I O features or channels in and out, h w size of a map.
"""

import torch
from torch import nn

from .readout import ProjectReadout

# oneDNN multiplies unsigned inputs with signed weights; signed inputs are stored with this added.
ZERO = 128
# Of 127: leaves room for the rounding of the scale itself in bfloat16, which must not carry a value past 127.
LARGEST = 126.25
# oneDNN needs up to a tenth longer for one row more than a multiple of this, and tokens are one more than patches.
ROWS = 4


class Packed:
    """Weights as integers in the layout that oneDNN multiplies, and a scale for each output channel.

    They never change, so that copies of a layer share them. The layout is this machine's: it cannot be stored.
    """

    def __init__(self, weight: torch.Tensor, pack):
        flat = weight.detach().float().flatten(1)
        scales = flat.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny) / 127  # (O,)
        integers = (flat / scales[:, None]).round().to(torch.int8).view(weight.shape)
        # What every product is told, by the names that oneDNN's operators have for it.
        self.arguments = {
            "x_zero_point": ZERO,
            "qw": pack(integers, scales),
            "w_scale": scales,
            "w_zero_point": torch.zeros(len(flat), dtype=torch.int32, device="cpu"),
            "output_scale": 1.0,  # of an answer in integers; ours is in floating point
            "output_zero_point": 0,
        }

    def __deepcopy__(self, memo: dict) -> "Packed":
        return self

    def __reduce__(self):
        raise TypeError(CANNOT_SAVE)


CANNOT_SAVE = (
    "quantize_int8: a quantised model cannot be saved, its weights are laid out for this machine. "
    "Save the model before; quantising takes seconds."
)


class Int8Guard:
    """Refuses what integers cannot do, before anything has changed; a base before `nn.Module`."""

    is_int8 = False

    def train(self, mode: bool = True):
        if mode and self.is_int8:
            raise RuntimeError("quantize_int8: integers cannot be trained. Train the model before it is quantised.")
        return super().train(mode)

    def _apply(self, function, *args, **kwargs):
        if self.is_int8:
            self._refuse_elsewhere(function(torch.empty(0, dtype=torch.float32, device="cpu")))
        return super()._apply(function, *args, **kwargs)

    def _refuse_elsewhere(self, example: torch.Tensor) -> None:
        if example.device.type != "cpu":
            raise RuntimeError("quantize_int8: runs on the CPU only. Move the model before it is quantised.")
        if example.dtype not in (torch.float32, torch.bfloat16):
            dtype = str(example.dtype).removeprefix("torch.")
            raise RuntimeError(
                f"quantize_int8: the rest runs in bfloat16 or float32, got {dtype}. Leave it as quantize_int8 made it."
            )

    def _save_to_state_dict(self, *args, **kwargs):
        if self.is_int8:
            raise RuntimeError(CANNOT_SAVE)
        super()._save_to_state_dict(*args, **kwargs)

    def _load_from_state_dict(self, *args, **kwargs):
        if self.is_int8:
            raise RuntimeError(
                "quantize_int8: weights cannot be loaded into integers. Load them before, quantise after."
            )
        super()._load_from_state_dict(*args, **kwargs)


def in_steps(values: torch.Tensor, dims: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """values as whole numbers up to 127 with one scale along `dims`, not yet integers, and how many steps make 1."""
    # The bits of positive numbers have the order of the numbers, and integers are compared several times as fast.
    bits = values.abs().view(torch.int16 if values.itemsize == 2 else torch.int32)
    largest = bits.amax(dims, keepdim=True).view(values.dtype)
    steps = LARGEST / largest.clamp(min=1e-30)
    return (values * steps).round_(), steps


def around_zero_point(integers: torch.Tensor) -> torch.Tensor:
    """int8 as uint8 around `ZERO`, in place. torch converts to int8 several times as fast as to uint8."""
    return integers.add_(-ZERO).view(torch.uint8)  # wraps around


class Int8Linear(Int8Guard, nn.Module):
    """A linear layer for inference: (..., I) -> (..., O) in the dtype of its input."""

    is_int8 = True

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None):
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.packed = Packed(weight, lambda integers, _: torch.ops.onednn.qlinear_prepack(integers, None))
        self.register_buffer("bias", weight.new_zeros(len(weight)) if bias is None else bias.detach().clone())

    @classmethod
    def of(cls, *linears: nn.Linear) -> "Int8Linear":
        """One layer for one or several that read the same input; their outputs stand side by side."""
        weight = torch.cat([linear.weight for linear in linears])
        biases = [weight.new_zeros(len(linear.weight)) if linear.bias is None else linear.bias for linear in linears]
        return cls(weight, torch.cat(biases))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        _refuse_gradient(features)
        whole, steps = in_steps(features.reshape(-1, self.in_features), (-1,))
        integers = whole.new_empty(-(-len(whole) // ROWS) * ROWS, self.in_features, dtype=torch.int8)
        integers[: len(whole)] = whole  # what is in the other rows does not matter
        products = torch.ops.onednn.qlinear_pointwise(
            qx=around_zero_point(integers),
            x_scale=1.0,
            bias=None,
            output_dtype=features.dtype,
            post_op_name="none",
            post_op_args=[],
            post_op_algorithm="none",
            **self.packed.arguments,
        )[: len(whole)]
        # Into memory that is there already, which is faster.
        torch.addcmul(self.bias, products, steps.reciprocal_(), out=products)
        return products.view(*features.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}"


class Int8Conv2d(Int8Guard, nn.Module):
    """A convolution for inference: (B, I, h, w) -> (B, O, h', w') in the dtype of its input."""

    is_int8 = True

    def __init__(self, convolution: nn.Conv2d):
        super().__init__()
        self.in_channels, self.out_channels = convolution.in_channels, convolution.out_channels
        self.geometry = {name: getattr(convolution, name) for name in ("stride", "padding", "dilation", "groups")}
        bias = convolution.bias
        self.packed = Packed(convolution.weight, self._pack)
        self.register_buffer("bias", None if bias is None else bias.detach().clone())

    def _pack(self, integers: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
        return torch.ops.onednn.qconv_prepack(integers, scales, x_scale=1.0, x_zp=ZERO, **self.geometry)

    def forward(self, feature_map: torch.Tensor) -> torch.Tensor:
        _refuse_gradient(feature_map)
        feature_map = feature_map.contiguous(memory_format=torch.channels_last)
        if not len(feature_map):
            return self._convolve(feature_map.new_zeros(1, *feature_map.shape[1:]))[:0]
        outputs = [self._convolve(image) for image in feature_map.split(1)]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    def _convolve(self, image: torch.Tensor) -> torch.Tensor:
        whole, steps = in_steps(image, (0, 1, 2, 3))
        return torch.ops.onednn.qconv_pointwise(
            qx=around_zero_point(whole.to(torch.int8)),
            x_scale=1 / float(steps),
            bias=None if self.bias is None else self.bias.float(),
            output_dtype=image.dtype,
            attr="none",
            scalars=[],
            algorithm="none",
            **self.geometry,
            **self.packed.arguments,
        )

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}"


class Int8Readout(nn.Module):
    """Stands in for a `ProjectReadout`: the half of the product that every token needs is of integers."""

    def __init__(self, readout: ProjectReadout):
        super().__init__()
        projection, self.activation = readout
        of_tokens, of_readout = projection.weight.chunk(2, dim=1)
        self.of_tokens = Int8Linear(of_tokens, None)
        self.of_readout = nn.Linear(len(of_readout), len(of_readout), device="meta")
        self.of_readout.weight, self.of_readout.bias = nn.Parameter(of_readout.clone()), projection.bias

    def forward(self, tokens: torch.Tensor, prefix: torch.Tensor) -> torch.Tensor:
        return self.activation(self.of_tokens(tokens) + self.of_readout(prefix[:, :1]))


def _refuse_gradient(values: torch.Tensor) -> None:
    if torch.is_grad_enabled() and values.requires_grad:
        raise RuntimeError("quantize_int8: integers have no gradient. Use the model that is not quantised.")
