"""The memory of the server before, at the worst of, and after each hostile case, and what a healthy client felt of it."""

from pathlib import Path


def show(results: dict[str, dict], file: Path | None) -> None:
    rows = [(name, result["figures"]) for name, result in results.items() if result.get("figures")]
    if not rows:
        return
    table = [
        "| hostile case | RSS before, MiB | at the worst | after | longest wait of a healthy client for an echo, ms |",
        "|---|---|---|---|---|",
        *(f"| {name.partition('/')[2]} | {f['before']:.1f} | {f['peak']:.1f} | {f['after']:.1f} | {f['echo']:.0f} |" for name, f in rows),
    ]
    print("", *table, "", sep="\n")
    if file is not None:
        file.write_text("\n".join(table) + "\n")

