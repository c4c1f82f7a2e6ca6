"""What the stock classes' bicubic labels cost: the same network trained three ways on CamVid, on one budget.

    python benchmarks/segmentation_against_stock.py --data_dir camvid --output runs/against_stock.json

- stock: transformers' model and transformers' image processor, which resizes label maps like photos. Ids that this
  invents beyond the classes are set to "ignored": left in, the loss stops with an index error.
- stock, our labels: transformers' model, our processor at the same square size.
- ours: our model and processor, which keeps the aspect.

All start from the same weights, see the same images in the same order, mirrored or not alike, and are scored at the
photos' own size. Needs the CamVid folder with `images/{train,val}` and `annotations/{train,val}` (11 = void).
"""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
import transformers
from PIL import Image
from torch import Tensor, nn
from tqdm.auto import tqdm

from open_dpt import DPTConfig, DPTForSemanticSegmentation, DPTImageProcessor
from open_dpt.data import load_data, read_sample
from open_dpt.evaluation.segmentation_metrics import SegmentationMetrics

CLASSES = 11
IGNORED = 255

# Small enough for a CPU, and within what the stock configuration can express.
NETWORK = {
    "hidden_size": 192,
    "num_hidden_layers": 6,
    "num_attention_heads": 3,
    "intermediate_size": 768,
    "patch_size": 16,
    "backbone_out_indices": [1, 2, 4, 5],
    "neck_hidden_sizes": [48, 96, 192, 192],
    "fusion_hidden_size": 64,
    "num_labels": CLASSES,
    "semantic_loss_ignore_index": IGNORED,
}

Batch = tuple[Tensor, Tensor]  # pixel_values (B, 3, h, w), labels (B, h, w)


def main() -> None:
    args = parse_args()
    torch.manual_seed(args.seed)
    ours = DPTForSemanticSegmentation(DPTConfig(image_size=args.size, **NETWORK))
    square = {"height": args.size, "width": args.size}
    own_processor = DPTImageProcessor.for_model(ours.config)
    square_processor = DPTImageProcessor.for_model(ours.config, keep_aspect_ratio=False)
    stock_processor = transformers.DPTImageProcessor(size=square)
    train, val = (_read_all(args.data_dir, split) for split in ("train", "val"))
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        ours.to_transformers(folder)
        arms = {
            "stock": (_stock_model(folder), lambda *pair: _stock_batch(stock_processor, *pair)),
            "stock, our labels": (_stock_model(folder), lambda *pair: _own_batch(square_processor, *pair)),
            "ours": (ours, lambda *pair: _own_batch(own_processor, *pair)),
        }
        for name, (model, prepare) in arms.items():
            start = time.perf_counter()
            loss = train_model(model, prepare, train, args, name)
            scores = evaluate(model, prepare, val)
            results[name] = scores | {"last_loss": loss, "minutes": (time.perf_counter() - start) / 60}
            print(f"{name:20} mIoU {scores['mean_iou']:.4f}  pixel accuracy {scores['pixel_accuracy']:.4f}")
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "machine": platform.platform()}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps({"results": results, "versions": versions, "steps": args.steps}, indent=2))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--learning_rate", type=float, default=1e-3)
    parser.add_argument("--size", type=int, default=192, help="Side of the stock input; the shorter side of ours.")
    parser.add_argument("--bf16", action="store_true", help="bfloat16 autocast, for all alike.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("runs/against_stock.json"))
    return parser.parse_args()


def train_model(model: nn.Module, prepare: Callable, samples: list, args: argparse.Namespace, name: str) -> float:
    """AdamW with poly decay; returns the mean loss of the last tenth."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, args.steps, power=0.9)
    model.train()
    torch.manual_seed(args.seed)
    losses = []
    batches = shuffled_batches(samples, args.batch_size, args.steps, args.seed)
    for images, labels in tqdm(batches, total=args.steps, desc=name):
        pixel_values, targets = prepare(images, labels)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            loss = model(pixel_values=pixel_values, labels=targets).loss
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        losses.append(loss.item())
    tail = losses[-max(1, args.steps // 10) :]
    return sum(tail) / len(tail)


def shuffled_batches(samples: list, batch_size: int, steps: int, seed: int) -> Iterator[tuple[list, list]]:
    """Lists of photos and label maps, mirrored half of the time; the same for every arm."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        chosen = torch.randint(len(samples), (batch_size,), generator=generator).tolist()
        mirrored = torch.rand(batch_size, generator=generator) < 0.5
        pairs = [_mirror(samples[i]) if flip else samples[i] for i, flip in zip(chosen, mirrored, strict=True)]
        yield [image for image, _ in pairs], [label for _, label in pairs]


@torch.inference_mode()
def evaluate(model: nn.Module, prepare: Callable, samples: list) -> dict:
    """Scores at the photos' own size: logits are resized bilinearly, then the largest wins."""
    model.eval()
    metrics = SegmentationMetrics(CLASSES, IGNORED)
    for image, label in samples:
        pixel_values, _ = prepare([image], [label])
        logits = model(pixel_values=pixel_values).logits
        size = (label.height, label.width)
        prediction = F.interpolate(logits, size=size, mode="bilinear", align_corners=False).argmax(1)[0]
        metrics.update(prediction, _to_tensor(label))
    return {key: float(value) for key, value in metrics.compute().items() if key in ("mean_iou", "pixel_accuracy")}


def _read_all(root: str, split: str) -> list[tuple[Image.Image, Image.Image]]:
    """Photos and label maps, void as 255."""
    samples = (read_sample(row) for row in load_data("camvid", root, split))
    return [
        (
            Image.fromarray(sample["image"].permute(1, 2, 0).numpy()),
            Image.fromarray(sample["label"].byte().numpy()),
        )
        for sample in samples
    ]


def _stock_model(folder: str) -> nn.Module:
    return transformers.DPTForSemanticSegmentation.from_pretrained(folder)


def _stock_batch(processor: Callable, images: list, labels: list) -> Batch:
    # Void becomes the next id, the value that mixes least with the others when interpolated.
    maps = [label.point(lambda value: CLASSES if value == IGNORED else value) for label in labels]
    inputs = processor(images, segmentation_maps=maps, return_tensors="pt")
    labels = inputs["labels"].long()
    return inputs["pixel_values"], labels.masked_fill(labels >= CLASSES, IGNORED)


def _own_batch(processor: DPTImageProcessor, images: list, labels: list) -> Batch:
    inputs = processor(images, segmentation_maps=labels, return_tensors="pt")
    return inputs["pixel_values"], inputs["labels"]


def _mirror(pair: tuple[Image.Image, Image.Image]) -> tuple[Image.Image, Image.Image]:
    return tuple(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for picture in pair)


def _to_tensor(label: Image.Image) -> Tensor:
    return torch.frombuffer(bytearray(label.tobytes()), dtype=torch.uint8).view(label.height, label.width).long()


if __name__ == "__main__":
    main()
