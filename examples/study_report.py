"""The table and the plot of a study; used by study.py."""

import json
from pathlib import Path
from statistics import mean
from typing import Any

# key of a row, heading, digits. Lower abs_rel and higher delta1 are better.
COLUMNS = [
    ("new_seeds/abs_rel", "AbsRel, new scenes", 3),
    ("new_types/abs_rel", "AbsRel, new types", 3),
    ("mean/abs_rel", "AbsRel, mean", 3),
    ("mean/delta1", "delta1, mean", 3),
    ("real/abs_rel", "AbsRel, real pairs", 3),
    ("real/delta1", "delta1, real pairs", 3),
]
PANELS = {"mean/abs_rel": "held-out scenes", "real/abs_rel": "real pairs"}


def summary(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By member, in order: seeds, parameters, and for each column mean and spread.

    The spread is half the distance between the best and the worst seed; None with one seed.
    """
    members: dict[str, list[dict]] = {}
    for row in rows:
        members.setdefault(row["member"], []).append(row)
    result = {}
    for member, runs in members.items():
        values = {key: [run[key] for run in runs] for key, _, _ in COLUMNS if key in runs[0]}
        result[member] = {
            "baseline": runs[0].get("baseline", False),
            "seeds": [run["seed"] for run in runs if "seed" in run],
            "parameters": runs[0].get("parameters"),
            "scores": {
                key: {"mean": mean(each), "spread": (max(each) - min(each)) / 2 if len(each) > 1 else None}
                for key, each in values.items()
            },
        }
    return result


def verdict(members: dict[str, dict[str, Any]], key: str = "mean/abs_rel") -> str:
    """In words: the best member, and those that the spread of seeds does not set apart from it."""
    trained = {name: member["scores"][key] for name, member in members.items() if not member["baseline"]}
    if not trained:
        return "Nothing is trained yet."
    best = min(trained, key=lambda name: trained[name]["mean"])
    text = f"Smallest mean AbsRel: {best}, {trained[best]['mean']:.3f}."
    spreads = [score["spread"] for score in trained.values() if score["spread"] is not None]
    if not spreads:
        return f"{text} One seed: nothing is known about chance, so small differences mean nothing."
    apart = 2 * max(spreads)
    near = [name for name in trained if name != best and trained[name]["mean"] - trained[best]["mean"] <= apart]
    text += f" Seeds of one member differ by up to {apart:.3f};"
    text += f" not set apart from it by more than that: {', '.join(near) or 'none'}."
    once = [name for name, score in trained.items() if score["spread"] is None]
    return f"{text} One seed only, so even less sure: {', '.join(once)}." if once else text


def markdown(study, rows: list[dict[str, Any]], failed: dict[str, str], missing: list[str]) -> str:
    """The table as the paper prints it, what it means, and what is not in it."""
    members = summary(rows)
    columns = [column for column in COLUMNS if any(column[0] in member["scores"] for member in members.values())]
    heads = ["", "parameters (M)", "seeds", *(head for _, head, _ in columns)]
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for name, member in members.items():
        seeds = ", ".join(map(str, member["seeds"]))
        cells = [name, f"{member['parameters']:.2f}" if member["parameters"] else "", seeds]
        for key, _, digits in columns:
            score = member["scores"][key]
            spread = "" if score["spread"] is None else f" ± {score['spread']:.{digits}f}"
            cells.append(f"{score['mean']:.{digits}f}{spread}")
        lines.append("| " + " | ".join(cells) + " |")
    question = f" (the question of table {study.table} of the paper)" if study.table else ""
    training = study.training
    length = next((f"{training[key]} {key[10:]}" for key in training if key.startswith("max_train_")), "")
    notes = [
        f"Each model: {length} of {study.scenes['count']} procedural scenes at {training.get('image_size')} pixels, "
        "from random weights.",
        "Scores after affine alignment in inverse depth, mean over images; ± is half the distance between seeds.",
        verdict(members),
        *(f"Failed: {name}: {reason}" for name, reason in failed.items()),
        *([f"Not trained yet: {'; '.join(missing)}."] if missing else []),
    ]
    return f"# {study.title}{question}\n\n" + "\n".join(lines) + "\n\n" + "\n\n".join(notes) + "\n"


def draw(title: str, rows: list[dict[str, Any]], path: Path) -> None:
    """One panel a set: a dot a seed, a bar at the mean, baselines as dashed lines."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    members = summary(rows)
    names = [name for name, member in members.items() if not member["baseline"]]
    keys = [key for key in PANELS if any(key in row for row in rows)]
    figure, axes = plt.subplots(
        1, len(keys), figsize=(1.5 + 3.6 * len(keys), 1.7 + 0.38 * len(names)), squeeze=False, sharey=True,
        layout="constrained",
    )  # fmt: skip
    for axis, key in zip(axes[0], keys, strict=True):
        for place, name in enumerate(names):
            values = [row[key] for row in rows if row["member"] == name]
            axis.plot(mean(values), place, marker="|", markersize=16, color="tab:blue", markeredgewidth=2)
            axis.plot(values, [place] * len(values), "o", color="tab:blue", alpha=0.6, markersize=5)
        for number, (name, member) in enumerate((n, m) for n, m in members.items() if m["baseline"]):
            colour = f"C{number + 1}"
            axis.axvline(member["scores"][key]["mean"], linestyle="--", linewidth=1, color=colour, label=name)
        axis.set(xlabel="AbsRel (lower is better)", title=PANELS[key], yticks=range(len(names)), yticklabels=names)
        axis.grid(alpha=0.3, axis="x")
    axes[0, 0].set_ylim(len(names) - 0.5, -0.5)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(title)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def write_report(output: Path, study, rows: list[dict], failed: dict[str, str], missing: list[str]) -> str:
    """Write study.json, study.md and, with matplotlib and a trained member, study.png; returns the Markdown."""
    output.mkdir(parents=True, exist_ok=True)
    facts = {"title": study.title, "table": study.table, "training": study.training, "scenes": study.scenes}
    facts |= {"config": study.config, "members": study.members, "held_out_scenes": study.held_out_scenes}
    values = {"study": facts, "rows": rows, "summary": summary(rows), "failed": failed, "missing": missing}
    (output / "study.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    text = markdown(study, rows, failed, missing)
    (output / "study.md").write_text(text, encoding="utf-8")
    if any(not row.get("baseline") for row in rows):
        try:
            draw(study.title, rows, output / "study.png")
        except ImportError:
            text += "\nNo plot: `pip install 'open-dpt[evaluate]'` for matplotlib.\n"
    return text
