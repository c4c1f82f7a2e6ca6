"""Is a camera placed where a person would take a picture? A few rays on the host against bounding boxes decide."""

from __future__ import annotations

import math

import numpy as np

from .scene import COLUMNS, CONE, Scene

_GRID = np.stack(np.meshgrid(np.linspace(-0.85, 0.85, 6), np.linspace(-0.85, 0.85, 6)), -1).reshape(-1, 2)


def _rotation(yaw, pitch, roll) -> np.ndarray:
    """Rz(yaw) Ry(pitch) Rx(roll) of arrays (n,): (n, 3, 3)."""
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    rows = (
        (cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr),
        (sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr),
        (-sp, cp * sr, cp * cr),
    )
    return np.stack([np.stack(row, -1) for row in rows], -2)


class Boxes:
    """The bounding boxes of a scene, ready for any camera."""

    def __init__(self, table: np.ndarray) -> None:
        half = table[:, COLUMNS["half"]].astype(np.float64)
        wide = np.where(table[:, 0] == CONE, 1 + np.abs(table[:, COLUMNS["taper"]]), 1.0)
        half[:, :2] *= wide[:, None]
        turn = _rotation(*table[:, COLUMNS["angles"]].T.astype(np.float64))
        self.inverse = turn.transpose(0, 2, 1) / half[:, :, None]
        self.centre = table[:, COLUMNS["centre"]].astype(np.float64)

    def distances(self, scene: Scene) -> tuple[np.ndarray, bool]:
        """Depth along 36 rays of the scene's camera (infinite in the sky), and whether the camera is inside a box."""
        eye = np.array(scene.settings["camera"], np.float64)
        turn = _rotation(*(np.array([a]) for a in scene.settings["angles"]))[0]
        tangent = math.tan(scene.settings["fov"][0] * math.pi / 360)
        rays = np.concatenate([np.ones((len(_GRID), 1)), _GRID * tangent], 1) @ turn.T + 1e-9
        origin = np.einsum("pij,pj->pi", self.inverse, eye - self.centre)
        step = np.einsum("pij,rj->pri", self.inverse, rays)
        inverse = 1.0 / np.where(np.abs(step) < 1e-9, 1e-9, step)
        middle, spread = -origin[:, None] * inverse, np.abs(inverse)
        enter, leave = (middle - spread).max(2), (middle + spread).min(2)
        distance = np.where((enter < leave) & (enter > 0), enter, np.inf).min(0)
        return distance, bool((np.abs(origin) < 1).all(1).any())


def good_view(distances: np.ndarray, inside: bool, near: float) -> bool:
    """Not inside a thing, not in front of a surface, and not all at one distance."""
    low, high = np.quantile(np.minimum(distances, 200.0), (0.15, 0.9))
    return not inside and float(np.mean(distances < near)) < 0.2 and high > 1.5 * low


def settle(scene: Scene, tries: int = 6) -> None:
    """Move the camera until it has a good view, or keep the last try."""
    boxes = Boxes(scene.table())
    for _ in range(tries):
        if scene.viewpoint is None or good_view(*boxes.distances(scene), scene.near):
            return
        scene.viewpoint()
