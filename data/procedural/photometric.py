"""From linear light to the bytes of a camera: exposure, vignetting, blur, tone curve, grain, JPEG; all batched.

Noise comes from a hash of seed and pixel, not from a generator: the same on every device and in every batch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

# Standard luminance table of JPEG (ITU T.81, annex K.1); chrominance is quantised with the same one.
JPEG_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip


def hash_noise(seed: Tensor, count: int, stream: int) -> Tensor:
    """Near-Gaussian noise, deviation 1. seed: (B,) integers. Returns (B, count)."""
    index = torch.arange(count, device=seed.device, dtype=torch.int32)[None]
    x = (index * 0x27D4EB2D) ^ (seed.to(torch.int32)[:, None] * 0x165667B1 + stream * 0x2545F491)
    for shift, factor in ((15, 0x2C1B3C6D), (12, 0x297A2D39)):
        x = (
            x ^ ((x >> shift) & (2 ** (32 - shift) - 1))
        ) * factor  # masked: >> of a negative number drags its sign in
    x = x ^ ((x >> 15) & 0x1FFFF)
    total = (x & 255) + ((x >> 8) & 255) + ((x >> 16) & 255) + ((x >> 24) & 255)
    return (total.to(torch.float32) - 510.0) * (1.0 / 147.8)


def blur(x: Tensor, sigma_x: Tensor, sigma_y: Tensor) -> Tensor:
    """Separable 5-tap Gaussian with its own widths for every picture. x: (B, 3, H, W)."""
    for dim, sigma in ((3, sigma_x), (2, sigma_y)):
        s = sigma.clamp(min=1e-2)[:, None, None, None]
        one, two = (-0.5 / (s * s)).exp(), (-2.0 / (s * s)).exp()
        total = 1 + 2 * one + 2 * two
        pad = F.pad(x, (2, 2, 0, 0) if dim == 3 else (0, 0, 2, 2), mode="replicate")
        n = x.shape[dim]
        taps = [pad.narrow(dim, k, n) for k in range(5)]
        x = taps[2] * (1 / total) + (taps[1] + taps[3]) * (one / total) + (taps[0] + taps[4]) * (two / total)
    return x


def jpeg(x: Tensor, strength: Tensor) -> Tensor:
    """Quantise 8 x 8 cosine coefficients, colour at half resolution. x: (B, 3, H, W), 0..1, sides multiples of 16."""
    b = len(x)
    k = torch.arange(8, dtype=torch.float32)
    basis = torch.cos((2 * k[None] + 1) * k[:, None] * (math.pi / 16)) * 0.5
    basis[0] *= math.sqrt(0.5)
    basis = basis.to(x.device)
    table = torch.tensor(JPEG_TABLE, dtype=torch.float32, device=x.device) / 255.0
    quant = (strength[:, None, None, None, None] * table[:, None, :]).clamp(min=1.0 / 255.0)

    def code(plane: Tensor) -> Tensor:  # (B, h, w)
        height, width = plane.shape[1:]
        blocks = plane.reshape(b, height // 8, 8, width // 8, 8)
        c = torch.einsum("ui,byixj->byuxj", basis, blocks)
        c = torch.einsum("byuxj,vj->byuxv", c, basis)
        c = (c / quant).round() * quant
        c = torch.einsum("ui,byuxv->byixv", basis, c)
        return torch.einsum("byixv,vj->byixj", c, basis).reshape(b, height, width)

    y = 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2]
    chroma = F.avg_pool2d(torch.stack((x[:, 2] - y, x[:, 0] - y), 1), 2)
    y = code(y - 0.5) + 0.5
    blue, red = (code(chroma[:, i]).repeat_interleave(2, 1).repeat_interleave(2, 2) for i in range(2))
    green = (-0.299 * red - 0.114 * blue) * (1 / 0.587)
    coded = torch.stack((y + red, y + green, y + blue), 1)
    return torch.where(strength[:, None, None, None] > 0, coded, x)


def develop(linear: Tensor, settings: dict[str, Tensor]) -> Tensor:
    """Turn rendered light into a picture.

    Args:
        linear: (B, 3, H, W), >= 0. settings: rows of `scene.SETTINGS`, (B, k) each.
    Returns: uint8 (B, 3, H, W).
    """
    b, _, h, w = linear.shape
    s = {k: v[:, :, None, None] for k, v in settings.items()}
    x = linear * s["white"]
    # Exposure: bring the compressed mean to the target, as a camera's meter does.
    meter = (x.amax(1).clamp(max=4.0) + 1e-4).log().mean((1, 2), keepdim=True).exp()[:, None]
    x = x * (s["exposure"] ** 2.2 / meter)
    x = blur(x, settings["blur"][:, 0], settings["blur"][:, 1])
    yy = torch.linspace(-1, 1, h, device=x.device)[:, None]
    xx = torch.linspace(-1, 1, w, device=x.device)[None]
    x = x * (1 - s["vignette"] * 0.5 * (xx * xx + yy * yy))
    x = torch.where(x < 0.7, x, 1 - 0.3 * (-(x - 0.7) * (1 / 0.3)).exp())  # soft shoulder
    x = x.clamp(min=1e-5) ** (s["gamma"] * (1 / 2.2))
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * s["saturation"]
    x = s["exposure"] + (x - s["exposure"]) * s["contrast"]  # about the mean, so that dark pictures keep their shadows
    if bool((settings["grain"] > 0).any()):
        seed = settings["seed"][:, 0]
        noise = hash_noise(seed, h * w, 1).view(b, 1, h, w) * s["grain"][:, :1]
        colour = hash_noise(seed, 3 * h * w, 2).view(b, 3, h, w) * s["grain"][:, 1:]
        x = x + (noise + colour) * (1.2 - 0.6 * grey)
    x = x.clamp(0, 1)
    if h % 16 == 0 and w % 16 == 0 and bool((settings["jpeg"] > 0).any()):
        x = jpeg(x, settings["jpeg"][:, 0]).clamp(0, 1)
    return (x * 255.0 + 0.5).to(torch.uint8)
