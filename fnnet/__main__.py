"""``python -m fnnet`` is the command ``fnnet``."""

from fnnet.cli import main

if __name__ == "__main__":
    main()
