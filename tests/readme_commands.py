"""Print one of the README's two commands: ``python tests/readme_commands.py main|test``."""

import pathlib
import re
import sys

README = pathlib.Path(__file__).parent.parent / "README.md"


def commands() -> dict[str, str]:
    """Return the first two one-line shell blocks of the README: the main job and the tests."""
    blocks = re.findall(r"^```sh\n(.*?)\n```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    main, test = [block for block in blocks if "venv" in block and "\n" not in block][:2]
    return {"main": main, "test": test}


if __name__ == "__main__":
    print(commands()[sys.argv[1]])
