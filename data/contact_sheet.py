"""A picture of many samples: image, what is to be learned, and where it is known, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ..processing.colormaps import apply_colormap, palette
from ..processing.panels import mark_pairs
from .label_rules import IGNORED

_PAPER, _INK, _FAINT = (250, 249, 246), (34, 34, 40), (128, 126, 132)
# Stripes where nobody knows depth or class: no colour map and no palette has them.
_STRIPES = np.array([[226, 224, 220], [200, 198, 194]], np.uint8)
_MARGIN, _GAP, _LINE = 20, 6, 18
_TILE_AREA = 300 * 210
# Below this share of valid pixels, each is drawn larger: single lidar points vanish in a small picture.
_SPARSE = 0.3
_MOST_LEGEND = 60
# Samples stand in two columns unless their pictures are wide.
_WIDEST_PAIR = 1000


def draw_contact_sheet(
    samples: Sequence[dict[str, Any]], *, title: str, class_names: Sequence[str] = ()
) -> np.ndarray:
    """Draw samples.

    Args:
        samples: Of `read_sample`; at least one.
        title: Line above them.
        class_names: In the order of the ids; ids without a name are drawn as numbers.

    Returns:
        uint8 RGB, shape (H, W, 3).

    Raises:
        ValueError: there are no samples.
    """
    if not samples:
        raise ValueError("samples: at least one is needed for a contact sheet, got none. Mend the files first.")
    colors = _class_colors(samples, class_names)
    strips = [_strip(sample, colors) for sample in samples]
    columns = 1 if len(strips) < 3 or max(strip.width for strip in strips) > _WIDEST_PAIR else 2
    rows = [strips[first : first + columns] for first in range(0, len(strips), columns)]
    widths = [max(row[column].width for row in rows if column < len(row)) for column in range(columns)]
    width = max(sum(widths) + _MARGIN * (columns + 1), 480)
    legend = _legend(samples, colors, class_names, width - 2 * _MARGIN)
    height = 3 * _MARGIN + sum(max(strip.height for strip in row) + _MARGIN for row in rows)
    sheet = Image.new("RGB", (width, height + (legend.height + _MARGIN if legend else 0)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN), _fit(title, width - 2 * _MARGIN, _font(20)), _INK, _font(20))
    y = 3 * _MARGIN
    for row in rows:
        x = _MARGIN
        for column, strip in enumerate(row):
            sheet.paste(strip, (x, y))
            x += widths[column] + _MARGIN
        y += max(strip.height for strip in row) + _MARGIN
    if legend:
        sheet.paste(legend, (_MARGIN, y))
    return np.asarray(sheet)


def _strip(sample: dict[str, Any], colors: np.ndarray) -> Image.Image:
    """One sample: tiles, and below each what it is."""
    image = sample["image"].permute(1, 2, 0).numpy()
    height, width = image.shape[:2]
    scale = (_TILE_AREA / (height * width)) ** 0.5
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    small = Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)
    grey = np.asarray(small.convert("L").convert("RGB"))
    tiles = [(small, _name(sample))]
    kind = next((kind for kind in ("depth", "disparity") if kind in sample), None)
    if kind is not None:
        values, valid = _shrink(sample[kind], sample["valid"], size)
        painted, caption = _paint_depth(values, valid, kind)
        share = float(sample["valid"].float().mean())
        tiles += [
            (_striped(painted, valid), caption),
            (_striped(grey, valid), f"known: {share:.1%}"),
        ]
    if "ordinal" in sample:
        caption = f"pairs: {len(sample['ordinal'])}, the near point is red"
        tiles.append((mark_pairs(small, sample["ordinal"], (scale, scale)), caption))
    if "label" in sample:
        labels = np.asarray(
            Image.fromarray(sample["label"].numpy().astype(np.int32)).resize(size, Image.Resampling.NEAREST)
        )
        known = labels != IGNORED
        flat = colors[np.where(known, labels, 0)]
        share = float((sample["label"] != IGNORED).float().mean())
        blend = (0.45 * grey + 0.55 * flat).astype(np.uint8)
        count = len(set(sample["label"].unique().tolist()) - {IGNORED})
        tiles += [
            (_striped(flat, known), f"{count} classes"),
            (_striped(blend, known), f"over the image; labelled: {share:.1%}"),
        ]
    strip = Image.new("RGB", (len(tiles) * (size[0] + _GAP) - _GAP, size[1] + _LINE + 4), _PAPER)
    draw = ImageDraw.Draw(strip)
    for number, (tile, caption) in enumerate(tiles):
        x = number * (size[0] + _GAP)
        strip.paste(tile, (x, 0))
        draw.text((x, size[1] + 4), _fit(caption, size[0], _font(13)), _INK if number == 0 else _FAINT, _font(13))
    return strip


def _paint_depth(values: np.ndarray, valid: np.ndarray, kind: str) -> tuple[np.ndarray, str]:
    """Near is bright, in equal steps of disparity as models see it."""
    inside = values[valid]
    near = np.zeros_like(values)
    if not inside.size:
        return apply_colormap(near), "nothing known"
    near[valid] = inside if kind == "disparity" else 1 / inside
    low, high = np.percentile(near[valid], (2, 98))
    colors = apply_colormap(np.clip((near - low) / max(high - low, 1e-9), 0, 1))
    median = float(np.median(inside))
    numbers = f"{inside.min():.3g} to {inside.max():.3g}, median {median:.3g}"
    caption = f"{numbers} m" if kind == "depth" else f"disparity {numbers}"
    return colors, caption


def _striped(picture: np.ndarray, known: np.ndarray) -> Image.Image:
    row, column = np.indices(known.shape)
    return Image.fromarray(np.where(known[..., None], picture, _STRIPES[(row + column) // 4 % 2]))


def _shrink(values: torch.Tensor, valid: torch.Tensor, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Values and where they are valid at the tile's size. Sparse ones keep the largest value of their surroundings."""
    if float(valid.float().mean()) < _SPARSE:
        shape = size[::-1]
        values = torch.nn.functional.adaptive_max_pool2d((values * valid)[None], shape)[0]
        values = torch.nn.functional.max_pool2d(values[None], 3, 1, 1)[0]
        return values.numpy(), (values > 0).numpy()
    resized = (
        Image.fromarray(array).resize(size, Image.Resampling.NEAREST) for array in (values.numpy(), valid.numpy())
    )
    values, valid = (np.array(array) for array in resized)
    return values, valid.astype(bool)


