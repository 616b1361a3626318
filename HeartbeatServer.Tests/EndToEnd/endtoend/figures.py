"""The memory of the server before, at the worst of, and after each hostile case."""

from pathlib import Path


def show(results: dict[str, dict], file: Path | None) -> None:
    rows = [(name, result["figures"]) for name, result in results.items() if result.get("figures")]
    if not rows:
        return
    table = [
        "| hostile case | RSS before, MiB | at the worst | after |",
        "|---|---|---|---|",
        *(f"| {name.partition('/')[2]} | {mib(f, 'before')} | {mib(f, 'peak')} | {mib(f, 'after')} |" for name, f in rows),
    ]
    print("", *table, "", sep="\n")
    if file is not None:
        file.write_text("\n".join(table) + "\n")


def mib(figures: dict[str, float], name: str) -> str:
    return f"{figures[name]:.1f}" if name in figures else ""
