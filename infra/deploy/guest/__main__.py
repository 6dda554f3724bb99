"""``python -m infra.deploy.guest OUTDIR``"""

import argparse
import sys
from pathlib import Path

from infra.deploy.guest.build import BuildError, build


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.deploy.guest", description="Build the small Linux guest.")
    parser.add_argument("directory", type=Path, help="where vmlinuz, initrd.img and disk.qcow2 are written")
    try:
        files = build(parser.parse_args().directory)
    except BuildError as error:
        print(f"guest: {error}", file=sys.stderr)
        return 1
    for path in files:
        print(f"{path} ({path.stat().st_size / 2**20:.1f} MiB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
