"""Write what is generated from the contract: `python -m reasoner_api.generate [--check]`, called by
`make generate` and `make check`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

from reasoner_api.crd import KINDS, custom_resource_definition
from reasoner_api.reference import reference

HEADER = "# Generated from crds/reasoner_api by `make generate`; edit the models, not this file.\n"
RULES_HEADER = "# A copy of operator/reasoner_operator/rules.yaml by `make generate`; edit that file, not this one.\n"


def rendered(root: Path) -> dict[Path, str]:
    """Every generated file of a checkout and what it must hold."""
    chart = root / "charts" / "reasoner-operator" / "files"
    rules = (root / "operator" / "reasoner_operator" / "rules.yaml").read_text(encoding="utf-8")
    files = {root / "crds" / "README.md": reference(), chart / "rules.yaml": RULES_HEADER + rules}
    for kind in KINDS.values():
        text = HEADER + yaml.safe_dump(custom_resource_definition(kind), sort_keys=False, width=110, allow_unicode=True)
        name = f"{kind.plural}.reasoner.dev.yaml"
        files[root / "crds" / name] = text
        files[chart / "crds" / name] = text
    return files


def main(argv: list[str] | None = None) -> int:
    """Write the files, or with `--check` only tell which differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(), help="root of the checkout")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file differs")
    options = parser.parse_args(argv)
    stale = []
    for path, text in rendered(options.root).items():
        if path.exists() and path.read_text() == text:
            continue
        stale.append(path)
        if not options.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    verb = "is out of date: run `make generate`" if options.check else "written"
    for path in stale:
        print(f"{path} {verb}")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
