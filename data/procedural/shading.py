"""Colour of every pixel: texture, lights, shadow, corners, fog, sky."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .scene import BOX, COLUMNS
from .texture_bank import TEXTURES
from .textures import sample


def soften(lit: Tensor) -> Tensor:
    """3 x 3 mean of the shadow mask (B, H, W): no light is a point."""
    return F.avg_pool2d(F.pad(lit[:, None], (1, 1, 1, 1), mode="replicate"), 3, 1)[:, 0]


def sky(bank: Tensor, s: dict[str, Tensor], directions: Tensor) -> Tensor:
    """Gradient with clouds. directions: (3, B, H, W). Returns (3, B, H, W)."""
    dx, dy, dz = directions
    up = (dz / (dx * dx + dy * dy + dz * dz).sqrt()).clamp(0, 1)
    blend = up.sqrt()
    cloud = s["clouds"]
    plane = cloud[3] / (up + 0.15)
    norm = (dx * dx + dy * dy).sqrt().clamp(min=1e-3)
    u, v = dx / norm * plane * 0.2 + cloud[1], dy / norm * plane * 0.2 + cloud[2]
    texture = torch.full_like(u, TEXTURES["plaster"][2])
    n = sample(bank, texture, u, v, torch.ones_like(u))[1] * 2.0
    cover = ((n - 1.1 + cloud[0]) * 2.0).clamp(0, 1) * (up * 6).clamp(0, 1)
    out = []
    for i in range(3):
        base = s["horizon"][i] + (s["zenith"][i] - s["horizon"][i]) * blend
        out.append(base + (0.95 * s["horizon"].amax(0) - base) * cover)
    return torch.stack(out)


def shade_pixels(
    table: Tensor,
    settings: dict[str, Tensor],
    inverse: list[list[Tensor]],
    bank: Tensor,
    directions: Tensor,
    depth: Tensor,
    winner: Tensor,
    lit: Tensor,
) -> Tensor:
    """Linear light.

    Args:
        table: (WIDTH, B, P). settings: (B, k) each. inverse: [own axis][world axis] of (B, P).
        directions: (3, B, H, W), world, camera depth 1. depth, winner, lit: (B, H, W).
    Returns: (B, 3, H, W).
    """
    b, h, w = depth.shape
    s = {k: v.T[:, :, None, None] for k, v in settings.items()}  # (k, B, 1, 1)
    hit = winner >= 0
    index = winner.clamp(min=0).flatten()
    row = table.flatten(1).index_select(1, index).view(-1, b, h, w)
    maps = torch.stack([inverse[i][j] for i in range(3) for j in range(3)]).flatten(1)
    maps = maps.index_select(1, index).view(9, b, h, w)

    t = torch.where(hit, depth, 1.0)
    eye = s["camera"]
    point = [directions[i] * t + eye[i] for i in range(3)]
    away = [point[i] - row[1 + i] for i in range(3)]
    q = [maps[3 * i] * away[0] + maps[3 * i + 1] * away[1] + maps[3 * i + 2] * away[2] for i in range(3)]

    # Normal in own space, then as a covector into the world.
    shape, taper = row[COLUMNS["shape"]], row[COLUMNS["taper"]]
    ax, ay, az = q[0].abs(), q[1].abs(), q[2].abs()
    box, cone = shape == BOX, shape == 2
    face_z = torch.where(box, (az > ax) & (az > ay), cone & (az > 0.9999))
    face_x = box & ~face_z & (ax >= ay)
    face_y = box & ~face_z & ~face_x
    round_ = ~box & ~face_z
    zero = torch.zeros_like(t)
    nx = torch.where(face_x | round_, q[0], zero)
    ny = torch.where(face_y | round_, q[1], zero)
    nz = torch.where(face_z, q[2], torch.where(round_, torch.where(cone, -taper * (1 + taper * q[2]), q[2]), zero))
    n = [maps[j] * nx + maps[3 + j] * ny + maps[6 + j] * nz for j in range(3)]
    inv = (n[0] * n[0] + n[1] * n[1] + n[2] * n[2]).clamp(min=1e-20).rsqrt()
    n = [x * inv for x in n]
    ray = (directions[0] ** 2 + directions[1] ** 2 + directions[2] ** 2).rsqrt()
    view = [directions[i] * -ray for i in range(3)]
    facing = n[0] * view[0] + n[1] * view[1] + n[2] * view[2]
    flip = torch.where(facing < 0, -1.0, 1.0)
    n, facing = [x * flip for x in n], facing.abs()

    # Texture.
    around = torch.atan2(q[1], q[0]) * (1 / math.pi)
    su, sv, sw = row[COLUMNS["uv_scale"]]
    ou, ov = row[COLUMNS["uv_offset"]]
    u = torch.where(round_, around * su, torch.where(face_x, q[1] * sv, q[0] * su)) + ou
    v = torch.where(face_z, q[1] * sv, q[2] * sw) + ov
    pixel = settings["fov"].T[:, :, None, None][0] * (math.pi / 180 / w)
    size = t * pixel / facing.clamp(min=0.05).sqrt()
    lod = (size * row[COLUMNS["texels"]]).clamp(min=1e-3).log2()
    weights = sample(bank, row[COLUMNS["texture"]], u, v, lod - 0.3)
    stain_texture = torch.full_like(u, TEXTURES["plaster"][0])
    along = [point[0] * 0.31 + point[2] * 0.17, point[1] * 0.31 + point[2] * 0.23]
    stain = sample(bank, stain_texture, along[0] + ou, along[1] + ov, (size * 80).clamp(min=1e-3).log2())[1]
    dirt = 1.0 + row[COLUMNS["dirt"]] * (stain * 2.4 - 1.0)
    c = row[COLUMNS["colours"]]
    albedo = [(weights[0] * c[i] + weights[1] * c[3 + i] + weights[2] * c[6 + i]) * dirt for i in range(3)]

    # Lights: a shadowed key, a fill without shadow, and sky and ground.
    shadow = soften(lit)
    lights = []
    shine = zero
    for name, shadowed in (("key", True), ("fill", False)):
        d = [s[f"{name}_position"][i] - point[i] for i in range(3)]
        square = (d[0] * d[0] + d[1] * d[1] + d[2] * d[2]).clamp(min=1e-4)
        scale = square.rsqrt()
        lambert = ((n[0] * d[0] + n[1] * d[1] + n[2] * d[2]) * scale).clamp(min=0)
        reach = s[f"{name}_reach"][0]
        power = reach * reach / (reach * reach + square)
        half = [d[i] * scale + view[i] for i in range(3)]
        norm = (half[0] ** 2 + half[1] ** 2 + half[2] ** 2).clamp(min=1e-6).rsqrt()
        gleam = ((n[0] * half[0] + n[1] * half[1] + n[2] * half[2]) * norm).clamp(min=1e-4) ** row[COLUMNS["gloss"]]
        power = power * shadow if shadowed else power
        lights.append((lambert * power, s[f"{name}_colour"]))
        shine = shine + gleam * power * (lambert > 0)
    room = s["room"]
    corner = zero + 1.0
    for i in range(3):
        for wall in (point[i] - room[2 * i], room[2 * i + 1] - point[i]):
            corner = corner * (1 - 0.3 * (-wall.clamp(min=0) * 2.5).exp())
    skyward = 0.5 + 0.5 * n[2]
    specular = row[COLUMNS["specular"]] * (0.3 + 0.7 * (1 - facing) ** 2)
    emission = row[COLUMNS["emission"]]
    fog = (-s["fog"][0] * t).exp()
    heaven = sky(bank, s, directions)
    out = []
    for i in range(3):
        ambient = (s["ambient_down"][i] * (1 - skyward) + s["ambient_up"][i] * skyward) * corner
        light = ambient + sum(power * colour[i] for power, colour in lights)
        colour = albedo[i] * (light + emission) + specular * (shine * s["key_colour"][i] * 0.6 + ambient * 0.25)
        colour = s["horizon"][i] + (colour - s["horizon"][i]) * fog
        out.append(torch.where(hit, colour, heaven[i]))
    return torch.stack(out, 1).clamp(min=0)