def _class_colors(samples: Sequence[dict[str, Any]], class_names: Sequence[str]) -> np.ndarray:
    highest = max((int(sample["label"].max()) for sample in samples if "label" in sample), default=0)
    colors = palette(len(class_names) or highest + 1)
    extra = np.full((max(highest + 1 - len(colors), 0), 3), (255, 0, 255), np.uint8)  # outside the classes: loud
    return np.concatenate([colors, extra])


def _legend(
    samples: Sequence[dict[str, Any]], colors: np.ndarray, class_names: Sequence[str], width: int
) -> Image.Image | None:
    """Colours of the classes on the sheet, the most frequent first."""
    labels = [sample["label"].flatten() for sample in samples if "label" in sample]
    if not labels:
        return None
    ids, counts = torch.cat(labels).unique(return_counts=True)
    shares = {int(number): int(count) / sum(map(len, labels)) for number, count in zip(ids, counts, strict=True)}
    order = sorted(shares, key=shares.get, reverse=True)
    entries = [(_class_name(number, class_names), number) for number in order][:_MOST_LEGEND]
    texts = [f"{name}  {shares[number]:.1%}" for name, number in entries]
    font = _font(13)
    cell = int(max(font.getlength(text) for text in texts)) + 2 * _LINE
    columns = max(width // cell, 1)
    lines = -(-len(texts) // columns)
    legend = Image.new("RGB", (width, lines * (_LINE + 4)), _PAPER)
    draw = ImageDraw.Draw(legend)
    for place, (text, (_, number)) in enumerate(zip(texts, entries, strict=True)):
        x, y = place // lines * cell, place % lines * (_LINE + 4)
        square = np.broadcast_to(colors[0 if number == IGNORED else number], (14, 14, 3))
        legend.paste(_striped(square, np.full((14, 14), number != IGNORED)), (x, y + 2))
        draw.text((x + _LINE + 2, y), text, _INK, font)
    return legend


def _class_name(number: int, class_names: Sequence[str]) -> str:
    if number == IGNORED:
        return "ignored"
    if number < len(class_names):
        return class_names[number]
    return f"{number} (no such class)" if class_names else str(number)


def _name(sample: dict[str, Any]) -> str:
    parts = [part for part in (sample.get("scene"), sample.get("frame")) if part]
    return " / ".join(parts) or sample["name"].replace("\\", "/").rsplit("/", 1)[-1]


def _fit(text: str, width: int, font: Any) -> str:
    """`text`, its beginning cut off where it is wider than `width`: ends of names differ."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength("..." + text) > width:
        text = text[1:]
    return "..." + text


def _font(size: int) -> Any:
    return ImageFont.load_default(size)
